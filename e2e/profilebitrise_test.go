package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// bitrise run, with a Step that outlasts three sessions.
func TestBitriseRunOutlastsThreeSessions(t *testing.T) {
	bitrise := need(t, "bitrise", "install the Bitrise CLI, https://github.com/bitrise-io/bitrise/releases, and rsync")
	need(t, "rsync", "the Bitrise CLI copies Steps with it: apt-get install rsync")
	need(t, "aws", howToGetAWS)
	root := root(t)
	cloud := startSandbox(t, sandbox.Options{Config: shortSessions(sessionLife)})
	r := newRun(t, cloud, "BITRISE_ANALYTICS_DISABLED=true", "CI=true", "PYTHONWARNINGS=ignore", "E2E_ROLE_ARN="+role, "E2E_PROFILE="+oddName, fmt.Sprintf("E2E_SECONDS=%d", sessionsInARow*sessionLife))
	for _, key := range []string{"GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS"} {
		output, err := exec.CommandContext(t.Context(), "go", "env", key).Output()
		if err != nil {
			t.Fatal(err)
		}
		r.environ = append(r.environ, key+"="+strings.TrimSpace(string(output)))
	}
	for _, arguments := range [][]string{{"setup", "--minimal"}, {"run", "e2e-profile", "--config", "bitrise.yml"}} {
		command := exec.CommandContext(t.Context(), bitrise, arguments...)
		command.Dir, command.Env = root, r.environ
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("bitrise %s: %v\n%s", arguments[0], err, output)
		}
		if how := leak(string(output), cloud.Secrets()); how != "" {
			t.Errorf("a secret shows in the log, %s", how)
		}
		if want := "profile: " + oddName + ", access key: none"; arguments[0] == "run" && !strings.Contains(string(output), want) {
			t.Errorf("the next Step does not see the profile; want %q in:\n%s", want, output)
		}
	}
	checkClient(t, cloud)
}
