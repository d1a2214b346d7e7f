package step

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
)

const (
	// graceAfterSignal leaves time to report the error within a second after the signal.
	graceAfterSignal = 930 * time.Millisecond
	// graceAfterTimeout leaves time to report the error.
	graceAfterTimeout = 2 * time.Second
	// timeToExplain is how long it may take to write an explanation to the log and the build page.
	timeToExplain = 5 * time.Second
)

// errInterrupted is the error of a run that a signal stopped.
var errInterrupted = errors.New("interrupted by a signal")

// endOf returns why ctx is done: a signal, or else the cause that is set for its timeout.
func endOf(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return context.Cause(ctx)
	}
	return errInterrupted
}

// interruption replaces an error that was caused by the end of ctx with the reason for that end.
func interruption(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, endOf(ctx)) {
		return err
	}
	if errors.Is(endOf(ctx), errInterrupted) {
		return errInterrupted
	}
	return &explain.Error{Err: endOf(ctx), Explanation: explain.Explanation{Means: []string{lastError(err)}, Do: []string{
		"Run the build again: network errors are often temporary.", "If a service is slow to respond, raise timeout.",
	}}}
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

// watch is a watchdog. It ends the process if stop isn't called shortly after ctx is done, because some operations ignore
// contexts, such as writing to a log that no program reads.
func watch(ctx context.Context, grace time.Duration, log *report.Log, exit func(code int)) (stop func()) {
	done := make(chan struct{})
	stopWaiting := context.AfterFunc(ctx, func() {
		select {
		case <-done:
			return
		case <-time.After(grace):
		}
		// Writing to the log may hang, too.
		go log.Errorf("%s: the Step did not stop in time and was terminated", endOf(ctx))
		time.Sleep(20 * time.Millisecond)
		exit(1)
	})
	return func() { stopWaiting(); close(done) }
}
