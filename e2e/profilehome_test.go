package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// A home that nothing can be written to, or no program can run from, is found out by the Step, not by the Steps that follow.
func TestProfileInAHomeThatCannotKeepIt(t *testing.T) {
	t.Parallel()
	unshare := need(t, "unshare", "it is a part of util-linux")
	home := t.TempDir()
	mount := func(options string) string {
		return "mount -t tmpfs tmpfs '" + home + "' && mount -o remount," + options + " '" + home + "'"
	}
	if output, err := exec.CommandContext(t.Context(), unshare, "--mount", "sh", "-c", mount("ro")).CombinedOutput(); err != nil {
		t.Skipf("this user cannot mount a file system: %s", output)
	}
	for options, want := range map[string]string{
		"ro":     "/.authenticate-with-aws: read-only file system",
		"noexec": "the program can't run from there: fork/exec ",
	} {
		t.Run(options, func(t *testing.T) {
			r := newProfileRun(t, startSandbox(t, sandbox.Options{}), "HOME="+home)
			step := r.command(map[string]string{"role_arn": role, "aws_profile": "bitrise"})
			command := exec.CommandContext(t.Context(), unshare, "--mount", "sh", "-c", mount(options)+` && "$0"`, step.Path)
			command.Env = step.Env
			output, err := command.CombinedOutput()
			if err == nil || !strings.Contains(flat(string(output)), want) || strings.Contains(string(output), "mount:") {
				t.Errorf("%v\n%s", err, output)
			}
			r.mustHaveExportedNothing()
			if entries, err := os.ReadDir(home); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}
