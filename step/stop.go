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

const (
	// graceAfterSignal leaves time to explain, within the second that a process has after a signal.
	graceAfterSignal = 950 * time.Millisecond
	// graceAfterTimeout leaves time to explain.
	graceAfterTimeout = 2 * time.Second
	// timeToExplain is how long it may take to write an explanation to the log and to the build page.
	timeToExplain = 5 * time.Second
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

// explain writes an error to the log, and to the build page if possible.
func (s *Step) explain(ctx context.Context, err error) {
	var inputs *InputError
	switch {
	case errors.As(err, &inputs):
		logProblems(s.Log, inputs)
	case errors.Is(err, errInterrupted):
		s.Log.Errorf("%s; nothing was exported", errInterrupted)
	default:
		x := explain.Of(err)
		s.Log.Explain(x)
		s.Log.Annotate(ctx, s.Environment.Get("HOME"), x)
	}
}

// exit ends the process with the exit code of a run that does not end in time.
func (s *Step) exit(code int) {
	if s.isDone.Load() {
		code = 0
	}
	s.Exit(code)
}

// watch ends the process if it does not end shortly after ctx: an operation that no context can stop, such as writing to a log
// that is not read, must not make it hang. The line is the last one of the log. stop calls it off.
func watch(ctx context.Context, grace time.Duration, log *report.Log, exit func(code int), line string) (stop func()) {
	done := make(chan struct{})
	stopWaiting := context.AfterFunc(ctx, func() {
		select {
		case <-done:
			return
		case <-time.After(grace):
		}
		// The log may be what hangs.
		written := make(chan struct{})
		go func() {
			log.Errorf("%s", line)
			close(written)
		}()
		select {
		case <-written:
		case <-time.After(20 * time.Millisecond):
		}
		exit(1)
	})
	return func() { stopWaiting(); close(done) }
}
