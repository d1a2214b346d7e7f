package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// prepareRenewal runs the Step with sessions of two seconds and waits until the first one has ended.
func prepareRenewal(t *testing.T, given map[string]string, faults ...sandbox.Fault) (*run, *sandbox.Sandbox) {
	t.Helper()
	cloud := startSandbox(t, sandbox.Options{Config: shortSessions(2), Faults: faults})
	r := newProfileRun(t, cloud)
	inputs := map[string]string{"role_arn": role, "aws_profile": oddName}
	for key, value := range given {
		inputs[key] = strings.NewReplacer("KEY_ID", cloud.User("ci").ID, "KEY_SECRET", cloud.User("ci").Secret).Replace(value)
	}
	r.mustStep(inputs)
	waitUntil(t, time.Now().Add(2*time.Second)) // as long as the sessions live
	return r, cloud
}

// lastForm is the form of the last call of an action of STS.
func lastForm(t *testing.T, cloud *sandbox.Sandbox, action string) map[string][]string {
	t.Helper()
	var form map[string][]string
	for _, call := range cloud.Calls() {
		if call.Action == action {
			form = call.Form
		}
	}
	return form
}

// A renewal asks for the same session as the Step did, whatever a Step in between has done to the environment.
func TestRenewalAsksForTheSameSession(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		given  map[string]string
		action string
	}{
		"one role": {map[string]string{
			"session_name": "näme", "session_duration": "1800", "managed_session_policies": "arn:aws:iam::aws:policy/ReadOnlyAccess",
			"inline_session_policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*","Resource":"*"}]}`,
		}, "AssumeRoleWithWebIdentity"},
		"a chain":                {map[string]string{"role_chain": targetRole, "external_id": "agreed", "session_tags": "team=mobile\nstage=test", "session_duration": "900"}, "AssumeRole"},
		"a chain from an access": {map[string]string{"role_arn": "", "access_key_id": "KEY_ID", "secret_access_key": "KEY_SECRET", "role_chain": targetRole}, "AssumeRole"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, cloud := prepareRenewal(t, row.given)
			first, calls := lastForm(t, cloud, row.action), count(cloud, "sts:"+row.action)
			command := r.process()
			command.Env = append(command.Env, "AWS_ENDPOINT_URL_STS=http://127.0.0.1:1", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_USE_FIPS_ENDPOINT=true",
				"AWS_CA_BUNDLE=/none", "AWS_REGION=eu-west-1", "region=eu-west-1", "session_name=another", "role_arn=x")
			output, stderr, err := r.tryCredentials(command)
			if err != nil || stderr != "" || !strings.HasPrefix(output.AccessKeyId, "ASIA") {
				t.Fatalf("%v\n%s", err, stderr)
			}
			if got := count(cloud, "sts:"+row.action) - calls; got != 1 {
				t.Errorf("%d exchanges, want 1", got)
			}
			second := lastForm(t, cloud, row.action)
			delete(first, "WebIdentityToken")
			delete(second, "WebIdentityToken")
			if fmt.Sprint(first) != fmt.Sprint(second) {
				t.Errorf("the Step sent\n%v\nand the renewal\n%v", first, second)
			}
		})
	}
}

// The renewal's errors are explained on standard error, where SDKs show them, and standard output stays empty.
func TestRenewalErrorsAreExplained(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		given   map[string]string
		environ []string
		change  func(*sandbox.Config)
		says    []string
		calls   int // of the token endpoint, in all
	}{
		"no build token": {nil, []string{"BITRISE_BUILD_API_TOKEN="}, nil, []string{
			"What to do", "Let the variable through", "sudo --preserve-env=BITRISE_BUILD_API_TOKEN", "the variable BITRISE_BUILD_API_TOKEN is empty, so the credentials cannot be renewed"}, 1},
		"another build token": {nil, []string{"BITRISE_BUILD_API_TOKEN=another"}, nil, []string{"What was said", "the token endpoint answered 401"}, 2},
		"no trust any more": {nil, nil, func(c *sandbox.Config) {
			c.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(strings.ReplaceAll(string(c.Accounts[0].Roles[0].TrustPolicy), sandbox.DefaultAppSlug, "another"))
		}, []string{"What was said", "AccessDenied", "What the identity token says, as condition keys of a trust policy", "A trust policy that admits"}, 2},
		"a chain that broke": {map[string]string{"role_chain": targetRole}, nil, func(c *sandbox.Config) { c.Accounts[1].Roles = nil }, []string{"hop 1 of role_chain: the caller may not assume role deploy-target"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, cloud := prepareRenewal(t, row.given)
			if row.change != nil {
				if err := cloud.SetConfig(row.change); err != nil {
					t.Fatal(err)
				}
			}
			command := r.process()
			command.Env = append(command.Env, row.environ...)
			_, stderr, err := r.tryCredentials(command)
			if exitCode(err) != 1 {
				t.Errorf("%v", err)
			}
			for _, want := range row.says {
				if !strings.Contains(flat(stderr), want) {
					t.Errorf("standard error does not say %q:\n%s", want, stderr)
				}
			}
			if strings.Contains(stderr, "\x1b[") {
				t.Error("there are colours in standard error")
			}
			if got := count(cloud, idToken); got != row.calls {
				t.Errorf("%d calls of the token endpoint, want %d", got, row.calls)
			}
		})
	}
}

// The AWS CLI shows what the process says.
func TestAWSCLIShowsTheExplanation(t *testing.T) {
	aws := need(t, "aws", howToGetAWS)
	t.Parallel()
	r, _ := prepareRenewal(t, nil)
	output := r.next("sh", "-c", `AWS_PROFILE='`+oddName+`' BITRISE_BUILD_API_TOKEN= '`+aws+`' sts get-caller-identity 2>&1 || true`)
	if !strings.Contains(flat(output), "Let the variable through to the program that uses the profile") {
		t.Errorf("the AWS CLI says:\n%s", output)
	}
}

// Accounts that are not allowed are refused at a renewal too.
func TestRenewalChecksTheAccount(t *testing.T) {
	t.Parallel()
	r, cloud := prepareRenewal(t, map[string]string{"allowed_account_ids": "123456789012"})
	// As if the role's account had become another one: what was allowed at the start is edited.
	files, _ := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", "sessions", "*.json"))
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(content), `"allowed_account_ids": "123456789012"`, `"allowed_account_ids": "210987654321"`, 1)
	if err := os.WriteFile(files[0], []byte(edited), 0o600); err != nil || edited == string(content) {
		t.Fatalf("%v:\n%s", err, content)
	}
	_, stderr, err := r.tryCredentials(r.process())
	if err == nil || !strings.Contains(stderr, "of account 123456789012, which is not allowed") || count(cloud, assume) != 2 {
		t.Errorf("%v\n%s", err, stderr)
	}
}

// While the old credentials work, a failing renewal is told, and they stay in use. Those of a given token are so until their
// end, and then the process says why there are no others.
func TestGivenTokenLastsAsLongAsItsSession(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{Config: shortSessions(6)})
	r := newProfileRun(t, cloud)
	token, err := cloud.MintToken("sts.amazonaws.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	log := r.mustStep(map[string]string{"role_arn": role, "identity_token": token, "aws_profile": oddName})
	if !strings.Contains(flat(log), "identity_token is given, and it is not kept: the profile's credentials work until they end") {
		t.Errorf("there is no warning:\n%s", log)
	}
	first, stderr := r.credentials()
	if stderr != "" {
		t.Errorf("standard error is not empty:\n%s", stderr)
	}
	// The end that is told comes after the time from which the cache renews, and before the true one.
	waitUntil(t, first.Expiration)
	second, stderr := r.credentials()
	if second.AccessKeyId != first.AccessKeyId || !second.Expiration.After(first.Expiration) || !strings.Contains(stderr, "the session of the given identity_token ends") {
		t.Errorf("%s is told, then %s\n%s", first.Expiration, second.Expiration, stderr)
	}
	waitUntil(t, second.Expiration)
	_, stderr, err = r.tryCredentials(r.process())
	if err == nil || !strings.Contains(flat(stderr), "Leave identity_token of the Step empty, so that the profile can fetch tokens by itself") {
		t.Errorf("%v\n%s", err, stderr)
	}
	if got := count(cloud, "*"); got != 1 {
		t.Errorf("%d calls in all, want the Step's one", got)
	}
	// Another token is another session.
	another, err := cloud.MintToken("sts.amazonaws.com", map[string]any{"build_number": "4712"})
	if err != nil {
		t.Fatal(err)
	}
	r.mustStep(map[string]string{"role_arn": role, "identity_token": another, "aws_profile": oddName})
	if sessions, _ := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", "sessions", "*.json")); len(sessions) != 2 {
		t.Errorf("two tokens have these sessions: %v", sessions)
	}
}

// Long-lived keys have no end, and no call is made for them.
func TestProfileOfAnAccessKey(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	key := cloud.User("ci")
	log := r.mustStep(map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret, "aws_profile": oddName})
	if !strings.Contains(flat(log), "The access key is kept in a file that only this user can read; the profile hands it out as it is") {
		t.Errorf("there is no warning:\n%s", log)
	}
	output, _ := r.credentials()
	if output.AccessKeyId != key.ID || output.SecretAccessKey != key.Secret || output.SessionToken != "" || !output.Expiration.IsZero() {
		t.Errorf("got %s until %s", output.AccessKeyId, output.Expiration)
	}
	if got := count(cloud, "*"); got != 1 {
		t.Errorf("%d calls in all, want the Step's one", got)
	}
}

// Faults that pass are tried again by a renewal too.
func TestRenewalTriesAgain(t *testing.T) {
	t.Parallel()
	r, cloud := prepareRenewal(t, nil, parseFaults(t, assume+` 2 error Throttling "Rate exceeded"`)...)
	if _, stderr := r.credentials(); !strings.Contains(stderr, "Attempt 1 to ") {
		t.Errorf("standard error does not tell of the attempt:\n%s", stderr)
	}
	if got := count(cloud, assume); got != 3 {
		t.Errorf("%d exchanges, want 3", got)
	}
}

// A process that is killed, or told to end, while it renews is in nobody's way.
func TestRenewalThatIsKilled(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{Config: shortSessions(2)})
			endpoint, reached := stuckAt(t, cloud.AWSURL(), 2)
			r := newProfileRun(t, cloud, "AWS_ENDPOINT_URL_STS="+endpoint)
			r.mustStep(map[string]string{"role_arn": role, "aws_profile": oddName})
			waitUntil(t, time.Now().Add(2*time.Second)) // as long as the sessions live
			command := r.process()
			var stderr strings.Builder
			command.Stderr = &stderr
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			<-reached
			if err := command.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := command.Wait(); err == nil {
				t.Error("it did not end by the signal")
			}
			if signal == syscall.SIGTERM && !strings.Contains(stderr.String(), "interrupted by a signal before there were new credentials") {
				t.Errorf("standard error: %s", stderr.String())
			}
			if output, errors := r.credentials(); errors != "" || !strings.HasPrefix(output.AccessKeyId, "ASIA") {
				t.Errorf("the next one says:\n%s", errors)
			}
		})
	}
}

// stuckAt is an endpoint before another one, at which the call of that number, from 1, is never answered. reached is closed
// when it has come.
func stuckAt(t *testing.T, address string, number int32) (endpoint string, reached <-chan struct{}) {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	come := make(chan struct{})
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == number {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the caller has gone
			close(come)
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, come
}

// Whichever export fails, AWS's file is as it was, no session is kept, and no profile is named.
func TestProfileIsTakenBackWhenAnExportFails(t *testing.T) {
	const exports = 11

	for name, before := range map[string]string{"no file": "", "a file": "[default]\nregion = eu-west-3"} {
		for n := 1; n <= exports; n++ {
			t.Run(fmt.Sprintf("%s, export %d", name, n), func(t *testing.T) {
				t.Parallel()
				cloud := startSandbox(t, sandbox.Options{})
				r := newProfileRun(t, cloud)
				if before != "" {
					if err := os.MkdirAll(filepath.Dir(r.configFile()), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(r.configFile(), []byte(before), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				r.wrapEnvman(fmt.Sprintf(`[ "$calls" = %d ] && { echo "disk full" >&2; exit 1; }`, n))
				output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": oddName})
				if err == nil || !regexp.MustCompile(`export \w+: envman: exit status 1: disk full`).MatchString(flat(output)) {
					t.Errorf("%v\n%s", err, output)
				}
				if content, _ := os.ReadFile(r.configFile()); string(content) != before {
					t.Errorf("AWS's file was changed:\n%s", content)
				}
				for _, folder := range []string{"sessions", "cache"} {
					if left, _ := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", folder, "*.json")); len(left) > 0 {
						t.Errorf("%s was left behind", left[0])
					}
				}
				if _, found := r.exported()["AWS_PROFILE"]; found {
					t.Error("AWS_PROFILE was exported")
				}
				r.mustHaveExportedNothing()
			})
		}
	}
}

// A signal between two exports takes the profile back.
func TestProfileIsTakenBackAfterASignal(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	r.wrapEnvman(`[ "$calls" = 5 ] && { kill -TERM "$PPID"; exec sleep 60; }`)
	output, err := r.step(map[string]string{"role_arn": role, "aws_profile": oddName})
	if err == nil || !strings.Contains(lastLine(output), "interrupted by a signal; nothing was exported") {
		t.Errorf("%v\n%s", err, output)
	}
	if content, err := os.ReadFile(r.configFile()); err == nil {
		t.Errorf("AWS's file was left behind:\n%s", content)
	}
	if _, found := r.exported()["AWS_PROFILE"]; found {
		t.Error("AWS_PROFILE was exported")
	}
}

// An export that fails leaves an earlier profile of the Step's at work.
func TestEarlierProfileSurvivesAFailingRun(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role, "aws_profile": oddName})
	first, _ := r.credentials()
	r.wrapEnvman(`exit 1`)
	for _, chain := range []string{"", targetRole} {
		if output, err := r.step(map[string]string{"role_arn": role, "role_chain": chain, "aws_profile": oddName}); err == nil {
			t.Fatal(output)
		}
	}
	before := count(cloud, "*")
	if again, _ := r.credentials(); !strings.HasPrefix(again.AccessKeyId, "ASIA") || count(cloud, "*") != before {
		t.Errorf("%s, then %s", first.AccessKeyId, again.AccessKeyId)
	}
}
