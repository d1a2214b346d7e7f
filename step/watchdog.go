package step

import (
	"context"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
)

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
