package retry

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestAttemptWithoutAnAnswerIsTransient(t *testing.T) {
	errWait := errors.New("no wait")
	waits := 0
	policy := Policy{attemptTimeout: 1, Wait: func(context.Context, time.Duration) error { waits++; return errWait }}
	err := policy.Do(t.Context(), func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, errNoAnswer) || err.Error() != "no answer within 10 seconds" || waits != 1 {
		t.Errorf("got %d waits, error %v", waits, err)
	}
}

// The caller's deadline is not reported as the timeout of an attempt.
func TestCallersDeadlineIsNotTheAttempts(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	err := Policy{}.Do(ctx, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNoAnswer) {
		t.Errorf("got %v", err)
	}
}
