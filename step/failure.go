package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
)

// errInterrupted is the end of a run by a signal.
var errInterrupted = errors.New("interrupted by a signal")

// timeoutError is the end of a run by its own timeout.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("the Step took longer than the %d seconds of its input timeout", int(e.after.Seconds()))
}

// stopped returns the last line of the log of a run that did not end in time.
func stopped(reason error) string {
	return reason.Error() + ": the Step did not end in time and was stopped"
}

// interruption replaces an error that the end of ctx has caused by the reason why it ended.
func interruption(ctx context.Context, err error) error {
	var timeout *timeoutError
	if err == nil || ctx.Err() == nil || errors.Is(err, errInterrupted) || errors.As(err, &timeout) {
		return err
	}
	if !errors.As(context.Cause(ctx), &timeout) {
		return errInterrupted
	}
	x := explain.Explanation{Cause: timeout.Error(), Do: []string{
		"Run the build again: network errors are often temporary.", "If the service that did not answer is slow, raise timeout.",
	}}
	x.Means = []string{"At that moment: " + explain.OneLine(err) + "."}
	return &explain.Error{Err: timeout, Explanation: x}
}

// logProblems writes everything that is wrong with the inputs.
func logProblems(log *report.Log, err *InputError) {
	var problems, names []string
	for _, problem := range err.Problems {
		problems = append(problems, problem.String())
		if !slices.Contains(names, problem.Input) {
			names = append(names, problem.Input)
		}
	}
	log.Problems("Invalid inputs (nothing was sent):", problems, "invalid inputs: "+strings.Join(names, ", "))
}
