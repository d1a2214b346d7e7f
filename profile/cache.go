package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// Cache keeps one session's credentials for all processes that use it.
type Cache struct{ path, lock string }

// entry is the content of the cache.
type entry struct {
	credentials.Credentials
	// Obtained is when the credentials were obtained, and so the beginning of their lifetime.
	Obtained time.Time
}

// refreshWindow is the time before the expiry in which the cache renews credentials: five minutes, which is more than a clock
// may be wrong and a call may wait for its retries. AWS's sessions last at least 15 minutes; for shorter ones, it is a third.
func (e entry) refreshWindow() time.Duration {
	const longest = 5 * time.Minute
	return min(longest, e.Expires.Sub(e.Obtained)/3)
}

func (e entry) isEmpty() bool { return e.AccessKeyID.IsEmpty() }

// needsRefresh reports whether there are no credentials, or the refresh window has begun.
func (e entry) needsRefresh(now time.Time) bool {
	return e.isEmpty() || !e.Expires.IsZero() && !now.Before(e.Expires.Add(-e.refreshWindow()))
}

// isUsable reports whether AWS still accepts the credentials.
func (e entry) isUsable(now time.Time) bool {
	return !e.isEmpty() && (e.Expires.IsZero() || now.Before(e.Expires))
}

// expiration is the expiry to report to SDKs, which then ask again: in the middle of the refresh window. If it were at its
// beginning, an SDK could get credentials that have expired already, which botocore takes for an error; at its end, the SDK
// for Go would sign with credentials that expire on their way.
func (e entry) expiration() time.Time {
	if e.Expires.IsZero() {
		return time.Time{}
	}
	return e.Expires.Add(-e.refreshWindow() / 2)
}

// answer returns credentials that do not need to be renewed yet.
func (e entry) answer() Answer {
	return Answer{Credentials: e.Credentials, Expiration: e.expiration()}
}

// Renewal obtains new credentials for a session.
type Renewal func(ctx context.Context) (credentials.Credentials, error)

// Answer is what a [Cache] returns.
type Answer struct {
	credentials.Credentials
	// Expiration is the expiry to report to the process that asks, before the credentials really expire; zero for long-lived keys.
	Expiration time.Time
	// Problem says that the credentials, which are still valid, could not be renewed, or that new ones could not be cached, and why;
	// nil if all is well.
	Problem error
}

// Get returns the cached credentials until their refresh window begins. Then one of the processes renews them, while the others
// wait for it, or until ctx is done. If that fails or takes too long, credentials that have not expired are returned with the
// problem.
func (c Cache) Get(ctx context.Context, now func() time.Time, renew Renewal) (Answer, error) {
	// optionalRenewalTimeout is how long to wait for a renewal as long as the old credentials are valid.
	const optionalRenewalTimeout = 15 * time.Second

	cached := c.read()
	if !cached.needsRefresh(now()) {
		return cached.answer(), nil
	}
	if cached.isUsable(now()) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, optionalRenewalTimeout)
		defer cancel()
	}
	unlock, err := sharedfile.LockFile(ctx, c.lock)
	if errors.Is(err, fs.ErrNotExist) {
		err = explain.Advise(fmt.Errorf("the session %s does not exist", filepath.Dir(c.lock)), "Run the Step again.")
	}
	if err != nil {
		return cached.orError(now(), err)
	}
	defer unlock()
	if cached = c.read(); !cached.needsRefresh(now()) {
		return cached.answer(), nil
	}
	renewed, err := renew(ctx)
	if err != nil {
		return cached.orError(now(), err)
	}
	current := entry{Credentials: renewed, Obtained: now()}
	answer := current.answer()
	if err := sharedfile.Replace(c.path, current.encode(), secretMode); err != nil {
		answer.Problem = fmt.Errorf("could not cache the new credentials, so they are renewed each time: %w", err)
	}
	return answer, nil
}

// orError returns the old credentials if they have not expired.
func (e entry) orError(now time.Time, err error) (Answer, error) {
	if !e.isUsable(now) {
		return Answer{}, err
	}
	return Answer{
		Credentials: e.Credentials, Expiration: e.Expires,
		Problem: fmt.Errorf("could not renew the credentials, which expire at %s: %w", e.Expires.UTC().Format(time.RFC3339), err),
	}, nil
}

type cacheFile struct {
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	SessionToken    string    `json:"session_token,omitempty"`
	Obtained        time.Time `json:"obtained"`
	Expires         time.Time `json:"expires,omitzero"`
}

func (e entry) encode() []byte {
	content, _ := json.Marshal(cacheFile{ // fails only for years of more than four digits, and then nothing is cached
		AccessKeyID: e.AccessKeyID.Reveal(), SecretAccessKey: e.SecretAccessKey.Reveal(), SessionToken: e.SessionToken.Reveal(),
		Obtained: e.Obtained.UTC(), Expires: e.Expires.UTC(),
	})
	return content
}

// read returns the cached credentials; none if the file does not exist or is damaged: then they are renewed, and the file is
// replaced.
func (c Cache) read() entry {
	content, err := sharedfile.Read(c.path)
	var file cacheFile
	if err != nil || json.Unmarshal(content, &file) != nil || file.SecretAccessKey == "" {
		return entry{}
	}
	return entry{Obtained: file.Obtained, Credentials: credentials.Credentials{
		AccessKeyID: secret.New(file.AccessKeyID), SecretAccessKey: secret.New(file.SecretAccessKey), SessionToken: secret.New(file.SessionToken),
		Expires: file.Expires,
	}}
}
