package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// Every input is either kept for the renewals of a profile, or deliberately not kept. This test fails for a new input until it is
// in one of the two lists.
func TestEveryInputIsKeptOrDeliberatelyNot(t *testing.T) {
	notKept := map[string]string{
		"action": "of the run", "identity_token": "only its digest", "build_api_token": "never written", "aws_profile": "names the profile",
		"docker_login": "of the run", "ecr_registries": "of the run", "timeout": "of the run", "verbose": "of the run",
	}
	count := 0
	Inputs{}.each(func(key string, _ secret.Text, _ bool) {
		count++
		if _, found := notKept[key]; found == slices.Contains(keptInputs(), key) {
			t.Errorf("%s: got kept %v and not kept %v, want exactly one", key, !found, found)
		}
	})
	if want := len(keptInputs()) + len(notKept); count != want {
		t.Errorf("got %d inputs, want the %d that are listed", count, want)
	}
}

func TestSessionSettings(t *testing.T) {
	given := repository{
		"region": " eu-west-1\n", "role_arn": "arn", "session_name": "", "build_api_token": "canary-build-token",
		"identity_token": "canary-identity-token", "secret_access_key": "canary-key", "docker_login": "true",
	}
	environment := Environment{"AWS_ENDPOINT_URL_STS": "https://sts", "HTTPS_PROXY": "canary-proxy", "AWS_CA_BUNDLE": "/ca", "AWS_PROFILE": "x"}
	settings := settingsOf(t, given, environment)
	want := []string{"AWS_CA_BUNDLE", "AWS_ENDPOINT_URL_STS", "identity_token_sha256", "region", "role_arn", "secret_access_key"}
	if got := slices.Sorted(maps.Keys(settings)); !slices.Equal(got, want) || settings.Get("region") != "eu-west-1" || settings.Get("secret_access_key") != "canary-key" {
		t.Errorf("got %v", got)
	}
	if text := fmt.Sprintf("%v %+v %#v", settings, settings, settings); strings.Contains(text, "canary") {
		t.Errorf("a secret is printed: %s", text)
	}
	for _, name := range []string{"region", "identity_token", "secret_access_key"} {
		t.Run("another "+name, func(t *testing.T) {
			other := maps.Clone(given)
			other[name] = "another"
			if settingsOf(t, other, environment).Key() == settings.Key() {
				t.Error("got the same session")
			}
		})
	}
}

func settingsOf(t *testing.T, given repository, environment Environment) profile.Settings {
	t.Helper()
	inputs, err := readInputs(given)
	if err != nil {
		t.Fatal(err)
	}
	return inputs.settings(environment)
}

// A renewal uses the settings that were kept, not the current environment.
func TestRestore(t *testing.T) {
	given := repository{"region": "us-east-1", "external_id": "another Step's", "AWS_ENDPOINT_URL": "https://other", "AWS_USE_FIPS_ENDPOINT": "true", "timeout": "10"}
	settings := settingsOf(t, repository{"region": "eu-west-1", "role_arn": "arn"},
		Environment{"AWS_ENDPOINT_URL_STS": "https://sts", "AWS_CA_BUNDLE": "/ca"})
	environment, err := CredentialProcess{Inputs: given, Environment: Environment{"HTTPS_PROXY": "proxy", "AWS_ENDPOINT_URL": "https://other"}}.restore(settings, "build token")
	if err != nil {
		t.Fatal(err)
	}
	want := repository{"region": "eu-west-1", "role_arn": "arn", "build_api_token": "build token", "AWS_ENDPOINT_URL_STS": "https://sts"}
	if !reflect.DeepEqual(given, want) {
		t.Errorf("got the environment %v, want %v", given, want)
	}
	for key, want := range map[string]string{"HTTPS_PROXY": "proxy", "AWS_CA_BUNDLE": "/ca", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_STS": "https://sts"} {
		if got := environment.Get(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
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
		if got := row.config.isRenewable(); got != row.want {
			t.Errorf("%s: got %v, want %v", name, got, row.want)
		}
	}
}

// With a profile, only variables that are set are emptied, because some SDKs treat an empty variable as a value.
func TestEmptyCredentialOutputs(t *testing.T) {
	var got []string
	for _, out := range emptyCredentialOutputs(Environment{"AWS_SESSION_TOKEN": "t", "AWS_ACCESS_KEY_ID": "", "AWS_REGION": "r"}) {
		got = append(got, out.key+"="+out.value.Reveal())
	}
	if want := []string{"AWS_ACCESS_KEY_ID=", "AWS_SESSION_TOKEN="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInterruption(t *testing.T) {
	failure := errors.New("no answer")
	timedOut, cancel := context.WithCancelCause(t.Context())
	cancel(&timeoutError{after: 10 * time.Second})
	interrupted, stop := context.WithCancel(t.Context())
	stop()
	for name, row := range map[string]struct {
		ctx   context.Context
		err   error
		cause string
		means string
	}{
		"no interruption":   {t.Context(), failure, "no answer", ""},
		"a signal":          {interrupted, failure, "interrupted by a signal", ""},
		"the timeout":       {timedOut, failure, "the Step took longer than the 10 seconds of its input timeout", "At that moment: no answer."},
		"already the cause": {timedOut, errInterrupted, "interrupted by a signal", ""},
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

// A run that does not end in time is stopped, with a line that says so. Other runs are not affected (issue 16, item 3).
func TestWatch(t *testing.T) {
	var log bytes.Buffer
	exited := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer watch(ctx, 0, report.NewPlainLog(&log), func(code int) { exited <- code }, "timed out")()
	cancel()
	if code := <-exited; code != 1 || log.String() != "timed out\n" {
		t.Errorf("got exit code %d, log %q", code, &log)
	}

	var late atomic.Int32
	ctx, cancel = context.WithCancel(t.Context())
	stop := watch(ctx, time.Hour, report.NewPlainLog(&log), func(int) { late.Add(1) }, "")
	cancel()
	stop()
	if late.Load() != 0 {
		t.Error("a run that ended in time was stopped")
	}
}

type blocked struct{}

func (blocked) Write([]byte) (int, error) { select {} }

// A blocked log does not keep the watchdog from stopping the process (issue 16, item 3).
func TestWatchWithABlockedLog(t *testing.T) {
	exited := make(chan int, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer watch(ctx, 0, report.NewPlainLog(blocked{}), func(code int) { exited <- code }, "timed out")()
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
		"another": {"210987654321", []awsid.AccountID{allowed}, "of account 210987654321, which is not allowed"},
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

// Known hosts are looked up again if they are not found (issue 16, item 20).
func TestKnownHosts(t *testing.T) {
	for name, row := range map[string]struct {
		region, host string
		want         bool
	}{
		"Bitrise":              {"us-east-1", "app.bitrise.io", true},
		"STS":                  {"eu-west-1", "sts.eu-west-1.amazonaws.com", true},
		"dual-stack":           {"eu-west-1", "sts.eu-west-1.api.aws", true},
		"China":                {"cn-north-1", "sts.cn-north-1.amazonaws.com.cn", true},
		"a typo in the Region": {"eu-wset-1", "sts.eu-wset-1.amazonaws.com", false},
		"another service":      {"eu-west-1", "minio.example.com", false},
		"a similar name":       {"eu-west-1", "evilbitrise.io", false},
	} {
		t.Run(name, func(t *testing.T) {
			region, err := awsid.ParseRegion(row.region)
			if err != nil || (Config{Region: region}).isKnownHost(row.host) != row.want {
				t.Errorf("got %v, %v", !row.want, err)
			}
		})
	}
}

func TestEnvmanAdvice(t *testing.T) {
	for output, want := range map[string]string{
		"env var value is too large": "exceed envman's limit", "env list is too large": "exceed envman's limit", "": "bitrise run", "no such file": "bitrise run",
	} {
		t.Run(output, func(t *testing.T) {
			if got := strings.Join(envmanAdvice(errors.New(output)), " "); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// order records what is exported, and fails for some keys.
type order struct{ exported, failing []string }

func (o *order) Add(_ context.Context, key string, _ secret.Text, _ bool) error {
	o.exported = append(o.exported, key)
	if slices.Contains(o.failing, key) {
		return errors.New("broken")
	}
	return nil
}

// Secrets are emptied first. Names of profiles cannot be emptied.
func TestEmpty(t *testing.T) {
	for name, failing := range map[string][]string{"all": nil, "not all": {"SECRET"}} {
		t.Run(name, func(t *testing.T) {
			store := &order{failing: failing}
			e := exporter{envman: store, log: report.NewPlainLog(io.Discard), done: []output{
				plain("REGION", "r"), {key: "SECRET", isSensitive: true}, plain("AWS_DEFAULT_PROFILE", "p"), plain("AWS_PROFILE", "p"), plain("ACCOUNT", "a"),
			}}
			if got := e.empty(t.Context()); got != (failing == nil) {
				t.Errorf("got %v", got)
			}
			if want := []string{"SECRET", "REGION", "ACCOUNT"}; !slices.Equal(store.exported, want) {
				t.Errorf("got %v, want %v", store.exported, want)
			}
		})
	}
}

// The error has what envman printed, without colors.
func TestEnvmanProgram(t *testing.T) {
	for script, want := range map[string]string{
		"exit 0": "", "exit 1": "envman: exit status 1", `printf '\033[31mdisk full\033[0m'; exit 1`: "envman: exit status 1: disk full",
	} {
		t.Run(script, func(t *testing.T) {
			bin := t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "envman"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			err := EnvmanProgram{}.Add(t.Context(), "KEY", secret.New("value"), true)
			if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
				t.Errorf("got %v, want %q", err, want)
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
			warn := (&authenticator{log: report.NewPlainLog(&log)}).warnOfSkew()
			warn(ahead)
			warn(ahead)
			if got := log.String(); !strings.HasPrefix(got, want) || strings.Count(got, "Bitrise's") != min(1, len(want)) {
				t.Errorf("got %q, want %q once", got, want)
			}
		})
	}
}
