package e2e

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
)

// largestProgram is how large the Step's program may be, in bytes.
const largestProgram = 14_000_000

// modules are those that are built into the Step, and why. Bitrise compiles the Step at the start of builds, so each of them
// is part of somebody's wait.
func modules() map[string]string {
	return map[string]string{
		"github.com/aws/aws-sdk-go-v2":                                  "signatures, and what all of its clients share",
		"github.com/aws/aws-sdk-go-v2/internal/configsources":           "of service/sts",
		"github.com/aws/aws-sdk-go-v2/internal/endpoints/v2":            "of service/sts: the endpoints of all partitions",
		"github.com/aws/aws-sdk-go-v2/internal/v4a":                     "of service/sts",
		"github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding": "of service/sts",
		"github.com/aws/aws-sdk-go-v2/service/internal/presigned-url":   "of service/sts",
		"github.com/aws/aws-sdk-go-v2/service/sts":                      "STS's calls",
		"github.com/aws/smithy-go":                                      "what the SDK is made of; its errors",
		"github.com/bitrise-io/go-utils/v2":                             "the log and the environment, as Bitrise's Steps have them",
		"github.com/docker/cli":                                         "where Docker's configuration is, and how a login is written there",
		"github.com/docker/docker-credential-helpers":                   "of docker/cli",
		"github.com/sirupsen/logrus":                                    "of docker/cli",
		"github.com/gofrs/flock":                                        "locks on files that others write too",
		"golang.org/x/sys":                                              "of docker/cli and logrus",
	}
}

// TestBuild looks at the program as users get it, without the race detector.
func TestBuild(t *testing.T) {
	program := buildStep(t)
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	expected := modules()
	for _, module := range info.Deps {
		if expected[module.Path] == "" {
			t.Errorf("%s is built into the Step; if that has to be, give the reason in this test and in CONTRIBUTING.md", module.Path)
		}
		delete(expected, module.Path)
	}
	for module := range expected {
		t.Errorf("%s is no longer built into the Step; take it off the list", module)
	}
	if size := sizeOf(t, program); size > largestProgram {
		t.Errorf("the program has %d bytes, at most %d wanted", size, largestProgram)
	}
}

// buildStep builds the Step alone, with flags or an environment of its own.
func buildStep(t testing.TB, environ ...string) string {
	t.Helper()
	root := root(t)
	program := filepath.Join(t.TempDir(), harness.StepProgram)
	build(t, root, program, environ...)
	return program
}

// build compiles the package in a folder and returns the finished command.
func build(t testing.TB, folder, program string, environ ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command("go", "build", "-o", program, ".")
	command.Dir, command.Env = folder, append(os.Environ(), environ...)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, output)
	}
	return command
}

func sizeOf(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
