package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-io/stepman/models"
	"gopkg.in/yaml.v2"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// pendingInputs are in the Step's contract, in the examples and in docs/migrating.md, and not in step.yml yet. Take each out
// when step.yml has it; TestPendingInputs fails until then.
var pendingInputs = []string{}

func TestPendingInputs(t *testing.T) {
	known := inputKeys(t)
	for _, key := range pendingInputs {
		if slices.Contains(known, key) {
			t.Errorf("step.yml has %s now: take it out of pendingInputs", key)
		}
	}
}

func inputKeys(t *testing.T) []string {
	t.Helper()
	inputs, err := harness.Inputs()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, input := range inputs {
		keys = append(keys, input.Key)
	}
	return keys
}

// wishes are what a person can ask the AWS examples for; the zero value: nothing but builds of the app.
type wishes struct{ workflow, repository, bucket, next string }

// made is what the AWS examples make of wishes.
type made struct {
	provider sandbox.Provider
	trust    json.RawMessage
	allows   map[string]json.RawMessage // by the policy's name
}

var wishList = map[string]wishes{
	"every workflow, all permissions": {repository: "my-app", bucket: "my-bucket", next: targetRole},
	"one workflow, no permission":     {workflow: "deploy"},
}

// check holds what was made against what was asked for, in the sandbox and permission by permission.
func (m made) check(t *testing.T, asked wishes) {
	t.Helper()
	want := map[string][]string{"*": nil} // actions by resource
	names := 0
	if asked.repository != "" {
		names++
		want["*"] = []string{"ecr:GetAuthorizationToken"}
		// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html and image-pull-iam.html.
		want["arn:aws:ecr:us-east-1:123456789012:repository/my-app"] = []string{
			"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:GetDownloadUrlForLayer",
			"ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
		}
	}
	if asked.bucket != "" {
		names++
		want["arn:aws:s3:::my-bucket/*"] = []string{"s3:PutObject"}
	}
	if asked.next != "" {
		names++
		want[asked.next] = []string{"sts:AssumeRole"}
	}
	if len(m.allows) != names {
		t.Errorf("%d policies, want %d: %s", len(m.allows), names, m.allows)
	}
	m.mustAllow(t, want)
	m.mustAdmitOnlyItsBuilds(t, asked)
}

// mustAllow checks that the policies allow these actions on these resources, and name no others.
func (m made) mustAllow(t *testing.T, want map[string][]string) {
	t.Helper()
	got := map[string][]string{"*": nil}
	for name, document := range m.allows {
		policy, err := sandbox.ParsePolicy(document)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, document)
		}
		for _, statement := range policy.Statement {
			for _, resource := range statement.Resource {
				got[resource] = append(got[resource], statement.Action...)
				for _, action := range statement.Action {
					if decision := policy.Evaluate(sandbox.Request{Action: action, Resource: resource}); decision != sandbox.Allowed {
						t.Errorf("%s: %s on %s: decision %d", name, action, resource, decision)
					}
				}
			}
		}
	}
	for resource := range got {
		slices.Sort(got[resource])
		if !slices.Equal(got[resource], want[resource]) {
			t.Errorf("on %s the role may %v, want %v", resource, got[resource], want[resource])
		}
	}
	for resource := range want {
		if _, found := got[resource]; !found {
			t.Errorf("the role may do nothing on %s", resource)
		}
	}
}

// mustAdmitOnlyItsBuilds runs the Step in a sandbox that has the provider and the role.
func (m made) mustAdmitOnlyItsBuilds(t *testing.T, asked wishes) {
	t.Helper()
	config := sandbox.DefaultConfig()
	config.Accounts[0].Providers = []sandbox.Provider{m.provider}
	config.Accounts[0].Roles[0].TrustPolicy = m.trust
	config.Accounts[0].Roles[0].Policies = nil
	for _, document := range m.allows {
		config.Accounts[0].Roles[0].Policies = append(config.Accounts[0].Roles[0].Policies, document)
	}
	cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
	newRun(t, cloud).mustStep(map[string]string{"role_arn": role})
	for input, possible := range map[string]bool{"docker_login": asked.repository != "", "role_chain": asked.next != ""} {
		value := map[string]string{"docker_login": "true", "role_chain": targetRole}[input]
		output, err := newRun(t, cloud).step(map[string]string{"role_arn": role, input: value})
		if (err == nil) != possible {
			t.Errorf("%s: %v, want it possible: %v\n%s", input, err, possible, output)
		}
	}
	for claim, other := range map[string]string{"app_slug": "fedcba9876543210", "workflow": "pull-request"} {
		admits := claim == "workflow" && asked.workflow == ""
		var before any
		change := func(value any) {
			if err := cloud.SetConfig(func(c *sandbox.Config) { before, c.Build[claim] = c.Build[claim], value }); err != nil {
				t.Fatal(err)
			}
		}
		change(other)
		output, err := newRun(t, cloud).step(map[string]string{"role_arn": role})
		if (err == nil) != admits || (err != nil && !strings.Contains(flat(output), "AccessDenied")) {
			t.Errorf("another %s: %v, want it admitted: %v\n%s", claim, err, admits, output)
		}
		change(before)
	}
}

// The CloudFormation templates, created on moto and read back. moto knows no AWS::IAM::OIDCProvider: the provider is read
// from its template.
func TestCloudFormationExample(t *testing.T) {
	endpoint := startMoto(t)
	aws := need(t, "aws", howToGetAWS)
	folder := filepath.Join(root(t), "examples", "cloudformation")
	cli := func(into any, arguments ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), aws, append(arguments, "--output", "json")...)
		command.Env = append(os.Environ(), "HOME="+t.TempDir(), "AWS_ENDPOINT_URL="+endpoint, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
			"AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any-that-moto-is-given", "PYTHONWARNINGS=ignore")
		output, err := command.Output()
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(arguments, " "), err, stderr(err))
		}
		if err := json.Unmarshal(output, into); err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
	provider := cloudFormationProvider(t, filepath.Join(folder, "oidc-provider.yml"))
	for name, asked := range wishList {
		t.Run(name, func(t *testing.T) {
			stack := "stack-" + asked.workflow
			roleName := "role-" + asked.workflow
			arguments := []string{"cloudformation", "create-stack", "--stack-name", stack, "--capabilities", "CAPABILITY_NAMED_IAM",
				"--template-body", "file://" + filepath.Join(folder, "role.yml"), "--parameters"}
			for key, value := range map[string]string{"AppSlug": sandbox.DefaultAppSlug, "RoleName": roleName, "Workflow": asked.workflow,
				"RepositoryName": asked.repository, "BucketName": asked.bucket, "NextRoleArn": asked.next} {
				if value != "" { // else the default of the template
					arguments = append(arguments, "ParameterKey="+key+",ParameterValue="+value)
				}
			}
			cli(&struct{}{}, arguments...)

			var stacks struct {
				Stacks []struct {
					Outputs []struct{ OutputKey, OutputValue string }
				}
			}
			cli(&stacks, "cloudformation", "describe-stacks", "--stack-name", stack)
			if outputs := stacks.Stacks[0].Outputs; len(outputs) != 1 || outputs[0].OutputValue != "arn:aws:iam::"+account+":role/"+roleName {
				t.Errorf("the outputs are %+v", outputs)
			}
			var got struct {
				Role struct{ AssumeRolePolicyDocument json.RawMessage }
			}
			cli(&got, "iam", "get-role", "--role-name", roleName)
			result := made{provider: provider, trust: got.Role.AssumeRolePolicyDocument, allows: map[string]json.RawMessage{}}
			var policies struct{ PolicyNames []string }
			cli(&policies, "iam", "list-role-policies", "--role-name", roleName)
			for _, policy := range policies.PolicyNames {
				var got struct{ PolicyDocument json.RawMessage }
				cli(&got, "iam", "get-role-policy", "--role-name", roleName, "--policy-name", policy)
				result.allows[policy] = got.PolicyDocument
			}
			result.check(t, asked)
		})
	}
}

func stderr(err error) string {
	if failed, ok := err.(*exec.ExitError); ok { //nolint:errorlint // what exec itself returns
		return string(failed.Stderr)
	}
	return ""
}

// cloudFormationProvider reads the OIDC provider of a template.
func cloudFormationProvider(t *testing.T, file string) sandbox.Provider {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var template struct {
		Resources struct {
			Provider struct {
				Type       string
				Properties struct {
					URL          string   `yaml:"Url"`
					ClientIDList []string `yaml:"ClientIdList"`
				} `yaml:"Properties"`
			} `yaml:"Provider"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(content, &template); err != nil {
		t.Fatal(err)
	}
	properties := template.Resources.Provider.Properties
	return sandbox.Provider{URL: properties.URL, ClientIDs: properties.ClientIDList}
}

// The linters of CloudFormation and Terraform, where they are, have nothing to say.
func TestLintersOfTheExamples(t *testing.T) {
	examples := filepath.Join(root(t), "examples")
	for program, line := range map[string]struct {
		arguments []string
		how       string
	}{
		"cfn-lint":  {[]string{filepath.Join(examples, "cloudformation", "*.yml")}, "pip install cfn-lint"},
		"terraform": {[]string{"fmt", "-check", "-diff", "-recursive", filepath.Join(examples, "terraform")}, "https://developer.hashicorp.com/terraform/install"},
	} {
		t.Run(program, func(t *testing.T) {
			if output, err := exec.CommandContext(t.Context(), need(t, program, line.how), line.arguments...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// workflows is what of a bitrise.yml these tests read.
type workflows struct {
	FormatVersion string `yaml:"format_version"`
	StepLib       string `yaml:"default_step_lib_source"`
	Workflows     map[string]struct {
		Steps []map[string]models.StepModel `yaml:"steps"`
	} `yaml:"workflows"`
}

// The Step runs with the inputs of every example workflow, in a sandbox whose second account is set up as examples/README.md
// says.
func TestWorkflowExamples(t *testing.T) {
	chained := policiesOf(t, filepath.Join(root(t), "examples", "README.md"))
	if len(chained) != 1 {
		t.Fatalf("examples/README.md has %d policies, want the second account's", len(chained))
	}
	config := sandbox.DefaultConfig()
	config.Accounts[1].Roles = []sandbox.Role{{Name: "deploy-production", TrustPolicy: json.RawMessage(chained[0])}}
	cloud := startSandbox(t, sandbox.Options{Config: config})
	files, err := filepath.Glob(filepath.Join(root(t), "examples", "workflows", "*.yml"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d examples, want 4: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var example workflows
			if err := yaml.UnmarshalStrict(content, &example); err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, workflow := range example.Workflows {
				for _, entry := range workflow.Steps {
					for id, step := range entry {
						if err := step.Normalize(); err != nil {
							t.Errorf("%s: %v", id, err)
						}
						if id != "authenticate-with-aws" {
							continue
						}
						found++
						given := map[string]string{}
						for _, input := range step.Inputs {
							if key, value, _ := item(t, input); !slices.Contains(pendingInputs, key) {
								given[key] = value
							}
						}
						newRun(t, cloud, "AWS_CONFIG_FILE="+filepath.Join(t.TempDir(), "config")).mustStep(given)
					}
				}
			}
			if found != 1 {
				t.Errorf("the Step is in there %d times, want once", found)
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
}

// root is the folder of the repository.
func root(t testing.TB) string {
	t.Helper()
	folder, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
