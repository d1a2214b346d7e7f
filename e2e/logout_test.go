package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// Issue 17, item 1: a logout that is interrupted while it exports changes no file, and the next one removes everything.
func TestInterruptedLogout(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 4; n++ {
		t.Run(fmt.Sprintf("export %d", n), func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			login := newProfileRun(t, cloud)
			login.mustStep(map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": "bitrise"})
			files := map[string]string{}
			for _, path := range []string{filepath.Join(login.home(), ".aws", "config"), filepath.Join(login.docker, "config.json")} {
				files[path] = readFile(t, path)
			}
			variables := []string{
				"HOME=" + login.home(), "DOCKER_CONFIG=" + login.docker, "AWS_PROFILE=bitrise", "ECR_REGISTRIES=" + login.exported()["ECR_REGISTRIES"],
			}
			interrupted := newProfileRun(t, cloud, variables...)
			interrupted.wrapEnvman(fmt.Sprintf(`[ "$calls" = %d ] && { kill -TERM "$PPID"; exec sleep 60; }`, n))
			output, err := interrupted.step(map[string]string{"action": "logout"})
			if exitCode(err) != 1 || !strings.Contains(lastLine(output), "interrupted by a signal") {
				t.Errorf("got %v\n%s", err, output)
			}
			for path, want := range files {
				if got := readFile(t, path); got != want {
					t.Errorf("%s has changed to\n%s", path, got)
				}
			}
			newProfileRun(t, cloud, variables...).mustStep(map[string]string{"action": "logout"})
			for path, before := range files {
				if got := readFile(t, path); got == before {
					t.Errorf("%s still has\n%s", path, got)
				}
			}
		})
	}
}
