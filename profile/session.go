package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

const (
	// longestWindow is longer than the last 15 minutes, when botocore asks for new credentials at every call.
	longestWindow = 20 * time.Minute
	// safetyMargin is how long before they expire credentials are reported as expired, so that no call is signed with credentials
	// that expire on the way.
	safetyMargin = 150 * time.Second
	// pause is the minimum time between a failed renewal and the next one, while the old credentials are valid.
	pause = time.Minute
	// optionalRenewalTimeout is how long a renewal may take while the old credentials are valid.
	optionalRenewalTimeout = 15 * time.Second
)

// entry is the content of a session's cache.
type entry struct {
	credentials.Credentials
	// Obtained is when the credentials were obtained, which is the beginning of their lifetime.
	Obtained time.Time
	// Failed is when a renewal last failed, or zero if none has.
	Failed time.Time
}

// window is the time before the expiry in which the credentials are renewed.
func (e entry) window() time.Duration { return min(longestWindow, e.Expires.Sub(e.Obtained)/3) }

// needsRenewal reports whether there are no valid credentials, or the window has begun and no renewal just failed.
func (e entry) needsRenewal(now time.Time) bool {
	isDue := !e.Expires.IsZero() && !now.Before(e.Expires.Add(-e.window()))
	return !e.isUsable(now) || isDue && now.Sub(e.Failed).Abs() >= pause
}

// isUsable reports whether AWS still accepts the credentials.
func (e entry) isUsable(now time.Time) bool {
	return !e.AccessKeyID.IsEmpty() && (e.Expires.IsZero() || now.Before(e.Expires))
}

// expiration is the expiry to report to SDKs, which then ask again. It is earlier than the real one, but never in the past, because
// botocore treats that as an error.
func (e entry) expiration(now time.Time) time.Time {
	if reported := e.Expires.Add(-min(safetyMargin, e.window()/2)); !e.Expires.IsZero() && now.Before(reported) {
		return reported
	}
	return e.Expires
}

// Renewal obtains new credentials for a session.
type Renewal func(ctx context.Context) (credentials.Credentials, error)

// Get returns a session's credentials and the expiry to report for them. They come from the cache until their renewal is due. Then one
// process renews them, and the others wait for it until ctx is done. If the renewal fails or takes too long, Get returns the old
// credentials unless they have expired.
func (f Folder) Get(
	ctx context.Context, s Session, now func() time.Time, renew Renewal,
) (c credentials.Credentials, expiration time.Time, err error) {
	// A sweep doesn't remove a session in use. In a read-only home, this has no effect.
	_ = os.Chtimes(f.file(s, lockName), now(), now())
	cached := f.readCache(s)
	if cached.needsRenewal(now()) {
		cached, err = f.renew(ctx, s, now, cached, renew)
		if err != nil && !cached.isUsable(now()) {
			return credentials.Credentials{}, time.Time{}, err
		}
	}
	return cached.Credentials, cached.expiration(now()), nil
}

// renew returns new credentials, those that a different process has got meanwhile, or the old ones with an error.
func (f Folder) renew(ctx context.Context, s Session, now func() time.Time, cached entry, renew Renewal) (entry, error) {
	if cached.isUsable(now()) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, optionalRenewalTimeout)
		defer cancel()
	}
	unlock, err := sharedfile.LockFile(ctx, f.file(s, lockName))
	if err == nil {
		defer unlock()
		_, err = os.Lstat(f.file(s, settingsName)) // a logout may have removed the session meanwhile
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = explain.Advise(fmt.Errorf("the session %s does not exist", f.Path(string(s))), "Run the Step again.")
	}
	if err != nil {
		return cached, err
	}
	if cached = f.readCache(s); !cached.needsRenewal(now()) {
		return cached, nil
	}
	renewed, err := renew(ctx)
	if err == nil {
		cached = entry{Credentials: renewed, Obtained: now()}
	} else {
		cached.Failed = now()
	}
	// If the cache can't be written, such as in a read-only home, the credentials are renewed each time.
	_ = sharedfile.Replace(f.file(s, cacheName), cached.encode(), secretMode)
	return cached, err
}

// encode returns the JSON that readCache reads. It reveals the secrets.
func (e entry) encode() []byte {
	content, _ := json.Marshal(struct { // fails only for years with more than four digits, and then nothing is cached
		AccessKeyID, SecretAccessKey, SessionToken string
		Obtained, Expires, Failed                  time.Time `json:",omitzero"`
	}{
		e.AccessKeyID.Reveal(), e.SecretAccessKey.Reveal(), e.SessionToken.Reveal(),
		e.Obtained.UTC(), e.Expires.UTC(), e.Failed.UTC(),
	})
	return content
}

// readCache returns the cached credentials, or an empty entry if the file doesn't exist or is damaged. The credentials are then
// renewed and the file replaced.
func (f Folder) readCache(s Session) (e entry) {
	content, err := sharedfile.ReadOwn(f.file(s, cacheName))
	if err != nil || json.Unmarshal(content, &e) != nil || e.SecretAccessKey.IsEmpty() {
		return entry{}
	}
	return e
}

// Print writes credentials in the format that AWS defines for credential processes:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html.
func Print(w io.Writer, c credentials.Credentials, expiration time.Time) error {
	output := struct {
		Version         int
		AccessKeyId     string //nolint:revive // as AWS spells it
		SecretAccessKey string
		SessionToken    string    `json:",omitempty"`
		Expiration      time.Time `json:",omitzero"`
	}{
		Version: 1, AccessKeyId: c.AccessKeyID.Reveal(), SecretAccessKey: c.SecretAccessKey.Reveal(),
		SessionToken: c.SessionToken.Reveal(), Expiration: expiration.UTC().Truncate(time.Millisecond),
	}
	return json.NewEncoder(w).Encode(output)
}
