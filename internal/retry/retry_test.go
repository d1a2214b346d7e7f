package retry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

var errBroken = errors.New("connection reset")

// transient is the error of a call that is tried again.
func transient() error { return transport.Failed(errBroken) }

// busy is the same, of a server that asks the client to wait.
type busy time.Duration

func (b busy) Error() string                { return errBroken.Error() }
func (b busy) Unwrap() error                { return errBroken }
func (b busy) Status() (int, time.Duration) { return http.StatusServiceUnavailable, time.Duration(b) }

// newPolicy returns a policy that does not wait but records the waits.
func newPolicy(jitter float64) (retry.Policy, *[]time.Duration) {
	waits := &[]time.Duration{}
	return retry.Policy{
		Jitter: func() float64 { return jitter },
		Wait:   func(_ context.Context, d time.Duration) error { *waits = append(*waits, d); return nil },
	}, waits
}

// failing returns an attempt that fails the given number of times before it succeeds.
func failing(times int, err error) func(context.Context) error {
	return func(context.Context) error {
		if times--; times < 0 {
			return nil
		}
		return err
	}
}

func TestBackoffDoublesUpToItsLimit(t *testing.T) {
	policy, waits := newPolicy(1)
	if err := policy.Do(t.Context(), failing(70, transient())); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}
	for len(want) < 70 {
		want = append(want, 20*time.Second)
	}
	if !slices.Equal(*waits, want) {
		t.Errorf("got waits %v, want %v", *waits, want)
	}
}

func TestWaitIsWhatTheServerAskedForPlusJitter(t *testing.T) {
	for jitter, want := range map[float64]time.Duration{0: 3 * time.Second, 0.5: 3250 * time.Millisecond, 1: 3500 * time.Millisecond} {
		t.Run(fmt.Sprint(jitter), func(t *testing.T) {
			policy, waits := newPolicy(jitter)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			for _, ctx := range []context.Context{t.Context(), ctx} {
				*waits = nil
				err := policy.Do(ctx, failing(1, busy(3*time.Second)))
				if err != nil || !slices.Equal(*waits, []time.Duration{want}) {
					t.Errorf("got waits %v, want %v; %v", *waits, want, err)
				}
			}
		})
	}
}

func TestJitterIsRandomByDefault(t *testing.T) {
	policy, waits := newPolicy(0)
	policy.Jitter = nil
	for range 100 {
		_ = policy.Do(t.Context(), failing(1, transient()))
	}
	if shortest := slices.Min(*waits); shortest < 0 || shortest > 250*time.Millisecond {
		// The probability that none of 100 random waits is in the lower half is 2^-100.
		t.Errorf("the shortest of 100 waits is %v", shortest)
	}
	if longest := slices.Max(*waits); longest >= 500*time.Millisecond {
		t.Errorf("the longest of 100 waits is %v", longest)
	}
}

func TestPermanentErrorIsNotRetried(t *testing.T) {
	policy, waits := newPolicy(1)
	if err := policy.Do(t.Context(), failing(1, errBroken)); !errors.Is(err, errBroken) || len(*waits) != 0 {
		t.Errorf("got waits %v, error %v", *waits, err)
	}
}

func TestCanceledContextEndsTheAttempts(t *testing.T) {
	t.Run("during an attempt", func(t *testing.T) {
		policy, waits := newPolicy(1)
		ctx, cancel := context.WithCancel(t.Context())
		err := policy.Do(ctx, func(context.Context) error {
			cancel()
			return busy(time.Hour)
		})
		if !errors.Is(err, errBroken) || len(*waits) != 0 {
			t.Errorf("got waits %v, error %v", *waits, err)
		}
	})
	t.Run("during a wait", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		policy := retry.Policy{Notify: func(int, error, time.Duration) { cancel() }}
		attempts := 0
		err := policy.Do(ctx, func(context.Context) error {
			attempts++
			return busy(time.Hour)
		})
		if !errors.Is(err, errBroken) || attempts != 1 {
			t.Errorf("got %d attempts, error %v", attempts, err)
		}
	})
}

func TestLastWaitIsShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy, waits := newPolicy(1)
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		// After 5 waits, the backoff is 16 s, but all of the deadline's time except for the last attempt's 2 s is left.
		if err := policy.Do(ctx, failing(6, transient())); err != nil {
			t.Fatal(err)
		}
		if last := (*waits)[5]; last != 10*time.Second {
			t.Errorf("got a last wait of %v, want 10s", last)
		}
	})
}

func TestNoTimeForAnotherAttempt(t *testing.T) {
	for name, row := range map[string]struct {
		left, after time.Duration
		want        string
	}{
		"deadline":                    {2 * time.Second, 0, "connection reset; the timeout"},
		"server asks to wait an hour": {time.Minute, time.Hour, "connection reset; the server asked to wait 3600 s; the timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy, waits := newPolicy(1)
				ctx, cancel := context.WithTimeout(t.Context(), row.left)
				defer cancel()
				err := policy.Do(ctx, failing(1, busy(row.after)))
				if !errors.Is(err, retry.ErrNoTime) || !errors.Is(err, errBroken) || len(*waits) != 0 ||
					err.Error() != row.want+" leaves no time for another attempt" {
					t.Errorf("got waits %v, error %v", *waits, err)
				}
			})
		})
	}
}

func TestNotifyIsCalledBeforeEachWait(t *testing.T) {
	policy, waits := newPolicy(1)
	var notices []string
	policy.Notify = func(attempt int, err error, wait time.Duration) {
		if len(*waits) != len(notices) {
			t.Error("Notify was not called before the wait")
		}
		notices = append(notices, fmt.Sprintf("%d: %s, %s", attempt, err, wait))
	}
	_ = policy.Do(t.Context(), failing(2, transient()))
	if want := []string{"1: connection reset, 500ms", "2: connection reset, 1s"}; !slices.Equal(notices, want) {
		t.Errorf("got notices %q, want %q", notices, want)
	}
}

func TestAttemptWithoutAnAnswerIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy, waits := newPolicy(1)
		var failures []string
		policy.Notify = func(_ int, err error, _ time.Duration) { failures = append(failures, err.Error()) }
		began := time.Now()
		err := policy.Do(t.Context(), func(ctx context.Context) error {
			if len(*waits) == 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if took := time.Since(began); err != nil || took != 10*time.Second || !slices.Equal(failures, []string{"no answer within 10 seconds"}) {
			t.Errorf("got %v after %v and the failures %q", err, took, failures)
		}
	})
}

// The caller's deadline is not reported as the timeout of an attempt.
func TestCallersDeadlineIsNotTheAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := retry.Policy{}.Do(ctx, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
