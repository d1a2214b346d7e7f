package step

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
)

const (
	// graceAfterSignal leaves time to report the error within a second after the signal.
	graceAfterSignal = 950 * time.Millisecond
	// graceAfterTimeout leaves time to report the error.
	graceAfterTimeout = 2 * time.Second
	// timeToExplain is how long it may take to write an explanation to the log and the build page.
	timeToExplain = 5 * time.Second
)

// errInterrupted is the error of a run that a signal stopped.
var errInterrupted = errors.New("interrupted by a signal")

// timeoutError is the error of a run that its timeout stopped.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("timed out after %d seconds (input: timeout)", int(e.after.Seconds()))
}

// stopped returns the last log line of a run that didn't stop in time.
func stopped(reason error) string {
	return reason.Error() + ": the Step did not stop in time and was terminated"
}

// interruption replaces an error that was caused by the end of ctx with the reason for that end.
func interruption(ctx context.Context, err error) error {
	var timeout *timeoutError
	if err == nil || ctx.Err() == nil || errors.Is(err, errInterrupted) || errors.As(err, &timeout) {
		return err
	}
	if !errors.As(context.Cause(ctx), &timeout) {
		return errInterrupted
	}
	x := explain.Explanation{Cause: timeout.Error(), Do: []string{
		"Run the build again: network errors are often temporary.", "If a service is slow to respond, raise timeout.",
	}}
	x.Means = []string{lastError(err)}
	return &explain.Error{Err: timeout, Explanation: x}
}

// lastError describes the error that a timeout interrupted, without the part that says so.
func lastError(err error) string {
	text := strings.ReplaceAll(explain.OneLine(err), ": "+context.DeadlineExceeded.Error(), "")
	return "Last error before the timeout: " + text + "."
}

// explain writes an error to the log, and to the build page if possible.
func (s *Step) explain(ctx context.Context, err error) {
	if errors.Is(err, errInterrupted) {
		s.Log.Errorf("%s; nothing was exported", errInterrupted)
		return
	}
	x := explain.Of(err)
	s.Log.Explain(x)
	s.Log.Annotate(ctx, s.Environment.Get("HOME"), x)
}

// exit ends the process of a run that doesn't stop in time.
func (s *Step) exit(code int) {
	if s.isDone.Load() {
		code = 0
	}
	s.Exit(code)
}

// watch is a watchdog. It ends the process if stop isn't called shortly after ctx is done, because some operations ignore contexts,
// such as writing to a log that no program reads. The line is the last one in the log.
func watch(ctx context.Context, grace time.Duration, log *report.Log, exit func(code int), line string) (stop func()) {
	done := make(chan struct{})
	stopWaiting := context.AfterFunc(ctx, func() {
		select {
		case <-done:
			return
		case <-time.After(grace):
		}
		// Writing to the log may hang, too.
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
