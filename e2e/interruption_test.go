package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// interrupt runs the Step, sends it a signal at the nth of some system calls, and reports whether the run makes fewer calls. strace
// counts the calls of each thread, so the run can also make n calls without a signal.
func (r *run) interrupt(strace, calls, signal string, n int, given map[string]string) (output string, isComplete bool, err error) {
	r.t.Helper()
	trace := filepath.Join(r.t.TempDir(), "trace")
	step := r.command(given)
	command := exec.CommandContext(r.t.Context(), strace, "-f", "-qq", "-o", trace, "-e", "trace=/^"+calls,
		"-e", fmt.Sprintf("inject=/^%s:signal=%s:when=%d", calls, signal, n), step.Path)
	command.Env = append(step.Env, "GOCOVERDIR=", "GOMAXPROCS=1") // coverage data is renamed into place, too
	log, err := command.CombinedOutput()
	r.searchForSecrets("the Step's log", string(log))
	content, readErr := os.ReadFile(trace)
	if readErr != nil {
		r.t.Fatalf("strace wrote nothing: %v, %v\n%s", readErr, err, log)
	}
	return string(log), len(regexp.MustCompile(calls).FindAllString(string(content), -1)) < n, err
}

// keyLogin returns the inputs of a login that keeps a long-lived key, and logs Docker in.
func keyLogin(cloud *sandbox.Sandbox) map[string]string {
	key := cloud.User("ci")
	return map[string]string{
		"access_key_id": key.ID, "secret_access_key": key.Secret, "aws_profile": "bitrise", "docker_login": "true",
	}
}

// A signal or a kill at any of the moments at which a file is put into place leaves all exports or none. A run that is killed
// may leave files, but no temporary one in place of a real one, and a login after it works.
func TestInterruptionAtEachRename(t *testing.T) {
	t.Parallel()
	strace := need(t, "strace", "apt-get install strace")
	cloud := startSandbox(t, sandbox.Options{})
	for _, signal := range []string{"SIGKILL", "SIGTERM"} {
		for _, profile := range []string{"", "bitrise"} {
			t.Run(signal+" "+profile, func(t *testing.T) {
				t.Parallel()
				given := map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": profile}
				interrupted, isComplete := 0, false
				for n := 1; !isComplete; n++ {
					r := newProfileRun(t, cloud)
					output, complete, err := r.interrupt(strace, "rename", signal, n, given)
					if isComplete = complete; !isComplete {
						interrupted++
					}
					exported := r.exported()
					all := exported["AWS_REGION"] != "" && exported["ECR_REGISTRIES"] != ""
					if isDone := err == nil; all != isDone || !all && len(exported) > 0 {
						t.Errorf("rename %d: %v, and %d variables were exported\n%s", n, err, len(exported), output)
					}
					r.mustStep(given)
				}
				if interrupted < 2 {
					t.Errorf("only %d renames were interrupted", interrupted)
				}
			})
		}
	}
}

// Whenever a logout is killed, the next one removes what is left: the long-lived key that a session of a role chain keeps, the
// profile, and the login.
func TestLogoutThatIsKilled(t *testing.T) {
	t.Parallel()
	strace := need(t, "strace", "apt-get install strace")
	cloud := startSandbox(t, sandbox.Options{})
	login, logout := keyLogin(cloud), map[string]string{"action": "logout"}
	interrupted, isComplete := 0, false
	for n := 1; !isComplete; n++ {
		r := newProfileRun(t, cloud, "BITRISE_BUILD_SLUG=build")
		r.writeUserFiles()
		before := r.snapshot()
		r.mustStep(login)
		output, complete, err := r.interrupt(strace, "(rename|unlink)", "SIGKILL", n, logout)
		if isComplete = complete; !isComplete {
			interrupted++
			// The second logout finds everything, or there is nothing left to find.
			output, err = r.step(logout)
		}
		if err != nil {
			t.Errorf("call %d: %v\n%s", n, err, output)
		}
		sameFiles(t, fmt.Sprintf("call %d", n), before, r.snapshot())
	}
	if interrupted < 5 {
		t.Errorf("only %d calls were interrupted", interrupted)
	}
}

// A logout removes what a login left that was killed at any moment: its own login and profile, those of an earlier login, whose
// password Docker's file may still have, and temporary files, which contain the access key.
func TestLogoutAfterALoginThatIsKilled(t *testing.T) {
	t.Parallel()
	strace := need(t, "strace", "apt-get install strace")
	cloud := startSandbox(t, sandbox.Options{})
	login, logout := keyLogin(cloud), map[string]string{"action": "logout"}
	interrupted, isComplete := 0, false
	for n := 1; !isComplete; n++ {
		r := newProfileRun(t, cloud, "BITRISE_BUILD_SLUG=build")
		r.writeUserFiles()
		before := r.snapshot()
		r.mustStep(login)
		_, complete, _ := r.interrupt(strace, "rename", "SIGKILL", n, login)
		if isComplete = complete; !isComplete {
			interrupted++
		}
		r.mustStep(logout)
		sameFiles(t, fmt.Sprintf("rename %d", n), before, r.snapshot())
	}
	if interrupted < 3 {
		t.Errorf("only %d renames were interrupted", interrupted)
	}
}

// A file that can't be replaced is noticed before anything is changed.
func TestFileThatCannotBeReplaced(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file immutable")
	}
	for _, file := range []string{"AWS's", "Docker's"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			r := newProfileRun(t, startSandbox(t, sandbox.Options{}))
			r.writeUserFiles()
			path := map[string]string{"AWS's": r.configFile(), "Docker's": filepath.Join(r.docker, "config.json")}[file]
			before := r.snapshot()
			if output, err := exec.Command("chattr", "+i", path).CombinedOutput(); err != nil {
				t.Skipf("chattr: %s", output)
			}
			t.Cleanup(func() { _ = exec.Command("chattr", "-i", path).Run() })
			log, err := r.step(map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": "bitrise"})
			if exitCode(err) != 1 || !strings.Contains(flat(log), "replace "+path+": operation not permitted") || len(r.exported()) > 0 {
				t.Errorf("%v\n%s", err, log)
			}
			sameFiles(t, file, before, r.snapshot())
		})
	}
}
