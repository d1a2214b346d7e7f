package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitrise-io/stepman/models"
	"gopkg.in/yaml.v2"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// workflows is the part of a bitrise.yml that these tests read.
type workflows struct {
	FormatVersion string `yaml:"format_version"`
	StepLib       string `yaml:"default_step_lib_source"`
	Workflows     map[string]struct {
		Steps []map[string]models.StepModel `yaml:"steps"`
	} `yaml:"workflows"`
}

// inputsOfExample returns the inputs of every run of the Step in an example workflow, in order.
func inputsOfExample(t *testing.T, file string) []map[string]string {
	t.Helper()
	var example workflows
	if err := yaml.UnmarshalStrict([]byte(readFile(t, file)), &example); err != nil {
		t.Fatal(err)
	}
	var runs []map[string]string
	for _, workflow := range example.Workflows {
		for _, entry := range workflow.Steps {
			for id, step := range entry {
				if err := step.Normalize(); err != nil {
					t.Errorf("%s: %v", id, err)
				}
				if id != "authenticate-with-aws@1" {
					continue
				}
				given := map[string]string{}
				for _, input := range step.Inputs {
					key, value, _ := item(t, input)
					given[key] = value
				}
				runs = append(runs, given)
			}
		}
	}
	return runs
}

// exampleFile returns the path of an example workflow.
func exampleFile(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(root(t), "examples", "workflows", name)
}

// startForExamples starts a sandbox whose second account is set up as examples/README.md describes. It also trusts Bitrise directly.
func startForExamples(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	chained := policiesOf(t, filepath.Join(root(t), "examples", "README.md"))
	if len(chained) != 1 {
		t.Fatalf("examples/README.md has %d policies, want the second account's", len(chained))
	}
	config := sandbox.DefaultConfig()
	first, second := &config.Accounts[0], &config.Accounts[1]
	direct := first.Roles[0]
	direct.TrustPolicy = bytes.ReplaceAll(direct.TrustPolicy, []byte(first.ID), []byte(second.ID))
	second.Providers = first.Providers
	second.Roles = []sandbox.Role{{Name: "deploy-production", TrustPolicy: json.RawMessage(chained[0].document)}, direct}
	return startSandbox(t, sandbox.Options{Config: config})
}

// The Step runs with the inputs of every example workflow.
func TestWorkflowExamples(t *testing.T) {
	t.Parallel()
	cloud := startForExamples(t)
	for name, runs := range map[string]int{
		"ecr-push.yml": 1, "long-build.yml": 1, "s3-upload.yml": 1, "two-accounts.yml": 1, "two-profiles.yml": 2,
	} {
		t.Run(name, func(t *testing.T) {
			file := exampleFile(t, name)
			inputs := inputsOfExample(t, file)
			if len(inputs) != runs {
				t.Errorf("the workflow uses the Step %d times, want %d", len(inputs), runs)
			}
			r := newProfileRun(t, cloud)
			for _, given := range inputs {
				r.mustStep(given)
			}
			if bitrise, err := exec.LookPath("bitrise"); err == nil {
				validate := exec.CommandContext(t.Context(), bitrise, "validate", "--config", file)
				validate.Env = append(os.Environ(), "HOME="+t.TempDir(), "BITRISE_ANALYTICS_DISABLED=true", "CI=true")
				if output, err := validate.CombinedOutput(); err != nil {
					t.Errorf("bitrise validate: %v\n%s", err, output)
				}
			}
		})
	}
	if files, err := os.ReadDir(exampleFile(t, "")); err != nil || len(files) != 5 {
		t.Errorf("got %d examples, want 5: %v", len(files), err)
	}
}

// Two profiles work side by side, each in its own account, and the last one is the default. One logout removes both.
func TestTwoProfilesExample(t *testing.T) {
	t.Parallel()
	aws := need(t, "aws", howToGetAWS)
	r := newProfileRun(t, startForExamples(t))
	for _, given := range inputsOfExample(t, exampleFile(t, "two-profiles.yml")) {
		r.mustStep(given)
	}
	caller := func(arguments ...string) string {
		return strings.TrimSpace(r.next(aws, append(arguments, "sts", "get-caller-identity", "--query", "Account", "--output", "text")...))
	}
	for profile, want := range map[string]string{"staging": "123456789012", "production": "210987654321"} {
		if got := caller("--profile", profile); got != want {
			t.Errorf("%s is in account %s, want %s", profile, got, want)
		}
	}
	if got := caller(); got != "210987654321" {
		t.Errorf("without a name, the profile is in account %s, want the last one's", got)
	}
	r.mustStep(map[string]string{"action": "logout"})
	if content := readFile(t, r.configFile()); strings.Contains(content, "credential_process") {
		t.Errorf("after the logout, the file has\n%s", content)
	}
}
