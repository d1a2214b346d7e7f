package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// A signal or a kill at any of the moments at which a file is put into place leaves all exports or none. A run that is killed
// may leave files, but no temporary one in place of a real one, and a login after it works.
func TestInterruptionAtEachRename(t *testing.T) {
	t.Parallel()
	strace := need(t, "strace", "apt-get install strace")
	program := plainProgram(t)
	cloud := startSandbox(t, sandbox.Options{})
	for _, signal := range []string{"SIGKILL", "SIGTERM"} {
		for _, profile := range []string{"", "bitrise"} {
			t.Run(signal+" "+profile, func(t *testing.T) {
				t.Parallel()
				given := map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": profile}
				interrupted, complete := 0, false
				for n := 1; !complete; n++ {
					r := newProfileRun(t, cloud)
					r.program = program
					trace := filepath.Join(t.TempDir(), "trace")
					step := r.command(given)
					command := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", trace, "-e", "trace=/^rename",
						"-e", fmt.Sprintf("inject=/^rename:signal=%s:when=%d", signal, n), step.Path)
					command.Env = append(step.Env, "GOCOVERDIR=") // coverage data is renamed into place, too
					output, err := command.CombinedOutput()
					r.searchForSecrets("the Step's log", string(output))
					content, readErr := os.ReadFile(trace)
					if readErr != nil {
						t.Fatalf("strace wrote nothing: %v, %v\n%s", readErr, err, output)
					}
					renames := strings.Count(string(content), "rename")
					if complete = renames < n; !complete {
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
