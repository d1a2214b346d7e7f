package retry

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

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

// do repeats a call that fails the given number of times before it succeeds, and returns how long each wait took. It runs in a
// bubble.
func do(ctx context.Context, t *testing.T, times int, failure error) ([]time.Duration, error) {
	t.Helper()
	var announced, waits []time.Duration
	var failed time.Time
	policy := Policy{Notify: func(attempt int, err error, wait time.Duration) {
		announced = append(announced, wait)
		if attempt != len(announced) || !errors.Is(err, errBroken) {
			t.Errorf("Notify was called with %d, %v", attempt, err)
		}
	}}
	attempts := 0
	err := policy.Do(ctx, func(context.Context) error {
		if attempts++; attempts > 1 {
			waits = append(waits, time.Since(failed))
		}
		if len(waits) != len(announced) || len(waits) > 0 && waits[len(waits)-1] != announced[len(waits)-1] {
			t.Errorf("got waits %v, announced were %v", waits, announced)
		}
		failed = time.Now()
		if attempts <= times {
			return failure
		}
		return nil
	})
	return waits, err
}

// Each wait is random, up to a limit that doubles. That none of 200 waits is in a certain tenth has a probability of 10^-9.
func TestBackoffDoublesUpToItsLimit(t *testing.T) {
	limits := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}
	for len(limits) < 70 {
		limits = append(limits, 20*time.Second)
	}
	shortest, longest := make([]time.Duration, len(limits)), make([]time.Duration, len(limits))
	synctest.Test(t, func(t *testing.T) {
		for call := range 200 {
			waits, err := do(t.Context(), t, len(limits), transient())
			if err != nil || len(waits) != len(limits) {
				t.Fatalf("got waits %v, %v", waits, err)
			}
			for i, wait := range waits {
				if call == 0 {
					shortest[i] = wait
				}
				shortest[i], longest[i] = min(shortest[i], wait), max(longest[i], wait)
			}
		}
	})
	for i, limit := range limits {
		if shortest[i] < 0 || shortest[i] > limit/10 || longest[i] < limit*9/10 || longest[i] >= limit {
			t.Errorf("wait %d took %v to %v, the limit is %v", i+1, shortest[i], longest[i], limit)
		}
	}
}

func TestWaitIsWhatTheServerAskedForPlusJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for _, ctx := range []context.Context{t.Context(), ctx} {
			waits, err := do(ctx, t, 1, busy(3*time.Second))
			if err != nil || len(waits) != 1 || waits[0] < 3*time.Second || waits[0] >= 3500*time.Millisecond {
				t.Errorf("got waits %v, %v", waits, err)
			}
		}
	})
}

func TestPermanentErrorIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if waits, err := do(t.Context(), t, 1, errBroken); !errors.Is(err, errBroken) || len(waits) != 0 {
			t.Errorf("got waits %v, error %v", waits, err)
		}
	})
}

func TestCanceledContextEndsTheAttempts(t *testing.T) {
	for name, isDuringAttempt := range map[string]bool{"during an attempt": true, "during a wait": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				attempts := 0
				err := Policy{Notify: func(int, error, time.Duration) { cancel() }}.Do(ctx, func(context.Context) error {
					if attempts++; isDuringAttempt {
						cancel()
					}
					return busy(time.Hour)
				})
				if !errors.Is(err, errBroken) || attempts != 1 {
					t.Errorf("got %d attempts, error %v", attempts, err)
				}
			})
		})
	}
}

// A wait that would last until the deadline ends two seconds before it.
func TestLastWaitIsShortened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second+time.Millisecond)
			defer cancel()
			if _, err := do(ctx, t, 1, busy(3*time.Second)); err != nil {
				t.Fatal(err)
			}
			if deadline, _ := ctx.Deadline(); time.Until(deadline) < 2*time.Second {
				t.Errorf("%v are left for the last attempt", time.Until(deadline))
			}
		}
	})
}

func TestNoTimeForAnotherAttempt(t *testing.T) {
	for name, row := range map[string]struct{ left, after time.Duration }{
		"deadline":                    {time.Second, 0},
		"server asks to wait an hour": {time.Minute, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), row.left)
				defer cancel()
				started := time.Now()
				waits, err := do(ctx, t, 1, busy(row.after))
				if !errors.Is(err, errBroken) || len(waits) != 0 || time.Since(started) != 0 ||
					err.Error() != "connection reset; not retried: too little time left before the timeout" {
					t.Errorf("got waits %v, error %v", waits, err)
				}
			})
		})
	}
}

func TestAttemptWithoutAResponseIsTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started, attempts := time.Now(), 0
		err := Policy{}.Do(t.Context(), func(ctx context.Context) error {
			if attempts++; attempts == 2 {
				return nil
			}
			<-ctx.Done()
			if time.Since(started) != 10*time.Second {
				t.Errorf("the attempt took %v", time.Since(started))
			}
			return ctx.Err()
		})
		if err != nil || attempts != 2 {
			t.Errorf("got %d attempts, error %v", attempts, err)
		}
	})
	if errNoResponse.Error() != "no response within 10 seconds" {
		t.Errorf("got %v", errNoResponse)
	}
}

// The caller's deadline is not reported as the timeout of an attempt.
func TestCallersDeadlineIsNotTheAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := Policy{}.Do(ctx, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNoResponse) {
			t.Errorf("got %v", err)
		}
	})
}
