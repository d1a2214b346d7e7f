package retry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

var errFault = errors.New("it broke")

// policy waits no time, and notes how long it would have.
func policy(jitter float64) (retry.Policy, *[]time.Duration) {
	waits := &[]time.Duration{}
	return retry.Policy{
		Jitter: func() float64 { return jitter },
		Wait:   func(_ context.Context, d time.Duration) error { *waits = append(*waits, d); return nil },
	}, waits
}

func TestBacksOffExponentiallyUpToALimit(t *testing.T) {
	p, waits := policy(1)
	attempts := 0
	err := p.Do(t.Context(), func(context.Context) error {
		if attempts++; attempts <= 8 {
			return retry.Passing(errFault, 0)
		}
		return nil
	})
	want := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 20 * time.Second, 20 * time.Second}
	if err != nil || len(*waits) != len(want) {
		t.Fatalf("waits %v, %v", *waits, err)
	}
	for i := range want {
		if (*waits)[i] != want[i] {
			t.Errorf("wait %d is %v, want %v", i, (*waits)[i], want[i])
		}
	}
}

func TestJitterIsFull(t *testing.T) {
	p, waits := policy(0)
	first := true
	if err := p.Do(t.Context(), func(context.Context) error {
		if first {
			first = false
			return retry.Passing(errFault, 3*time.Second)
		}
		return nil
	}); err != nil || (*waits)[0] != 3*time.Second {
		t.Errorf("waits %v, %v; nothing but what the server asked for was wanted", *waits, err)
	}
	p.Jitter = nil
	shortest := time.Hour
	for range 100 {
		first, *waits = true, nil
		_ = p.Do(t.Context(), func(context.Context) error {
			if first {
				first = false
				return retry.Passing(errFault, 0)
			}
			return nil
		})
		if w := (*waits)[0]; w < 0 || w >= 500*time.Millisecond {
			t.Fatalf("the first wait is %v", w)
		}
		shortest = min(shortest, (*waits)[0])
	}
	// Of a hundred random ones, that none is in the lower half has a chance of one in 2^100.
	if shortest > 250*time.Millisecond {
		t.Errorf("the shortest of a hundred waits is %v", shortest)
	}
}

func TestLastingErrorEndsAtOnce(t *testing.T) {
	p, waits := policy(1)
	attempts := 0
	err := p.Do(t.Context(), func(context.Context) error { attempts++; return errFault })
	if !errors.Is(err, errFault) || attempts != 1 || len(*waits) != 0 {
		t.Errorf("%d attempts, %v", attempts, err)
	}
}

func TestEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	attempts := 0
	err := retry.Policy{}.Do(ctx, func(context.Context) error {
		attempts++
		cancel()
		return retry.Passing(errFault, time.Hour)
	})
	if !errors.Is(err, errFault) || attempts != 1 {
		t.Errorf("%d attempts, %v", attempts, err)
	}
}

func TestMakesALastAttemptBeforeTheDeadline(t *testing.T) {
	p, waits := policy(1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second+100*time.Millisecond)
	defer cancel()
	attempts := 0
	err := p.Do(ctx, func(context.Context) error { attempts++; return retry.Passing(errFault, 0) })
	// Half a second is more than what is left before the last attempt's share: the wait is cut.
	if attempts < 2 || (*waits)[0] > 100*time.Millisecond || !errors.Is(err, retry.ErrNoTime) && ctx.Err() == nil {
		t.Errorf("%d attempts, waits %v, %v", attempts, *waits, err)
	}
}

func TestServerAsksForTooLong(t *testing.T) {
	p, waits := policy(1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := p.Do(ctx, func(context.Context) error { return retry.Passing(errFault, time.Hour) })
	if !errors.Is(err, retry.ErrNoTime) || !errors.Is(err, errFault) || !strings.Contains(err.Error(), "left alone for 3600 s") || len(*waits) != 0 {
		t.Errorf("waits %v, %v", *waits, err)
	}
}

func TestNotifiesBeforeEachWait(t *testing.T) {
	p, _ := policy(1)
	var notices []retry.Notice
	p.Notify = func(n retry.Notice) { notices = append(notices, n) }
	attempts := 0
	_ = p.Do(t.Context(), func(context.Context) error {
		if attempts++; attempts < 3 {
			return retry.Passing(errFault, 0)
		}
		return nil
	})
	if len(notices) != 2 || notices[1].Attempt != 2 || notices[1].Wait != time.Second || notices[1].Err.Error() != errFault.Error() {
		t.Errorf("%+v", notices)
	}
}

func TestEachAttemptHasItsOwnDeadline(t *testing.T) {
	var first time.Time
	_ = retry.Policy{}.Do(t.Context(), func(ctx context.Context) error {
		first, _ = ctx.Deadline()
		return nil
	})
	if left := time.Until(first); left <= 0 || left > 10*time.Second {
		t.Errorf("an attempt may take %v", left)
	}
}
