package profile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func TestRenewalWindow(t *testing.T) {
	for name, test := range map[string]struct {
		lifetime, windowBegins, early time.Duration
	}{
		"an hour":         {time.Hour, 40 * time.Minute, 150 * time.Second},
		"just below":      {57 * time.Minute, 38 * time.Minute, 150 * time.Second},
		"twelve hours":    {12 * time.Hour, 11*time.Hour + 40*time.Minute, 150 * time.Second},
		"half an hour":    {30 * time.Minute, 20 * time.Minute, 150 * time.Second},
		"fifteen minutes": {15 * time.Minute, 10 * time.Minute, 150 * time.Second},
		"twelve minutes":  {12 * time.Minute, 8 * time.Minute, 2 * time.Minute},
		"three seconds":   {3 * time.Second, 2 * time.Second, 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			folder, s := testSession(t, testCredentials("old", test.lifetime))
			want := noon().Add(test.lifetime - test.early)
			c, expiration, err := folder.Get(t.Context(), s, at(test.windowBegins-time.Millisecond), never(t))
			if err != nil || c.AccessKeyID.Reveal() != "old" || !expiration.Equal(want) {
				t.Errorf("got %s, %s, %v; want the expiration %s", c.AccessKeyID.Reveal(), expiration, err, want)
			}
			// SDKs that get an expiration that has passed already ask again, or fail.
			if begin := noon().Add(test.windowBegins); expiration.Before(begin) {
				t.Errorf("the reported expiration %s is before the window begins, at %s", expiration, begin)
			}
			c, expiration, err = folder.Get(t.Context(), s, at(test.windowBegins), renewed(2*test.lifetime))
			if err != nil || c.AccessKeyID.Reveal() != "new" || !expiration.Before(c.Expires) {
				t.Errorf("got %s, %s, %v", c.AccessKeyID.Reveal(), expiration, err)
			}
			c, _, err = folder.Get(t.Context(), s, at(test.windowBegins), never(t))
			if err != nil || c.AccessKeyID.Reveal() != "new" || c.SecretAccessKey.Reveal() != "canary-secret" ||
				c.SessionToken.Reveal() != "canary-token" {
				t.Errorf("the new credentials were not cached: %v", err)
			}
		})
	}
}

// failing returns a Renewal that fails, and the number of its calls.
func failing() (renew Renewal, calls *int) {
	calls = new(int)
	return func(context.Context) (credentials.Credentials, error) {
		*calls++
		return credentials.Credentials{}, errBroken
	}, calls
}

var errBroken = errors.New("broken")

// While the old credentials are valid, they are returned instead of an error, and a failed renewal is not repeated for a minute. Each
// call is another process, which knows of the failure from the cache.
func TestRenewalThatFails(t *testing.T) {
	folder, s := testSession(t, testCredentials("old", time.Hour))
	renew, calls := failing()
	for _, step := range []struct {
		at    time.Duration
		calls int
	}{
		{40 * time.Minute, 1},
		{40 * time.Minute, 1},
		{41*time.Minute - time.Millisecond, 1},
		{41 * time.Minute, 2},
		{41*time.Minute + time.Second, 2},
		{58 * time.Minute, 3},
		{59 * time.Minute, 4},
		{time.Hour - time.Millisecond, 4},
	} {
		c, expiration, err := folder.Get(t.Context(), s, at(step.at), renew)
		if err != nil || c.AccessKeyID.Reveal() != "old" || *calls != step.calls {
			t.Errorf("at %s: got %s, %v, and %d renewals; want %d", step.at, c.AccessKeyID.Reveal(), err, *calls, step.calls)
		}
		// botocore takes expired credentials for an error.
		if now := at(step.at)(); !expiration.After(now) || expiration.After(c.Expires) {
			t.Errorf("at %s: got the expiration %s", now, expiration)
		}
	}
	// An expired session is worth another attempt at once, and each time.
	for calledBefore := 4; calledBefore < 6; calledBefore++ {
		if _, _, err := folder.Get(t.Context(), s, at(time.Hour), renew); !errors.Is(err, errBroken) || *calls != calledBefore+1 {
			t.Errorf("after the expiration: got %v, and %d renewals", err, *calls)
		}
	}
	c, _, err := folder.Get(t.Context(), s, at(time.Hour), renewed(2*time.Hour))
	if err != nil || c.AccessKeyID.Reveal() != "new" {
		t.Errorf("got %s, %v", c.AccessKeyID.Reveal(), err)
	}
	if strings.Contains(read(t, folder.file(s, cacheName)), "failed") {
		t.Error("the failure is still in the cache")
	}
}

// A clock that goes back neither keeps a renewal from being repeated nor makes valid credentials invalid.
func TestClockGoesBack(t *testing.T) {
	folder, s := testSession(t, testCredentials("old", time.Hour))
	renew, calls := failing()
	for _, step := range []struct {
		at    time.Duration
		calls int
	}{{50 * time.Minute, 1}, {50*time.Minute - 10*time.Second, 1}, {45 * time.Minute, 2}, {-10 * time.Hour, 2}} {
		c, _, err := folder.Get(t.Context(), s, at(step.at), renew)
		if err != nil || c.AccessKeyID.Reveal() != "old" || *calls != step.calls {
			t.Errorf("at %s: got %s, %v, and %d renewals; want %d", step.at, c.AccessKeyID.Reveal(), err, *calls, step.calls)
		}
	}
	// Credentials that were obtained after their expiry, by this clock.
	write(t, folder.file(s, cacheName), string(entry{Credentials: testCredentials("old", time.Hour), Obtained: noon().Add(3 * time.Hour)}.encode()))
	if c, _, err := folder.Get(t.Context(), s, at(time.Hour), renewed(2*time.Hour)); err != nil || c.AccessKeyID.Reveal() != "new" {
		t.Errorf("got %s, %v", c.AccessKeyID.Reveal(), err)
	}
}

func TestLongLivedKeys(t *testing.T) {
	folder, s := testSession(t, credentials.Credentials{AccessKeyID: secret.New("AKIA"), SecretAccessKey: secret.New("canary")})
	c, expiration, err := folder.Get(t.Context(), s, at(10000*time.Hour), never(t))
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	if err := Print(&output, c, expiration); err != nil || output.String() != `{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"canary"}`+"\n" {
		t.Errorf("got %s, %v", output.String(), err)
	}
}

func TestPrint(t *testing.T) {
	var output bytes.Buffer
	expiration := noon().Add(1500*time.Millisecond + time.Microsecond)
	if err := Print(&output, testCredentials("ASIA", time.Hour), expiration); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(output.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"Version": 1.0, "AccessKeyId": "ASIA", "SecretAccessKey": "canary-secret", "SessionToken": "canary-token",
		"Expiration": "2026-07-01T12:00:01.5Z",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// Nothing is renewed for a session that doesn't exist, or whose settings a logout has removed while the process waited for the lock:
// the credentials would stay.
func TestSessionThatDoesNotExist(t *testing.T) {
	folder, s := testSession(t, testCredentials("old", time.Hour))
	check := func() {
		t.Helper()
		_, _, err := folder.Get(t.Context(), s, at(time.Hour), never(t))
		if err == nil || !strings.HasSuffix(err.Error(), "the session "+folder.Path(string(s))+" does not exist") {
			t.Errorf("got %v", err)
		}
		checkAdvice(t, err, "Run the Step again.")
	}
	if _, err := folder.RemoveSecrets(t.Context(), s, time.Time{}); err != nil {
		t.Fatal(err)
	}
	check()
	if exists(folder.file(s, cacheName)) {
		t.Error("the cache is there again")
	}
	if err := os.RemoveAll(folder.version(s)); err != nil {
		t.Fatal(err)
	}
	check()
	if left := tree(t, folder.root); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The use of a session is recorded, so that it is not removed as unused, even if its credentials are never renewed.
func TestUseIsRecorded(t *testing.T) {
	for name, c := range map[string]credentials.Credentials{
		"from the cache": testCredentials("old", 100*time.Hour),
		"renewed":        testCredentials("old", time.Hour),
		"long-lived":     testCredentials("old", 0),
	} {
		t.Run(name, func(t *testing.T) {
			folder, s := testSession(t, c)
			for _, use := range []time.Duration{5 * time.Hour, 50 * time.Hour} {
				if _, _, err := folder.Get(t.Context(), s, at(use), renewed(100*time.Hour)); err != nil {
					t.Fatal(err)
				}
				if info, err := os.Stat(folder.file(s, lockName)); err != nil || !info.ModTime().Equal(noon().Add(use)) {
					t.Errorf("got %v, %v", info, err)
				}
			}
		})
	}
}

// New credentials are returned even if they cannot be cached.
func TestCacheThatCannotBeWritten(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	write(t, elsewhere, string(entry{Credentials: testCredentials("planted", time.Hour), Obtained: noon()}.encode()))
	for name, create := range map[string]func(path string) error{
		"a folder":         func(path string) error { return os.Mkdir(path, 0o700) },
		"a link to a file": func(path string) error { return os.Symlink(elsewhere, path) },
		"a link to a device": func(path string) error {
			return os.Symlink("/dev/zero", path)
		},
		"a link to nothing": func(path string) error { return os.Symlink("nothing", path) },
	} {
		t.Run(name, func(t *testing.T) {
			folder, s := testSession(t, credentials.Credentials{})
			path := folder.file(s, cacheName)
			if err := errors.Join(os.Remove(path), create(path)); err != nil {
				t.Fatal(err)
			}
			before := read(t, elsewhere)
			for range 2 {
				if c, _, err := folder.Get(t.Context(), s, at(0), renewed(time.Hour)); err != nil || c.AccessKeyID.Reveal() != "new" {
					t.Errorf("got %s, %v", c.AccessKeyID.Reveal(), err)
				}
			}
			if left := tree(t, folder.Path(string(s))); !slices.Equal(left, []string{cacheName, lockName, settingsName}) {
				t.Errorf("got %q", left)
			}
			if read(t, elsewhere) != before {
				t.Error("the link was followed")
			}
		})
	}
}

// A process stops waiting for a different process's renewal when its context is done, and returns the old credentials if they are valid.
func TestWaitForARenewal(t *testing.T) {
	folder, s := testSession(t, testCredentials("old", time.Hour))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := folder.Get(t.Context(), s, at(time.Hour), func(context.Context) (credentials.Credentials, error) {
		if c, _, err := folder.Get(ended, s, at(59*time.Minute), never(t)); err != nil || c.AccessKeyID.Reveal() != "old" {
			t.Errorf("got %s, %v", c.AccessKeyID.Reveal(), err)
		}
		if _, _, err := folder.Get(ended, s, at(time.Hour), never(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		return testCredentials("new", 2*time.Hour), nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRenewalHasADeadlineWhileCredentialsAreValid(t *testing.T) {
	for name, test := range map[string]struct {
		at          time.Duration
		hasDeadline bool
	}{
		"valid":   {59 * time.Minute, true},
		"expired": {time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			folder, s := testSession(t, testCredentials("old", time.Hour))
			_, _, err := folder.Get(t.Context(), s, at(test.at), func(ctx context.Context) (credentials.Credentials, error) {
				deadline, hasDeadline := ctx.Deadline()
				if hasDeadline != test.hasDeadline || hasDeadline && time.Until(deadline) > 15*time.Second {
					t.Errorf("got %s, %v", deadline, hasDeadline)
				}
				return testCredentials("new", 2*time.Hour), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOneProcessRenews(t *testing.T) {
	folder, s := testSession(t, credentials.Credentials{})
	var renewals atomic.Int32
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			c, _, err := folder.Get(t.Context(), s, at(0), func(context.Context) (credentials.Credentials, error) {
				renewals.Add(1)
				return testCredentials("new", time.Hour), nil
			})
			if err != nil || c.AccessKeyID.Reveal() != "new" {
				t.Errorf("got %s, %v", c.AccessKeyID.Reveal(), err)
			}
		})
	}
	group.Wait()
	if renewals.Load() != 1 {
		t.Errorf("got %d renewals, want 1", renewals.Load())
	}
}

func TestDamagedCache(t *testing.T) {
	for _, content := range []string{"", "{", "null", "[]", `{"AccessKeyID":"x"}`, `{"SecretAccessKey":"x"}`, strings.Repeat("x", 1<<16)} {
		folder, s := testSession(t, credentials.Credentials{})
		write(t, folder.file(s, cacheName), content)
		if c, _, err := folder.Get(t.Context(), s, at(0), renewed(time.Hour)); err != nil || c.AccessKeyID.Reveal() != "new" {
			t.Errorf("%q: got %v", content, err)
		}
		if _, _, err := folder.Get(t.Context(), s, at(0), never(t)); err != nil {
			t.Errorf("%q: got %v", content, err)
		}
		checkMode(t, folder.file(s, cacheName), 0o600)
	}
}
