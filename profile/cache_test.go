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

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func noon() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

func at(d time.Duration) func() time.Time { return func() time.Time { return noon().Add(d) } }

func testCredentials(id string, life time.Duration) Credentials {
	c := Credentials{AccessKeyID: secret.New(id), SecretAccessKey: secret.New("canary-secret"), SessionToken: secret.New("canary-token")}
	if life != 0 {
		c.Expires = noon().Add(life)
	}
	return c
}

func testCache(t *testing.T) Cache {
	t.Helper()
	return Folder{path: t.TempDir()}.Cache(Settings{}.Key())
}

func never(t *testing.T) Renewal {
	return func(context.Context) (Credentials, error) {
		t.Helper()
		t.Error("good credentials were renewed")
		return Credentials{}, errors.New("not to be called")
	}
}

// Credentials are handed out until five minutes before their end, or a third of a life that is shorter than those of AWS.
func TestWhenTheCacheRenews(t *testing.T) {
	for _, row := range []struct {
		life, last, told time.Duration
	}{
		{time.Hour, 55 * time.Minute, time.Hour - 150*time.Second},
		{12 * time.Hour, 12*time.Hour - 5*time.Minute, 12*time.Hour - 150*time.Second},
		{15 * time.Minute, 10 * time.Minute, 15*time.Minute - 150*time.Second},
		{3 * time.Second, 2 * time.Second, 2500 * time.Millisecond},
	} {
		cache := testCache(t)
		if err := cache.Store(t.Context(), testCredentials("old", row.life), noon()); err != nil {
			t.Fatal(err)
		}
		answer, err := cache.Get(t.Context(), at(row.last-time.Millisecond), never(t))
		if err != nil || answer.AccessKeyID.Reveal() != "old" || !answer.Told.Equal(noon().Add(row.told)) {
			t.Errorf("%s: %s told, %v", row.life, answer.Told, err)
		}
		answer, err = cache.Get(t.Context(), at(row.last), func(context.Context) (Credentials, error) { return testCredentials("new", 2*row.life), nil })
		if err != nil || answer.AccessKeyID.Reveal() != "new" || answer.Problem != nil {
			t.Errorf("%s: %+v, %v", row.life, answer, err)
		}
		// botocore does not forgive an end that has passed already; the true one is later than what is told.
		if now := at(row.last)(); !answer.Told.After(now) || !answer.Told.Before(answer.Expires) {
			t.Errorf("%s: %s is told at %s, the end is %s", row.life, answer.Told, now, answer.Expires)
		}
		if again, err := cache.Get(t.Context(), at(row.last), never(t)); err != nil || again.AccessKeyID.Reveal() != "new" {
			t.Errorf("%s: the new ones were not kept: %v", row.life, err)
		}
	}
}

// Keys that do not end are handed out without an end.
func TestLongLivedKeys(t *testing.T) {
	cache := testCache(t)
	if err := cache.Store(t.Context(), Credentials{AccessKeyID: secret.New("AKIA"), SecretAccessKey: secret.New("canary")}, noon()); err != nil {
		t.Fatal(err)
	}
	answer, err := cache.Get(t.Context(), at(10000*time.Hour), never(t))
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	if err := Print(&output, answer); err != nil || output.String() != `{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"canary"}`+"\n" {
		t.Errorf("%s, %v", output.String(), err)
	}
}

func TestPrint(t *testing.T) {
	var output bytes.Buffer
	if err := Print(&output, Answer{Credentials: testCredentials("ASIA", time.Hour), Told: noon().Add(1500 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(output.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got["Version"] != 1.0 || got["AccessKeyId"] != "ASIA" || got["SecretAccessKey"] != "canary-secret" || got["SessionToken"] != "canary-token" || got["Expiration"] != "2026-07-01T12:00:01.5Z" || len(got) != 5 {
		t.Errorf("got %v", got)
	}
}

// What fails leaves the old credentials in use as long as they work, and says so; then it is an error.
func TestRenewalThatFails(t *testing.T) {
	cache := testCache(t)
	broken := errors.New("broken")
	failing := func(context.Context) (Credentials, error) { return Credentials{}, broken }
	if _, err := cache.Get(t.Context(), at(0), failing); !errors.Is(err, broken) {
		t.Errorf("without any: %v", err)
	}
	if err := cache.Store(t.Context(), testCredentials("old", time.Hour), noon()); err != nil {
		t.Fatal(err)
	}
	answer, err := cache.Get(t.Context(), at(59*time.Minute), failing)
	if err != nil || answer.AccessKeyID.Reveal() != "old" || !answer.Told.Equal(answer.Expires) || !errors.Is(answer.Problem, broken) {
		t.Errorf("%+v, %v", answer, err)
	}
	if _, err := cache.Get(t.Context(), at(time.Hour), failing); !errors.Is(err, broken) {
		t.Errorf("after their end: %v", err)
	}
}

// Whoever waits for another one's renewal does so as long as its context, and takes the old credentials if they work.
func TestWaitingEndsWithItsContext(t *testing.T) {
	cache := testCache(t)
	if err := cache.Store(t.Context(), testCredentials("old", time.Hour), noon()); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := cache.Get(t.Context(), at(time.Hour), func(context.Context) (Credentials, error) {
		if answer, err := cache.Get(ended, at(59*time.Minute), never(t)); err != nil || answer.AccessKeyID.Reveal() != "old" {
			t.Errorf("%+v, %v", answer, err)
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

// Whoever has credentials to go on with does not wait for as long as the caller would.
func TestRenewalIsBriefWhileTheOldOnesWork(t *testing.T) {
	for _, row := range []struct {
		at      time.Duration
		bounded bool
	}{{59 * time.Minute, true}, {time.Hour, false}} {
		cache := testCache(t)
		if err := cache.Store(t.Context(), testCredentials("old", time.Hour), noon()); err != nil {
			t.Fatal(err)
		}
		_, err := cache.Get(t.Context(), at(row.at), func(ctx context.Context) (Credentials, error) {
			if _, bounded := ctx.Deadline(); bounded != row.bounded {
				t.Errorf("after %s: bounded %v, want %v", row.at, bounded, row.bounded)
			}
			return testCredentials("new", 2*time.Hour), nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOneRenewsAndTheRestWait(t *testing.T) {
	cache := testCache(t)
	var renewals atomic.Int32
	var group sync.WaitGroup
	for range 50 {
		group.Add(1)
		go func() {
			defer group.Done()
			answer, err := cache.Get(t.Context(), at(0), func(context.Context) (Credentials, error) {
				renewals.Add(1)
				return testCredentials("new", time.Hour), nil
			})
			if err != nil || answer.AccessKeyID.Reveal() != "new" {
				t.Errorf("%+v, %v", answer, err)
			}
		}()
	}
	group.Wait()
	if renewals.Load() != 1 {
		t.Errorf("%d renewals", renewals.Load())
	}
}

// What is not to be read is replaced.
func TestBrokenCache(t *testing.T) {
	for _, content := range []string{"", "{", "null", "[]", `{"version":2,"secret_access_key":"x"}`, `{"version":1}`, strings.Repeat("x", 1<<16)} {
		cache := testCache(t)
		if err := os.MkdirAll(filepath.Dir(cache.path), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, cache.path, content)
		answer, err := cache.Get(t.Context(), at(0), func(context.Context) (Credentials, error) { return testCredentials("new", time.Hour), nil })
		if err != nil || answer.AccessKeyID.Reveal() != "new" {
			t.Errorf("%q: %v", content, err)
		}
		if _, err := cache.Get(t.Context(), at(0), never(t)); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// What a process that was killed has left is gone with the next renewal.
func TestLeftoversOfKilledProcesses(t *testing.T) {
	cache := testCache(t)
	if err := os.MkdirAll(filepath.Dir(cache.path), 0o700); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(cache.path), "."+filepath.Base(cache.path)+".authenticate-with-aws-123")
	write(t, left, `{"version":1,"access`)
	if err := cache.Store(t.Context(), testCredentials("new", time.Hour), noon()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("it is still there")
	}
}
