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
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// 120 builds call STS at the same time, which rejects the first calls, and handles ten calls per second: all of them succeed. The
// sandbox holds the identity tokens back until all builds have requested one.
func TestRaceOf120Builds(t *testing.T) {
	t.Parallel()
	const builds = 120

	// With the race detector, 120 processes may need more memory than the machine has.
	program := plainProgram(t)
	cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, fmt.Sprintf(
		"%s * gather %d\n%s 1-20 error Throttling \"Rate exceeded\"\n%s * rate 10", idToken, builds, assume, assume))})
	runs := make([]*run, builds)
	for i := range runs {
		runs[i] = newRun(t, cloud)
		runs[i].program = program
	}
	commands := make([]*exec.Cmd, builds)
	for i, r := range runs {
		commands[i] = r.command(map[string]string{"role_arn": role})
	}
	var succeeded atomic.Int32
	var group sync.WaitGroup
	for _, command := range commands {
		group.Go(func() {
			if output, err := command.CombinedOutput(); err == nil {
				succeeded.Add(1)
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
	t.Logf("%d of %d builds succeeded; STS throttled %d calls", succeeded.Load(), builds, throttled)
}

// A failed connection is retried until a server listens.
func TestConnectionRefused(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	address := freeAddress()
	r := newRun(t, cloud, "AWS_ENDPOINT_URL_STS=http://"+address)
	output, err := r.stepUntil("connection refused; retrying in", func(*os.Process) {
		forward(t, address, strings.TrimPrefix(cloud.AWSURL(), "http://"))
	}, map[string]string{"role_arn": role})
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// forward forwards HTTP requests from one address to another.
func forward(t *testing.T, from, to string) {
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Error(err)
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", to, ""
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = response.Body.Close() }()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	})}
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
}

// A token that is about to expire when an attempt is retried is replaced by a new one.
func TestExpiredTokenIsMintedAgain(t *testing.T) {
	// By Bitrise's clock, 10 of the token's 600 seconds are left. An attempt may take as long, so there is no second one.
	script := idToken + " 1 date 590\n" + assume + ` 1 error Throttling "Rate exceeded"`
	cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, script)})
	r := newRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role})
	if got := count(cloud, idToken); got != 2 {
		t.Errorf("got %d tokens, want 2", got)
	}

	// The token in identity_token cannot be replaced, and lasts too short for a second attempt. By AWS's clock, it lasts longer.
	cloud = startSandbox(t, sandbox.Options{
		Clock: func() time.Time { return time.Now().Add(-time.Hour) }, Faults: parseFaults(t, assume+" 1 status 503"),
	})
	token, err := cloud.MintToken("sts.amazonaws.com", map[string]any{"exp": time.Now().Add(14 * time.Second).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	r = newRun(t, cloud)
	output, err := r.step(map[string]string{"role_arn": role, "identity_token": token})
	// On a slow machine, it may have expired before the first attempt.
	if err == nil || !strings.Contains(flat(output), "expired at ") || count(cloud, assume) > 1 {
		t.Errorf("%v\n%s", err, output)
	}
	r.mustHaveExportedNothing()
}

// A redirect to another host is not followed, so that host gets neither the build's API token nor anything else.
func TestRedirectToAnotherHost(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	for call, log := range map[string]string{
		idToken: `http://127\.0\.0\.1:\d+ redirects to http://127\.0\.0\.1:\d+, and the redirect was not followed`,
		assume:  `http://127\.0\.0\.1:\d+ redirects to http://127\.0\.0\.1:\d+, and the redirect was not followed`,
	} {
		cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, call+" * redirect "+elsewhere.URL+"/take")})
		r := newRun(t, cloud)
		output, err := r.step(map[string]string{"role_arn": role})
		if err == nil || !regexp.MustCompile(log).MatchString(flat(output)) || !strings.Contains(flat(output), elsewhere.URL) {
			t.Errorf("%v\n%s", err, output)
		}
		if got := count(cloud, call); got != 1 {
			t.Errorf("got %d calls of %s, want 1", got, call)
		}
		r.mustHaveExportedNothing()
	}
	// The scheme and the port are part of the origin.
	cloud := startSandbox(t, sandbox.Options{TLS: true, Faults: parseFaults(t, idToken+" * redirect "+elsewhere.URL)})
	r := newRun(t, cloud)
	output, err := r.step(map[string]string{"role_arn": role})
	if log := flat(output); err == nil || !strings.Contains(log, "https://127.0.0.1:") || !strings.Contains(log, "the redirect was not followed") {
		t.Errorf("%v\n%s", err, output)
	}
	if reached.Load() != 0 {
		t.Errorf("%d requests reached the other host", reached.Load())
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// lastLine returns the last line of a log.
func lastLine(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return lines[len(lines)-1]
}
