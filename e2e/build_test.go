package e2e

import (
	"debug/buildinfo"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
)

// The largest programs, in bytes. Agents download the released one. The other is what "go build" makes, as in a build from source.
// docs/performance.md says what they consist of.
const (
	largestRelease    = 11_400_000
	largestUnstripped = 17_200_000
)

// modules are the modules that are built into the Step, with the reason for each of them. They add to the size of the program,
// which agents download, and to the time of a build from source.
func modules() map[string]string {
	return map[string]string{
		"github.com/aws/aws-sdk-go-v2":                                  "signatures, and what all of its clients share",
		"github.com/aws/aws-sdk-go-v2/config":                           "the SDK's configuration, without files and credentials",
		"github.com/aws/aws-sdk-go-v2/credentials":                      "of config",
		"github.com/aws/aws-sdk-go-v2/feature/ec2/imds":                 "of config",
		"github.com/aws/aws-sdk-go-v2/internal/configsources":           "of the SDK's clients",
		"github.com/aws/aws-sdk-go-v2/internal/endpoints/v2":            "of the SDK's clients",
		"github.com/aws/aws-sdk-go-v2/internal/v4a":                     "of the SDK's clients",
		"github.com/aws/aws-sdk-go-v2/service/ecr":                      "the call to ECR",
		"github.com/aws/aws-sdk-go-v2/service/ecrpublic":                "the call to ECR Public",
		"github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding": "of the SDK's clients",
		"github.com/aws/aws-sdk-go-v2/service/internal/presigned-url":   "of the SDK's clients",
		"github.com/aws/aws-sdk-go-v2/service/signin":                   "of config",
		"github.com/aws/aws-sdk-go-v2/service/sso":                      "of config",
		"github.com/aws/aws-sdk-go-v2/service/ssooidc":                  "of config",
		"github.com/aws/aws-sdk-go-v2/service/sts":                      "the calls to STS",
		"github.com/aws/smithy-go":                                      "what the SDK is made of; its errors",
		"github.com/bitrise-io/envman/v2":                               "the outputs, in envman's store",
		"github.com/bitrise-io/go-utils":                                "of envman",
		"github.com/bitrise-io/go-steputils/v2":                         "stepconf, to read the inputs",
		"github.com/bitrise-io/go-utils/v2":                             "the environment, and the colors of the log",
		"github.com/gofrs/flock":                                        "locks on files that others write, too",
		"github.com/hashicorp/go-cleanhttp":                             "of go-utils, through stepconf",
		"github.com/hashicorp/go-retryablehttp":                         "of go-utils, through stepconf",
		"golang.org/x/net":                                              "the proxy variables",
		"golang.org/x/sys":                                              "of flock",
		"gopkg.in/yaml.v2":                                              "the format of envman's store",
		"golang.org/x/text":                                             "of golang.org/x/net",
	}
}

// builds is held by the test that builds something: one build keeps all CPUs busy, and several at a time would compile the same.
var builds sync.Mutex

// plainProgram returns the path of the Step's program without the race detector, for tests that run it many times. It is built
// like a release, so that both compile the same. If GOCOVERDIR is set, it writes coverage data there.
func plainProgram(t testing.TB) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	program := filepath.Join(bin, "plain", harness.StepProgram)
	if _, err := os.Stat(program); err == nil {
		return program
	}
	arguments := []string{"build", "-trimpath", "-tags=nethttpomithttp2", "-o", program}
	if os.Getenv("GOCOVERDIR") != "" {
		arguments = append(arguments, "-cover", "-covermode=atomic") // the mode of the program with the race detector
	}
	must(t, root(t), []string{"CGO_ENABLED=0"}, "go", append(arguments, ".")...)
	return program
}

// release returns the folder with the program of "make release" for this machine, its path, and what the StepLib's step.yml says
// about it, as version 1.0.0.
func release(t testing.TB) (folder, program, executables string) {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	folder = filepath.Join(bin, "release")
	program = filepath.Join(folder, "authenticate-with-aws-"+runtime.GOOS+"-"+runtime.GOARCH)
	executables = must(t, root(t), nil, "make", "--no-print-directory", "release", "RELEASE_VERSION=1.0.0",
		"RELEASE_PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH, "DIST="+folder)
	return folder, program, executables
}

// TestBuild checks the programs that users get: which modules they contain and why, and how large they are.
func TestBuild(t *testing.T) {
	t.Parallel()
	_, release, _ := release(t)
	unstripped := filepath.Join(t.TempDir(), "unstripped")
	build(t, root(t), unstripped)

	info, err := buildinfo.ReadFile(release)
	if err != nil {
		t.Fatal(err)
	}
	expected := modules()
	for _, module := range info.Deps {
		if expected[module.Path] == "" {
			t.Errorf("%s is built into the Step; if it is needed, give the reason in this test and in CONTRIBUTING.md", module.Path)
		}
		delete(expected, module.Path)
	}
	for module := range expected {
		t.Errorf("%s is no longer built into the Step; remove it from the list", module)
	}

	page := readFile(t, filepath.Join(root(t), "docs", "performance.md"))
	for _, program := range []struct {
		name, path string
		limit      int64
	}{
		{"the released program (stripped)", release, largestRelease},
		{"`go build`, unstripped", unstripped, largestUnstripped},
	} {
		size := sizeOf(t, program.path)
		if size > program.limit {
			t.Errorf("%s has %d bytes, must have at most %d", program.name, size, program.limit)
		}
		row := regexp.MustCompile(`\| ` + regexp.QuoteMeta(program.name) + ` \| ([0-9.]+) MB \| ([0-9.]+) MB \|`).FindStringSubmatch(page)
		if row == nil {
			t.Fatalf("docs/performance.md does not say how large %s is", program.name)
		}
		if got := fmt.Sprintf("%.1f", float64(program.limit)/1e6); row[2] != got {
			t.Errorf("docs/performance.md says that %s has at most %s MB, the limit is %s MB", program.name, row[2], got)
		}
		// Other platforms and versions of Go make slightly different programs.
		if measured, err := strconv.ParseFloat(row[1], 64); err != nil || math.Abs(measured-float64(size)/1e6) > 0.5 {
			t.Errorf("docs/performance.md says that %s has %s MB, it has %.1f MB", program.name, row[1], float64(size)/1e6)
		}
	}
}

// build compiles the package in a directory and returns the finished command.
func build(t testing.TB, folder, program string, environ ...string) *exec.Cmd {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
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
