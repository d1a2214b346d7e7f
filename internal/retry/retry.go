// Package retry tries a call again when its fault may pass: with exponential backoff and full jitter, each attempt bounded
// on its own, for as long as the context lets it.
//
// Full jitter, a random wait between nothing and the backoff, is what spreads many clients best that were turned away at
// the same moment: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. The backoff's limit decides
// how many of them a service sees a second once they are spread: 20 seconds lets hundreds of builds share a service that
// answers ten calls a second.
//
// The package imports the standard library alone. Which faults pass is the business of whoever makes the call: see
// [Passing].
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// firstBackoff bounds the first wait; every further one is bounded by twice the one before.
	firstBackoff = 500 * time.Millisecond
	// longestBackoff bounds every wait.
	longestBackoff = 20 * time.Second
	// attemptTimeout bounds one attempt, so that an answer which never comes costs no more than that.
	attemptTimeout = 10 * time.Second
	// lastAttempt is how much time has to be left for an attempt to be worth making.
	lastAttempt = 2 * time.Second
)

// Fault is an error that may pass.
type Fault struct {
	// Err is what went wrong.
	Err error
	// After is how long the server asked to be left alone; zero if it did not ask.
	After time.Duration
}

// Error is the error's text; that it may pass is nothing to tell once the retries are over.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap returns the error.
func (f *Fault) Unwrap() error { return f.Err }

// Passing marks an error as one that may pass; after is how long the server asked to be left alone, zero if it did not.
func Passing(err error, after time.Duration) error { return &Fault{Err: err, After: after} }

// Notice is what a [Policy] tells before it waits.
type Notice struct {
	// Err is why the attempt failed.
	Err error
	// Wait is how long it will be until the next one.
	Wait time.Duration
	// Attempt is the number of the attempt that failed, from 1.
	Attempt int
}

// Policy is how calls are tried again. The zero value retries, and tells nobody.
type Policy struct {
	// Notify is told of every retry before its wait; nil: nobody is.
	Notify func(Notice)
	// Wait waits until the duration is over or the context has ended; nil: [Sleep].
	Wait func(context.Context, time.Duration) error
	// Jitter returns a number in [0,1); nil: a random one.
	Jitter func() float64
	// Prepare is called before each attempt, outside of the attempt's bound of time; its error ends the attempts, and is
	// returned. nil: nothing is prepared.
	Prepare func(context.Context) error
}

// ErrNoTime is what the last attempt's error is wrapped with when the context does not live long enough for another one.
var ErrNoTime = errors.New("the timeout leaves no time for another attempt")

// Do makes attempts until one returns nil or an error that is no [*Fault], which it returns, or until ctx has ended or is
// about to, when it returns the last attempt's error.
func (p Policy) Do(ctx context.Context, attempt func(context.Context) error) error {
	for number := 1; ; number++ {
		if p.Prepare != nil {
			if err := p.Prepare(ctx); err != nil {
				return err
			}
		}
		err := p.try(ctx, attempt)
		if err == nil {
			return nil
		}
		var fault *Fault
		if !errors.As(err, &fault) || ctx.Err() != nil {
			return err
		}
		wait, possible := p.backoff(ctx, number, fault.After)
		if !possible {
			if fault.After > 0 {
				return fmt.Errorf("%w, which asks to be left alone for %d s; %w", err, int(fault.After.Seconds()), ErrNoTime)
			}
			return fmt.Errorf("%w; %w", err, ErrNoTime)
		}
		if p.Notify != nil {
			p.Notify(Notice{Err: err, Wait: wait, Attempt: number})
		}
		if p.wait(ctx, wait) != nil {
			return err
		}
	}
}

func (p Policy) try(ctx context.Context, attempt func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := attempt(bounded)
	if err != nil && ctx.Err() == nil && errors.Is(bounded.Err(), context.DeadlineExceeded) {
		return Passing(errNoAnswer, 0)
	}
	return err
}

// errNoAnswer is an attempt that ran into its own bound.
var errNoAnswer = errors.New("no answer within 10 seconds")

// backoff returns how long to wait after the attempt of that number; false if no time is left for another one, or less than
// the server asked for.
func (p Policy) backoff(ctx context.Context, number int, after time.Duration) (time.Duration, bool) {
	jitter := p.Jitter
	if jitter == nil {
		jitter = rand.Float64
	}
	limit := longestBackoff
	// 2^6 times the first backoff is over the limit already; a larger shift would overflow in the end.
	if number <= 6 {
		limit = min(limit, firstBackoff<<(number-1))
	}
	wait := time.Duration(jitter() * float64(limit))
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return wait + after, true
	}
	left := time.Until(deadline) - lastAttempt
	if after >= left {
		return 0, false
	}
	// The jitter comes on top of what the server asked for, or all would come back together. A wait that would go on to the
	// end is cut, so that the time is used for one more attempt.
	return min(after+wait, left), true
}

func (p Policy) wait(ctx context.Context, d time.Duration) error {
	if p.Wait != nil {
		return p.Wait(ctx, d)
	}
	return Sleep(ctx, d)
}

// Sleep waits until the duration is over, or until ctx has ended, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
