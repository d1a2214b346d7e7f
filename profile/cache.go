package profile

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// Cache keeps one session's credentials for all processes that use it.
type Cache struct{ path, lock string }

// cacheVersion is that of the cache's file; what another version wrote is not read.
const cacheVersion = 1

// entry is what the cache's file holds.
type entry struct {
	Credentials
	// Obtained is when the credentials were handed out, so that Expires tells how long they live.
	Obtained time.Time
}

// spare is how long before their end credentials are no longer handed out: five minutes, which is more than a clock may be
// wrong and a call may wait to be sent again. Sessions of AWS live a quarter of an hour at least; of one that lives less,
// it is a third.
func (e entry) spare() time.Duration {
	const most = 5 * time.Minute
	return min(most, e.Expires.Sub(e.Obtained)/3)
}

func (e entry) found() bool { return !e.AccessKeyID.IsEmpty() }

// fresh tells whether the credentials are to be handed out.
func (e entry) fresh(now time.Time) bool {
	return e.found() && (e.Expires.IsZero() || now.Before(e.Expires.Add(-e.spare())))
}

// living tells whether the credentials still work.
func (e entry) living(now time.Time) bool {
	return e.found() && (e.Expires.IsZero() || now.Before(e.Expires))
}

// told is the end that is told to SDKs, which come back then. It lies between the time from which the cache renews and the
// true end: later than the former, or an SDK would get credentials that it takes for ended already, which botocore does
// not forgive; earlier than the latter, since AWS's SDK for Go signs with what it has up to the last moment.
func (e entry) told() time.Time {
	if e.Expires.IsZero() {
		return time.Time{}
	}
	return e.Expires.Add(-e.spare() / 2)
}

// Renewal gets the credentials of a session anew.
type Renewal func(ctx context.Context) (Credentials, error)

// Answer is what a [Cache] hands out.
type Answer struct {
	Credentials
	// Told is the end to tell to whoever asks; zero: none.
	Told time.Time
	// Problem is why these credentials, which still work, could not be replaced by new ones, or new ones could not be kept;
	// nil if all is well.
	Problem error
}

// brief is how long a renewal, or the wait for one, may take for somebody who has credentials to go on with.
const brief = 15 * time.Second

// Get hands out the cached credentials until shortly before their end. From then on one caller of all processes renews
// them, while the others wait for it, or for the end of ctx. If that fails, or takes long, and the old ones still work, they
// are handed out.
func (c Cache) Get(ctx context.Context, now func() time.Time, renew Renewal) (Answer, error) {
	cached := c.read()
	if cached.fresh(now()) {
		return Answer{Credentials: cached.Credentials, Told: cached.told()}, nil
	}
	if cached.living(now()) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, brief)
		defer cancel()
	}
	unlock, err := sharedfile.LockFile(ctx, c.lock)
	if err != nil {
		return cached.orElse(now(), err)
	}
	defer unlock()
	if cached = c.read(); cached.fresh(now()) {
		return Answer{Credentials: cached.Credentials, Told: cached.told()}, nil
	}
	credentials, err := renew(ctx)
	if err != nil {
		return cached.orElse(now(), err)
	}
	renewed := entry{Credentials: credentials, Obtained: now()}
	return Answer{Credentials: credentials, Told: renewed.told(), Problem: c.write(renewed)}, nil
}

// orElse is the answer where there are no new credentials: the old ones, as long as they work.
func (e entry) orElse(now time.Time, err error) (Answer, error) {
	if !e.living(now) {
		return Answer{}, err
	}
	return Answer{Credentials: e.Credentials, Told: e.Expires, Problem: err}, nil
}

// Store puts credentials into the cache that were obtained now.
func (c Cache) Store(ctx context.Context, credentials Credentials, now time.Time) error {
	unlock, err := sharedfile.LockFile(ctx, c.lock)
	if err != nil {
		return err
	}
	defer unlock()
	return c.write(entry{Credentials: credentials, Obtained: now})
}

// remove empties the cache. The lock's file stays, because somebody may be waiting at it.
func (c Cache) remove(ctx context.Context) error {
	unlock, err := lockFileSoon(ctx, c.lock)
	if err != nil {
		return err
	}
	defer unlock()
	return os.Remove(c.path)
}

type cacheFile struct {
	Version         int       `json:"version"`
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	SessionToken    string    `json:"session_token,omitempty"`
	Obtained        time.Time `json:"obtained"`
	Expires         time.Time `json:"expires,omitzero"`
}

// write replaces the file. The caller holds the lock.
func (c Cache) write(e entry) error {
	sharedfile.Sweep(c.path)
	content, err := json.Marshal(cacheFile{
		Version: cacheVersion, AccessKeyID: e.AccessKeyID.Reveal(), SecretAccessKey: e.SecretAccessKey.Reveal(), SessionToken: e.SessionToken.Reveal(),
		Obtained: e.Obtained.UTC(), Expires: e.Expires.UTC(),
	})
	if err != nil {
		return errors.New("the credentials' times cannot be written")
	}
	return sharedfile.Replace(c.path, content, secretMode)
}

// read returns what the file holds; nothing if it is absent, or is not to be read: then the credentials are renewed, and
// the file with them.
func (c Cache) read() entry {
	content, err := sharedfile.Read(c.path)
	var file cacheFile
	if err != nil || json.Unmarshal(content, &file) != nil || file.Version != cacheVersion || file.SecretAccessKey == "" {
		return entry{}
	}
	return entry{Obtained: file.Obtained, Credentials: Credentials{
		AccessKeyID: secret.New(file.AccessKeyID), SecretAccessKey: secret.New(file.SecretAccessKey), SessionToken: secret.New(file.SessionToken),
		Expires: file.Expires,
	}}
}
