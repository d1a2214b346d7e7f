// Package retry repeats a call that failed with a transient error: with exponential backoff and full jitter, a limit
// on each attempt, and for as long as the context allows. transient.go decides what is retried.
//
// Full jitter (a random wait between zero and the current backoff) spreads out clients that were rejected at the same
// moment: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/. With a longest backoff of 20
// seconds, hundreds of builds can share a service that handles ten calls per second.
//
// The AWS SDK's retryer is turned off (aws.NopRetryer), because it does not limit the time of a single attempt.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

const (
	// firstBackoff is the upper limit of the first wait. It doubles with each further wait.
	firstBackoff = 500 * time.Millisecond
	// longestBackoff is the upper limit of every wait.
	longestBackoff = 20 * time.Second
	// attemptTimeout limits one attempt, so that a server that never responds costs no more than that.
	attemptTimeout = 10 * time.Second
	// lastAttempt is the time that must be left to start another attempt.
	lastAttempt = 2 * time.Second
)

// Policy determines how a call is repeated. The zero value is ready to use.
type Policy struct {
	// Notify, if not nil, is called before each wait, with the failed attempt's number and error.
	Notify func(attempt int, err error, wait time.Duration)
}

// Do calls attempt until it succeeds, returns a permanent error, or ctx is done. It returns the last attempt's error,
// with a note if it was not retried because of the deadline of ctx. Each attempt is limited to 10 seconds.
func (p Policy) Do(ctx context.Context, attempt func(context.Context) error) error {
	limited := 0
	for number := 1; ; number++ {
		err := try(ctx, attempt)
		if err == nil {
			return nil
		}
		most, after := attempts(err)
		if most != unlimited {
			limited++
		}
		if limited >= most || ctx.Err() != nil {
			return err
		}
		wait, enough := backoff(ctx, number, after)
		if !enough {
			return fmt.Errorf("%w; not retried: too little time left before the timeout", err)
		}
		if p.Notify != nil {
			p.Notify(number, err, wait)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

func try(ctx context.Context, attempt func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := attempt(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return errNoResponse
	}
	return err
}

// errNoResponse replaces the error of an attempt that exceeded attemptTimeout.
var errNoResponse error = &transport.Error{Err: errors.New("no response within 10 seconds")}

// backoff returns how long to wait after the attempt with this number. It returns false if too little time is left
// before the deadline for another attempt, or for the wait that the server asked for.
func backoff(ctx context.Context, number int, after time.Duration) (time.Duration, bool) {
	// Six doublings exceed the longest backoff. Without the cap, the shift would eventually overflow.
	limit := min(longestBackoff, firstBackoff<<min(number-1, 6))
	// Without jitter, all clients would come back at the time that the server asked for.
	wait := after + rand.N(limit) //nolint:gosec // no one gains from guessing it
	deadline, ok := ctx.Deadline()
	if !ok {
		return wait, true
	}
	left := time.Until(deadline) - lastAttempt
	if after >= left {
		return 0, false
	}
	// A wait that would last until the deadline is shortened, so that one more attempt is made.
	return min(wait, left), true
}
