package profile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// testCache returns a cache that contains credentials obtained at noon.
func testCache(t *testing.T, c credentials.Credentials) Cache {
	t.Helper()
	cache := Folder{root: t.TempDir(), version: "v"}.Cache(KeyOf(secret.New("{}")))
	write(t, cache.path, string(entry{Credentials: c, Obtained: noon()}.encode()))
	return cache
}

func TestRefreshWindow(t *testing.T) {
	for name, test := range map[string]struct {
		lifetime, windowBegins, expiration time.Duration
	}{
		"an hour":         {time.Hour, 55 * time.Minute, time.Hour - 150*time.Second},
		"twelve hours":    {12 * time.Hour, 12*time.Hour - 5*time.Minute, 12*time.Hour - 150*time.Second},
		"fifteen minutes": {15 * time.Minute, 10 * time.Minute, 15*time.Minute - 150*time.Second},
		"twelve minutes":  {12 * time.Minute, 8 * time.Minute, 10 * time.Minute},
		"three seconds":   {3 * time.Second, 2 * time.Second, 2500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			cache := testCache(t, testCredentials("old", test.lifetime))
			answer, err := cache.Get(t.Context(), at(test.windowBegins-time.Millisecond), never(t))
			if err != nil || answer.AccessKeyID.Reveal() != "old" || !answer.Expiration.Equal(noon().Add(test.expiration)) {
				t.Errorf("got %+v, %v", answer, err)
			}
			answer, err = cache.Get(t.Context(), at(test.windowBegins), renewed(2*test.lifetime))
			if err != nil || answer.AccessKeyID.Reveal() != "new" || answer.Problem != nil {
				t.Errorf("got %+v, %v", answer, err)
			}
			// botocore treats expired credentials as an error.
			if now := at(test.windowBegins)(); !answer.Expiration.After(now) || !answer.Expiration.Before(answer.Expires) {
				t.Errorf("at %s: got the reported expiration %s; the real one is %s", now, answer.Expiration, answer.Expires)
			}
			answer, err = cache.Get(t.Context(), at(test.windowBegins), never(t))
			if err != nil || answer.AccessKeyID.Reveal() != "new" || answer.SecretAccessKey.Reveal() != "canary-secret" ||
				answer.SessionToken.Reveal() != "canary-token" {
				t.Errorf("the new credentials were not cached: %v", err)
			}
		})
	}
}

func TestLongLivedKeys(t *testing.T) {
	cache := testCache(t, credentials.Credentials{AccessKeyID: secret.New("AKIA"), SecretAccessKey: secret.New("canary")})
	answer, err := cache.Get(t.Context(), at(10000*time.Hour), never(t))
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	if err := Print(&output, answer); err != nil || output.String() != `{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"canary"}`+"\n" {
		t.Errorf("got %s, %v", output.String(), err)
	}
}

func TestPrint(t *testing.T) {
	var output bytes.Buffer
	answer := Answer{Credentials: testCredentials("ASIA", time.Hour), Expiration: noon().Add(1500*time.Millisecond + time.Microsecond)}
	if err := Print(&output, answer); err != nil {
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
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: got %v, want %v", name, got[name], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestRenewalThatFails(t *testing.T) {
	broken := errors.New("broken")
	failing := func(context.Context) (credentials.Credentials, error) { return credentials.Credentials{}, broken }
	folder := Folder{root: t.TempDir(), version: "v"}
	if _, err := folder.Cache(KeyOf(secret.New("{}"))).Get(t.Context(), at(0), failing); err == nil || !strings.HasSuffix(err.Error(), "does not exist") {
		t.Errorf("without a session: got %v", err)
	}
	if entries, err := os.ReadDir(folder.root); err != nil || len(entries) != 0 {
		t.Errorf("without a session: got %d new files, %v", len(entries), err)
	}
	if _, err := testCache(t, credentials.Credentials{}).Get(t.Context(), at(0), failing); !errors.Is(err, broken) {
		t.Errorf("without credentials: got %v", err)
	}
	cache := testCache(t, testCredentials("old", time.Hour))
	answer, err := cache.Get(t.Context(), at(time.Hour-time.Millisecond), failing)
	if err != nil || answer.AccessKeyID.Reveal() != "old" || !answer.Expiration.Equal(answer.Expires) || !errors.Is(answer.Problem, broken) ||
		answer.Problem.Error() != "could not renew the credentials, which expire at 2026-07-01T13:00:00Z: broken" {
		t.Errorf("before the expiration: got %+v, %v", answer, err)
	}
	if _, err := cache.Get(t.Context(), at(time.Hour), failing); !errors.Is(err, broken) {
		t.Errorf("after the expiration: got %v", err)
	}
}

// New credentials are returned even if they cannot be cached.
func TestCacheThatCannotBeWritten(t *testing.T) {
	cache := testCache(t, credentials.Credentials{})
	if err := errors.Join(os.Remove(cache.path), os.MkdirAll(filepath.Join(cache.path, "folder"), 0o700)); err != nil {
		t.Fatal(err)
	}
	answer, err := cache.Get(t.Context(), at(0), renewed(time.Hour))
	if err != nil || answer.AccessKeyID.Reveal() != "new" || answer.Problem == nil ||
		!strings.HasPrefix(answer.Problem.Error(), "could not cache the new credentials") {
		t.Errorf("got %+v, %v", answer, err)
	}
}

// A process stops waiting for another one's renewal when its context is done, and returns the old credentials if they are valid.
func TestWaitForARenewal(t *testing.T) {
	cache := testCache(t, testCredentials("old", time.Hour))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := cache.Get(t.Context(), at(time.Hour), func(context.Context) (credentials.Credentials, error) {
		answer, err := cache.Get(ended, at(59*time.Minute), never(t))
		if err != nil || answer.AccessKeyID.Reveal() != "old" || answer.Problem == nil {
			t.Errorf("got %+v, %v", answer, err)
		}
		if _, err := cache.Get(ended, at(time.Hour), never(t)); !errors.Is(err, context.Canceled) {
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
		lifetime, at time.Duration
		hasDeadline  bool
	}{
		"valid":   {time.Hour, 59 * time.Minute, true},
		"expired": {time.Hour, time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			cache := testCache(t, testCredentials("old", test.lifetime))
			_, err := cache.Get(t.Context(), at(test.at), func(ctx context.Context) (credentials.Credentials, error) {
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
	cache := testCache(t, credentials.Credentials{})
	var renewals atomic.Int32
	var group sync.WaitGroup
	for range 50 {
		group.Add(1)
		go func() {
			defer group.Done()
			answer, err := cache.Get(t.Context(), at(0), func(context.Context) (credentials.Credentials, error) {
				renewals.Add(1)
				return testCredentials("new", time.Hour), nil
			})
			if err != nil || answer.AccessKeyID.Reveal() != "new" {
				t.Errorf("got %+v, %v", answer, err)
			}
		}()
	}
	group.Wait()
	if renewals.Load() != 1 {
		t.Errorf("got %d renewals, want 1", renewals.Load())
	}
}

func TestDamagedCache(t *testing.T) {
	for _, content := range []string{"", "{", "null", "[]", `{"access_key_id":"x"}`, `{"secret_access_key":"x"}`, strings.Repeat("x", 1<<16)} {
		cache := testCache(t, credentials.Credentials{})
		write(t, cache.path, content)
		if answer, err := cache.Get(t.Context(), at(0), renewed(time.Hour)); err != nil || answer.AccessKeyID.Reveal() != "new" {
			t.Errorf("%q: got %v", content, err)
		}
		if _, err := cache.Get(t.Context(), at(0), never(t)); err != nil {
			t.Errorf("%q: got %v", content, err)
		}
		checkMode(t, cache.path, 0o600)
	}
}
