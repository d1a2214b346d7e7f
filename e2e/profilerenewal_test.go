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
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// prepareRenewal runs the Step and lets the session expire.
func prepareRenewal(t *testing.T, given map[string]string, faults ...sandbox.Fault) (*run, *sandbox.Sandbox) {
	t.Helper()
	cloud := startSandbox(t, sandbox.Options{Faults: faults})
	r := newProfileRun(t, cloud)
	inputs := map[string]string{"role_arn": role, "aws_profile": oddName}
	for key, value := range given {
		inputs[key] = strings.NewReplacer("KEY_ID", cloud.User("ci").ID, "KEY_SECRET", cloud.User("ci").Secret).Replace(value)
	}
	r.mustStep(inputs)
	r.expireSessions()
	return r, cloud
}

// lastForm returns the parameters of the last call of an STS action.
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

// A renewal requests the same session as the Step did, even if a later Step has changed the environment.
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
		"role chain": {map[string]string{
			"role_chain": targetRole, "external_id": "agreed", "session_tags": "team=mobile\nstage=test", "session_duration": "900",
		}, "AssumeRole"},
		"role chain from an access key": {map[string]string{
			"role_arn": "", "access_key_id": "KEY_ID", "secret_access_key": "KEY_SECRET", "role_chain": targetRole,
		}, "AssumeRole"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, cloud := prepareRenewal(t, row.given)
			first, calls := lastForm(t, cloud, row.action), count(cloud, "sts:"+row.action)
			command := r.process()
			command.Env = append(command.Env,
				"AWS_ENDPOINT_URL_STS=http://127.0.0.1:1", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_USE_FIPS_ENDPOINT=true",
				"AWS_CA_BUNDLE=/none", "AWS_REGION=eu-west-1", "region=eu-west-1", "session_name=another", "role_arn=x")
			output, stderr, err := r.tryCredentials(command)
			if err != nil || stderr != "" || !strings.HasPrefix(output.AccessKeyId, "ASIA") {
				t.Fatalf("%v\n%s", err, stderr)
			}
			if got := count(cloud, "sts:"+row.action) - calls; got != 1 {
				t.Errorf("got %d exchanges, want 1", got)
			}
			second := lastForm(t, cloud, row.action)
			delete(first, "WebIdentityToken")
			delete(second, "WebIdentityToken")
			if fmt.Sprint(first) != fmt.Sprint(second) {
				t.Errorf("the Step sent\n%v\nbut the renewal sent\n%v", first, second)
			}
		})
	}
}

// A renewal explains its errors on standard error, which SDKs show, and leaves standard output empty.
func TestRenewalErrorsAreExplained(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		given   map[string]string
		environ []string
		change  func(*sandbox.Config)
		says    []string
		calls   int // of the token endpoint, including the Step's
	}{
		"no build token": {nil, []string{"BITRISE_BUILD_API_TOKEN="}, nil, []string{
			"What to do", "Pass the variable on", "sudo --preserve-env=BITRISE_BUILD_API_TOKEN",
			"the variable BITRISE_BUILD_API_TOKEN is not set, so the credentials can't be renewed",
		}, 1},
		"another build token": {nil, []string{"BITRISE_BUILD_API_TOKEN=another"}, nil, []string{
			"Bitrise said", "the token endpoint returned 401",
		}, 2},
		"changed trust policy": {nil, nil, func(c *sandbox.Config) {
			c.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(strings.ReplaceAll(string(c.Accounts[0].Roles[0].TrustPolicy), sandbox.DefaultAppSlug, "another"))
		}, []string{"AWS said", "AccessDenied", "The identity token's claims, as condition keys of a trust policy", "A trust policy that lets in"}, 2},
		"deleted role of the chain": {map[string]string{"role_chain": targetRole}, nil, func(c *sandbox.Config) { c.Accounts[1].Roles = nil }, []string{
			"role 1 of 1 in role_chain: bitrise-deploy may not assume deploy-target",
		}, 2},
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
				t.Error("standard error contains colors")
			}
			if got := count(cloud, idToken); got != row.calls {
				t.Errorf("got %d calls of the token endpoint, want %d", got, row.calls)
			}
		})
	}
}

// The AWS CLI shows the standard error of the process.
func TestAWSCLIShowsTheExplanation(t *testing.T) {
	aws := need(t, "aws", howToGetAWS)
	t.Parallel()
	r, _ := prepareRenewal(t, nil)
	output := r.next("sh", "-c", `AWS_PROFILE='`+oddName+`' BITRISE_BUILD_API_TOKEN= '`+aws+`' sts get-caller-identity 2>&1 || true`)
	if !strings.Contains(flat(output), "Pass the variable on to the program that uses the profile") {
		t.Errorf("the AWS CLI does not show the advice:\n%s", output)
	}
}

// A renewal also rejects accounts that are not allowed.
func TestRenewalChecksTheAccount(t *testing.T) {
	t.Parallel()
	r, cloud := prepareRenewal(t, map[string]string{"allowed_account_ids": "123456789012"})
	// Change the allowed account instead of the role's.
	files, _ := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", "*", "*", "settings.json"))
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(content), `"allowed_account_ids": "123456789012"`, `"allowed_account_ids": "210987654321"`, 1)
	if err := os.WriteFile(files[0], []byte(edited), 0o600); err != nil || edited == string(content) {
		t.Fatalf("%v:\n%s", err, content)
	}
	_, stderr, err := r.tryCredentials(r.process())
	if err == nil || !strings.Contains(stderr, "in account 123456789012, which is not allowed") || count(cloud, assume) != 2 {
		t.Errorf("%v\n%s", err, stderr)
	}
}

// Credentials from identity_token cannot be renewed. They are used until they expire; after that, the process fails and says why.
func TestProfileWithIdentityToken(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	token, err := cloud.MintToken("sts.amazonaws.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	log := r.mustStep(map[string]string{"role_arn": role, "identity_token": token, "aws_profile": oddName})
	if !strings.Contains(flat(log), "identity_token is set and is not kept, so the profile's credentials are not renewed") {
		t.Errorf("there is no warning:\n%s", log)
	}
	first, stderr := r.credentials()
	if stderr != "" {
		t.Errorf("standard error is not empty:\n%s", stderr)
	}
	const left = 4 * time.Minute // with which the credentials are to be renewed
	r.leave(left)
	second, stderr := r.credentials()
	if second.AccessKeyId != first.AccessKeyId || time.Until(second.Expiration) > left || stderr != "" {
		t.Errorf("got the expiration %s, then %s\n%s", first.Expiration, second.Expiration, stderr)
	}
	r.expireSessions()
	_, stderr, err = r.tryCredentials(r.process())
	if err == nil || !strings.Contains(flat(stderr), "Leave identity_token empty, so that the profile can fetch tokens.") {
		t.Errorf("%v\n%s", err, stderr)
	}
	if got := count(cloud, "*"); got != 1 {
		t.Errorf("got %d calls in total, want only the Step's one", got)
	}
	// Another token starts another session.
	another, err := cloud.MintToken("sts.amazonaws.com", map[string]any{"build_number": "4712"})
	if err != nil {
		t.Fatal(err)
	}
	r.mustStep(map[string]string{"role_arn": role, "identity_token": another, "aws_profile": oddName})
	if sessions, _ := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", "*", "*", "settings.json")); len(sessions) != 2 {
		t.Errorf("got sessions %v, want one for each of the two tokens", sessions)
	}
}

// Long-lived keys do not expire, and need no calls.
func TestProfileOfAnAccessKey(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	key := cloud.User("ci")
	log := r.mustStep(map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret, "aws_profile": oddName})
	if !strings.Contains(flat(log), "The profile keeps the access key in a file that only this user can read and returns it unchanged because it doesn't expire") {
		t.Errorf("there is no warning:\n%s", log)
	}
	output, _ := r.credentials()
	if output.AccessKeyId != key.ID || output.SecretAccessKey != key.Secret || output.SessionToken != "" || !output.Expiration.IsZero() {
		t.Errorf("got %s, which expires at %s", output.AccessKeyId, output.Expiration)
	}
	if got := count(cloud, "*"); got != 1 {
		t.Errorf("got %d calls in total, want only the Step's one", got)
	}
}

// A renewal also retries transient errors.
func TestRenewalTriesAgain(t *testing.T) {
	t.Parallel()
	r, cloud := prepareRenewal(t, nil, parseFaults(t, assume+` 2 error Throttling "Rate exceeded"`)...)
	if _, stderr := r.credentials(); stderr != "" { // some readers take it for a part of the credentials
		t.Errorf("standard error is not empty:\n%s", stderr)
	}
	if got := count(cloud, assume); got != 3 {
		t.Errorf("got %d exchanges, want 3", got)
	}
}

// A process that is killed or interrupted during a renewal does not affect later ones.
func TestRenewalThatIsKilled(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			endpoint, reached := stuckAt(t, cloud.AWSURL(), 2)
			r := newProfileRun(t, cloud, "AWS_ENDPOINT_URL_STS="+endpoint)
			r.mustStep(map[string]string{"role_arn": role, "aws_profile": oddName})
			r.expireSessions()
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
				t.Error("the process succeeded despite the signal")
			}
			if signal == syscall.SIGTERM && !strings.Contains(stderr.String(), "interrupted") {
				t.Errorf("got standard error %q", stderr.String())
			}
			if output, errors := r.credentials(); errors != "" || !strings.HasPrefix(output.AccessKeyId, "ASIA") {
				t.Errorf("the next process wrote to standard error:\n%s", errors)
			}
		})
	}
}

// stuckAt starts a reverse proxy that never responds to the call with the given number, starting at 1. reached is closed when it
// receives that call.
func stuckAt(t *testing.T, address string, number int32) (endpoint string, reached <-chan struct{}) {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	received := make(chan struct{})
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == number {
			_, _ = io.Copy(io.Discard, r.Body) // otherwise, the server does not notice that the client disconnects
			close(received)
			<-r.Context().Done()
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, received
}

// The profile of an earlier run keeps working after a run that fails.
func TestEarlierProfileSurvivesAFailingRun(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role, "aws_profile": oddName})
	first, _ := r.credentials()
	r.fillStore()
	for _, chain := range []string{"", targetRole} {
		if output, err := r.step(map[string]string{"role_arn": role, "role_chain": chain, "aws_profile": oddName}); err == nil {
			t.Fatal(output)
		}
	}
	before := count(cloud, "*")
	if again, _ := r.credentials(); !strings.HasPrefix(again.AccessKeyId, "ASIA") || count(cloud, "*") != before {
		t.Errorf("got the access key %s, then %s", first.AccessKeyId, again.AccessKeyId)
	}
}
