package step

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Every input that shapes the session is kept for the renewals of a profile, or is deliberately not. This test fails for a new input
// until it is kept, or in this list.
func TestEveryInputIsKeptOrDeliberatelyNot(t *testing.T) {
	notKept := []string{ // of the run, or, for the token, never written
		"action", "build_api_token", "docker_login", "ecr_registries", "timeout", "verbose",
	}
	given := Environment{}
	Inputs{}.each(func(key string, _ secret.Text, _ bool) { given[key] = "the " + key })
	settings := readInputs(given).keep(Environment{})
	kept, err := parseKept(settings)
	if err != nil {
		t.Fatal(err)
	}
	readInputs(kept).each(func(key string, value secret.Text, _ bool) {
		want := "the " + key
		switch {
		case slices.Contains(notKept, key):
			want = ""
		case key == "identity_token":
			want = fmt.Sprintf("%x", sha256.Sum256([]byte(want)))
		}
		if value.Reveal() != want {
			t.Errorf("%s: got %q, want %q", key, value.Reveal(), want)
		}
	})
	for _, token := range []string{"the identity_token", "the build_api_token"} {
		if strings.Contains(settings.Reveal(), token) {
			t.Errorf("%s is written", token)
		}
	}
}

// A session has its own key for all that shapes it.
func TestSessionKeys(t *testing.T) {
	given := Environment{
		"region": " eu-west-1\n", "role_arn": "arn", "build_api_token": "b", "identity_token": "i", "secret_access_key": "s",
		"AWS_ENDPOINT_URL_STS": "https://sts", "AWS_CA_BUNDLE": "/ca", "HTTPS_PROXY": "proxy",
	}
	key := keyOf(t, given)
	for name, isShaping := range map[string]bool{
		"region": true, "identity_token": true, "secret_access_key": true, "AWS_ENDPOINT_URL_STS": true, "AWS_CA_BUNDLE": true,
		"external_id": true, "BITRISE_BUILD_SLUG": true, "build_api_token": false, "docker_login": false, "timeout": false, "HTTPS_PROXY": false,
	} {
		other := maps.Clone(given)
		other[name] = "another"
		if got := keyOf(t, other) != key; got != isShaping {
			t.Errorf("another %s: got another session %v, want %v", name, got, isShaping)
		}
	}
}

func keyOf(t *testing.T, environment Environment) string {
	t.Helper()
	return readInputs(environment).keep(environment).Reveal()
}

// A renewal runs in any folder.
func TestRelativeBundleIsKeptAbsolute(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for given, want := range map[string]string{"ca.pem": filepath.Join(folder, "ca.pem"), "/etc/ca.pem": "/etc/ca.pem", "": ""} {
		kept, err := parseKept(Inputs{}.keep(Environment{"AWS_CA_BUNDLE": given}))
		if got := kept.Get("AWS_CA_BUNDLE"); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", given, got, err, want)
		}
	}
}

func TestDamagedSettings(t *testing.T) {
	for _, content := range []string{"", "canary", "[]", `{"region":["canary"]}`} {
		_, err := parseKept(secret.New(content))
		if err == nil || strings.Contains(err.Error(), "canary") || len(explain.Of(err).Do) != 1 {
			t.Errorf("%q: got %v", content, err)
		}
	}
}

// A renewal uses the variables that were kept, not the current ones.
func TestRestore(t *testing.T) {
	process := repository{"AWS_ENDPOINT_URL": "https://other", "AWS_USE_FIPS_ENDPOINT": "true", "HTTPS_PROXY": "proxy"}
	kept := Environment{"AWS_ENDPOINT_URL_STS": "https://sts", "AWS_CA_BUNDLE": "/ca"}
	environment, err := CredentialProcess{Environment: Environment(maps.Clone(process)), Process: process}.restore(kept)
	if err != nil {
		t.Fatal(err)
	}
	if want := (repository{"AWS_ENDPOINT_URL_STS": "https://sts", "HTTPS_PROXY": "proxy"}); !maps.Equal(process, want) {
		t.Errorf("got the process's environment %v, want %v", process, want)
	}
	want := Environment{"AWS_ENDPOINT_URL_STS": "https://sts", "AWS_CA_BUNDLE": "/ca", "HTTPS_PROXY": "proxy"}
	maps.DeleteFunc(environment, func(_, value string) bool { return value == "" })
	if !maps.Equal(environment, want) {
		t.Errorf("got %v, want %v", environment, want)
	}
}

// The log promises renewal only where it is possible.
func TestIsRenewable(t *testing.T) {
	key := &awsauth.AccessKey{AccessKeyID: secret.New("AKIA"), SecretAccessKey: secret.New("secret")}
	temporary := &awsauth.AccessKey{AccessKeyID: secret.New("ASIA"), SecretAccessKey: secret.New("secret"), SessionToken: secret.New("token")}
	given := idtoken.Token{Text: secret.New("token")}
	chain := make([]awsauth.AssumedRole, 1)
	for name, row := range map[string]struct {
		config Config
		want   bool
	}{
		"a role":                      {Config{WebIdentity: &awsauth.WebIdentity{}}, true},
		"a role, with a given token":  {Config{WebIdentity: &awsauth.WebIdentity{Token: given}}, false},
		"an access key":               {Config{AccessKey: key}, false},
		"an access key and a chain":   {Config{AccessKey: key, Chain: chain}, true},
		"a temporary key and a chain": {Config{AccessKey: temporary, Chain: chain}, false},
	} {
		run := Step{Log: report.NewPlainLog(io.Discard)}
		if got := run.warnOfLimits(row.config); got != row.want {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
}

func TestInterruption(t *testing.T) {
	failure := errors.New("no response")
	cause := errors.New("timed out")
	timedOut, cancel := context.WithTimeoutCause(t.Context(), 0, cause)
	defer cancel()
	interrupted, stop := context.WithCancel(t.Context())
	stop()
	for name, row := range map[string]struct {
		ctx   context.Context
		err   error
		cause string
		means string
	}{
		"no interruption":   {t.Context(), failure, "no response", ""},
		"a signal":          {interrupted, failure, "interrupted by a signal", ""},
		"the timeout":       {timedOut, failure, "timed out", "Last error before the timeout: no response."},
		"already the cause": {timedOut, fmt.Errorf("wait for a lock: %w", cause), "wait for a lock: timed out", ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := explain.Of(interruption(row.ctx, row.err))
			if x.Cause != row.cause || strings.Join(x.Means, "") != row.means {
				t.Errorf("got %+v", x)
			}
		})
	}
	if interruption(interrupted, nil) != nil {
		t.Error("got an error for nil")
	}
}

// A run that does not end in time is stopped, with a line that says so. Other runs are not affected.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		exited := make(chan int, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer watch(ctx, time.Second, report.NewPlainLog(&log), func(code int) { exited <- code })()
		cancel()
		code := <-exited
		synctest.Wait()
		if code != 1 || log.String() != "interrupted by a signal: the Step did not stop in time and was terminated\n" {
			t.Errorf("got exit code %d, log %q", code, &log)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		stop := watch(ctx, time.Second, report.NewPlainLog(&log), func(int) { t.Error("a run that ended in time was stopped") })
		cancel()
		stop()
		time.Sleep(time.Hour)
	})
}

type blocked struct{}

func (blocked) Write([]byte) (int, error) { select {} }

// A blocked log does not keep the watchdog from stopping the process.
func TestWatchWithABlockedLog(t *testing.T) {
	exited := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer watch(ctx, 0, report.NewPlainLog(blocked{}), func(code int) { exited <- code })()
	cancel()
	<-exited
}

func TestCheckAccount(t *testing.T) {
	allowed, err := awsid.ParseAccountID("123456789012")
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		account string
		allowed []awsid.AccountID
		want    string
	}{
		"any":     {"210987654321", nil, ""},
		"allowed": {"123456789012", []awsid.AccountID{allowed}, ""},
		"another": {"210987654321", []awsid.AccountID{allowed}, "in account 210987654321, which is not allowed"},
		"unknown": {"", []awsid.AccountID{allowed}, "does not say which account"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkAccount(awsauth.Session{AccountID: row.account, CallerARN: "arn"}, row.allowed)
			if (err == nil) != (row.want == "") || (err != nil && !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

// One warning is enough, and up to a minute is no reason for one.
func TestWarnOfSkew(t *testing.T) {
	for ahead, want := range map[time.Duration]string{
		time.Minute: "", -time.Minute: "", 61 * time.Second: "This machine's clock is 1m1s behind Bitrise's.",
		-time.Hour: "This machine's clock is 1h0m0s ahead of Bitrise's.",
	} {
		t.Run(ahead.String(), func(t *testing.T) {
			var log bytes.Buffer
			a := &authenticator{log: report.NewPlainLog(&log)}
			a.warnOfSkew(ahead)
			a.warnOfSkew(ahead)
			if got := log.String(); !strings.HasPrefix(got, want) || strings.Count(got, "Bitrise's") != min(1, len(want)) {
				t.Errorf("got %q, want %q once", got, want)
			}
		})
	}
}
