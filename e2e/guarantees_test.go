package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

func parseFaults(t *testing.T, script string) []sandbox.Fault {
	t.Helper()
	faults, err := sandbox.ParseFaults(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	return faults
}

// Of 120 builds that ask STS at once, when it answers ten calls a second, all come through. The sandbox holds their tokens
// back until all of them have asked for one.
func TestRaceOf120Builds(t *testing.T) {
	const builds = 120

	// Without the race detector, with which 120 processes would need more memory than a machine may have.
	folder := t.TempDir()
	if err := harness.Build(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, fmt.Sprintf("%s * gather %d\n%s * rate 10", idToken, builds, assume))})
	runs := make([]*run, builds)
	for i := range runs {
		runs[i] = newRun(t, cloud)
		runs[i].program = filepath.Join(folder, harness.StepProgram)
	}
	commands := make([]*exec.Cmd, builds)
	for i, r := range runs {
		commands[i] = r.command(map[string]string{"role_arn": role})
	}
	var through atomic.Int32
	var group sync.WaitGroup
	for _, command := range commands {
		group.Go(func() {
			if output, err := command.CombinedOutput(); err == nil {
				through.Add(1)
			} else {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
	group.Wait()
	throttled := 0
	for _, call := range cloud.Calls() {
		if call.Code == "Throttling" {
			throttled++
		}
	}
	t.Logf("%d of %d builds came through; STS turned %d calls away", through.Load(), builds, throttled)
	if throttled == 0 {
		t.Error("STS turned no call away, so this test cannot fail")
	}
}

// A connection that is refused is tried again until somebody listens.
func TestConnectionRefused(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	address := freeAddress(t)
	r := newRun(t, cloud, "AWS_ENDPOINT_URL_STS=http://"+address)
	output, err := r.stepUntil("connection refused; the next one comes in", func(*os.Process) {
		forward(t, address, strings.TrimPrefix(cloud.AWSURL(), "http://"))
	}, map[string]string{"role_arn": role})
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// forward passes the HTTP calls at an address on to another one.
func forward(t *testing.T, from, to string) {
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Error(err)
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", to, ""
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	})}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
}

// A token that ends before STS took it is replaced by a new one.
func TestExpiredTokenIsMintedAgain(t *testing.T) {
	config := sandbox.DefaultConfig()
	config.TokenLifetime = 10 // seconds: less than one attempt may take, so it is too old for a second one
	cloud := startSandbox(t, sandbox.Options{Config: config, Faults: parseFaults(t, assume+` 1 error Throttling "Rate exceeded"`)})
	r := newRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role})
	if got := count(cloud, idToken); got != 2 {
		t.Errorf("%d tokens were fetched, want 2", got)
	}

	// A given one cannot be replaced. It is sent for as long as it is good, which here it is not any more after the wait.
	config = sandbox.DefaultConfig()
	config.TokenLifetime = 3
	cloud = startSandbox(t, sandbox.Options{Config: config, Faults: parseFaults(t, assume+" 1 status 503 3")})
	token, err := cloud.MintToken("sts.amazonaws.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	r = newRun(t, cloud)
	output, err := r.step(map[string]string{"role_arn": role, "identity_token": token})
	if err == nil || !strings.Contains(flat(output), "the token in identity_token has expired at ") || count(cloud, assume) != 1 {
		t.Errorf("%v\n%s", err, output)
	}
	r.mustHaveExportedNothing()
}

// The build token goes to no other host, and nothing is sent to where a redirect leads.
func TestRedirectToAnotherHost(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for call, log := range map[string]string{
		idToken: `http://127\.0\.0\.1:\d+ redirects to http://127\.0\.0\.1:\d+, where nothing was sent`,
		assume:  `http://127\.0\.0\.1:\d+ redirects to http://127\.0\.0\.1:\d+, where nothing was sent`,
	} {
		cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, call+" * redirect "+elsewhere.URL+"/take")})
		r := newRun(t, cloud)
		output, err := r.step(map[string]string{"role_arn": role})
		if err == nil || !regexp.MustCompile(log).MatchString(flat(output)) || !strings.Contains(flat(output), elsewhere.URL) {
			t.Errorf("%v\n%s", err, output)
		}
		if got := count(cloud, call); got != 1 {
			t.Errorf("%s was called %d times, want once", call, got)
		}
		r.mustHaveExportedNothing()
	}
	// From https to http on the same host is another host too.
	cloud := startSandbox(t, sandbox.Options{TLS: true, Faults: parseFaults(t, idToken+" * redirect "+elsewhere.URL)})
	r := newRun(t, cloud)
	if output, err := r.step(map[string]string{"role_arn": role}); err == nil || !strings.Contains(flat(output), "https://127.0.0.1:") || !strings.Contains(flat(output), "where nothing was sent") {
		t.Errorf("%v\n%s", err, output)
	}
	if reached.Load() != 0 {
		t.Errorf("%d requests reached the other host", reached.Load())
	}
}

// Whichever call of envman fails, none of the credentials stays behind, and Docker's file is as it was.
func TestEnvmanFailsAtAnyCall(t *testing.T) {
	const exports = 10
	for n := 1; n <= exports; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			r := newRun(t, cloud)
			// An earlier login of the user's, which has to be there afterwards.
			config := filepath.Join(r.docker, "config.json")
			before := []byte(`{"auths":{"registry.example.com":{"auth":"a2VwdDprZXB0"}}}`)
			if err := os.MkdirAll(r.docker, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(config, before, 0o600); err != nil {
				t.Fatal(err)
			}
			// It fails after it has stored the value: how far a call got that failed, nobody knows.
			r.wrapEnvman(fmt.Sprintf(`[ "$calls" = %d ] && { '%s' "$@"; echo "disk full" >&2; exit 1; }`, n, filepath.Join(bin, "envman")))
			output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true"})
			if err == nil || !regexp.MustCompile(`export \w+: envman: exit status 1: disk full`).MatchString(flat(output)) {
				t.Errorf("%v\n%s", err, output)
			}
			for key, value := range r.exported() {
				if value != "" {
					t.Errorf("%s was left behind", key)
				}
			}
			if after, err := os.ReadFile(config); err != nil || string(after) != string(before) {
				t.Errorf("Docker's file was changed: %s, %v", after, err)
			}
		})
	}
}

// If even the taking back fails, the log says so.
func TestEnvmanFailsForGood(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud)
	r.wrapEnvman(`[ "$calls" -ge 3 ] && exit 1`)
	output, err := r.step(map[string]string{"role_arn": role})
	if err == nil || !strings.Contains(flat(output), "export AWS_SESSION_TOKEN: envman: exit status 1") || !strings.Contains(flat(output), "could not be emptied again, and may be there for the next Steps: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN") {
		t.Errorf("%v\n%s", err, output)
	}
}

// No secret is in the argument list of any process that the Step starts.
func TestArgumentListsHoldNoSecret(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud)
	list := filepath.Join(t.TempDir(), "arguments")
	// envman's debug log shows every value, so that it has to stay off whatever the user's LOGLEVEL says.
	r.environ = append(r.environ, "LOGLEVEL=debug")
	r.wrapEnvman(`echo "LOGLEVEL=$LOGLEVEL $@" >> '` + list + `'`)
	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true", "verbose": "true"})
	content, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	r.searchForSecrets("an argument list", string(content))
	for _, want := range []string{"LOGLEVEL=error add --key AWS_SECRET_ACCESS_KEY --no-expand --sensitive", "LOGLEVEL=error add --key AWS_REGION --no-expand"} {
		if !strings.Contains(string(content), want) {
			t.Errorf("envman was not called with %q:\n%s", want, content)
		}
	}
}

// wrapEnvman puts a shell script in front of the real envman, which is run where the script does not end before. $calls
// is the number of the call, from 1.
func (r *run) wrapEnvman(script string) {
	r.t.Helper()
	folder := r.t.TempDir()
	content := `#!/bin/sh
counter='` + filepath.Join(folder, "counter") + `'
echo x >> "$counter"
calls=$(wc -l < "$counter" | tr -d ' ')
` + script + `
exec '` + filepath.Join(bin, "envman") + `' "$@"
`
	if err := os.WriteFile(filepath.Join(folder, "envman"), []byte(content), 0o700); err != nil {
		r.t.Fatal(err)
	}
	r.putFirst(folder)
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// lastLine is the last line of a log.
func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}
