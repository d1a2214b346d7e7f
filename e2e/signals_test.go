package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// A signal ends the Step at any point, with a line that says so, and nothing is exported.
func TestSignals(t *testing.T) {
	for name, row := range map[string]struct {
		script, at string
		signal     os.Signal
	}{
		"SIGTERM while the token is fetched": {idToken + " * silence", "Inputs:", syscall.SIGTERM},
		"SIGINT while STS does not respond":  {assume + " * silence", "Fetched an identity token", syscall.SIGINT},
		"SIGTERM while ECR does not respond": {login + " * silence", "Assumed role ", syscall.SIGTERM},
		"SIGINT while waiting for a retry":   {assume + " * status 503 60", "retrying in", syscall.SIGINT},
		"SIGHUP while the token is fetched":  {idToken + " * silence", "Inputs:", syscall.SIGHUP},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, row.script)})
			r := newRun(t, cloud)
			output, err := r.stepUntil(row.at, func(p *os.Process) { _ = p.Signal(row.signal) }, map[string]string{"role_arn": role, "docker_login": "true"})
			if code := exitCode(err); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			// A machine may be too slow to end the run in time. Then it is stopped.
			if !strings.Contains(lastLine(output), "interrupted by a signal; nothing was exported") &&
				!strings.Contains(lastLine(output), "interrupted by a signal: the Step did not stop in time and was terminated") {
				t.Errorf("the last line does not say what happened:\n%s", output)
			}
			r.mustHaveExportedNothing()
		})
	}
}

// The timeout applies to the whole run. Here it is as long as one attempt may take, so there is no second attempt.
func TestTimeout(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, assume+" * silence")})
	r := newRun(t, cloud)
	output, err := r.step(map[string]string{"role_arn": role, "timeout": "10"})
	if err == nil || !strings.Contains(lastLine(output), "timed out after 10 seconds (input: timeout)") {
		t.Errorf("%v\n%s", err, output)
	}
	if want := "Last error before the timeout: "; !strings.Contains(flat(output), want) {
		t.Errorf("the log does not say %q:\n%s", want, output)
	}
	if got := count(cloud, assume); got > 1 {
		t.Errorf("got %d calls of STS, want at most 1", got)
	}
	r.mustHaveExportedNothing()
}

// Named pipes, whose content may never end, are not read.
func TestPipesInPlaceOfFiles(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	for name, set := range map[string]func(r *run, pipe string){
		"AWS_CA_BUNDLE": func(r *run, pipe string) { r.environ = append(r.environ, "AWS_CA_BUNDLE="+pipe) },
		"Docker's file": func(r *run, pipe string) { r.environ = append(r.environ, "DOCKER_CONFIG="+filepath.Dir(pipe)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, cloud)
			pipe := filepath.Join(t.TempDir(), "config.json")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			set(r, pipe)
			output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true"})
			if err == nil || !strings.Contains(flat(output), "not a regular file") || !strings.Contains(flat(output), "What to do") {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// Any process that can read Docker's folder can lock it. The Step does not wait until its timeout, and names the lock.
func TestLockHeldByAnotherProcess(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud)
	if err := os.MkdirAll(r.docker, 0o700); err != nil {
		t.Fatal(err)
	}
	defer lockFolder(t, r.docker)()
	output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true"})
	log := flat(output)
	if err == nil || !strings.Contains(log, "wait for the lock on "+r.docker+": another process holds it") ||
		!strings.Contains(log, "Find the process that holds the folder's lock") {
		t.Errorf("%v\n%s", err, output)
	}
	r.mustHaveExportedNothing()
}

// lockFolder takes the lock that the Step takes before it changes a file in a folder.
func lockFolder(t *testing.T, path string) (unlock func()) {
	t.Helper()
	folder, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { _ = folder.Close() }
}
