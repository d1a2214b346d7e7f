package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// Botocore asks for new credentials at every call when less than 15 minutes are left. A client that makes 200 calls starts the
// credential process once, however much of the session's hour is left, because the profile renews before.
func TestBoto3StartsTheProcessOnce(t *testing.T) {
	t.Parallel()
	python := needBoto3(t)
	for _, left := range []time.Duration{24 * time.Minute, 18 * time.Minute, 12 * time.Minute} {
		t.Run(left.String(), func(t *testing.T) {
			t.Parallel()
			r := newProfileRun(t, startSandbox(t, sandbox.Options{}))
			r.mustStep(map[string]string{"role_arn": role, "aws_profile": "bitrise"})
			r.leave(left)
			starts := countStarts(t, r)
			r.next(python, "-c", `
import boto3
client = boto3.client("sts")
for _ in range(200):
    client.get_caller_identity()
`)
			if got := strings.Count(readFile(t, starts), "\n"); got != 1 {
				t.Errorf("the credential process was started %d times, want once", got)
			}
		})
	}
}

// countStarts puts a script in the place of the profile's program, which writes a line to a file and runs the program. It returns the
// file.
func countStarts(t *testing.T, r *run) string {
	t.Helper()
	programs, err := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", "*", "authenticate-with-aws"))
	if err != nil || len(programs) != 1 {
		t.Fatalf("got the programs %v, %v", programs, err)
	}
	// The program finds its session next to itself, whatever its name is.
	moved, starts := programs[0]+"-itself", filepath.Join(t.TempDir(), "starts")
	if err := os.Rename(programs[0], moved); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho >>'%s'\nexec '%s' \"$@\"\n", starts, moved)
	if err := os.WriteFile(programs[0], []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return starts
}
