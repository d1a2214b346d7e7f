package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v2"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

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

// parameters are the parameters of the AWS examples. Optional ones are omitted if they are empty.
type parameters struct{ repository, bucket, next string }

// created describes the resources that the AWS examples create.
type created struct {
	provider sandbox.Provider
	trust    json.RawMessage
	allows   map[string]json.RawMessage // by name of the policy
}

var exampleParameters = map[string]parameters{
	"all permissions": {repository: "my-app", bucket: "my-bucket", next: targetRole},
	"no permissions":  {},
}

// check checks that the resources match the parameters.
func (m created) check(t *testing.T, asked parameters) {
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
		t.Errorf("got %d policies, want %d: %s", len(m.allows), names, m.allows)
	}
	m.mustAllow(t, want)
	m.mustWork(t, asked)
}

// mustAllow checks that the policies allow these actions on these resources, and no others.
func (m created) mustAllow(t *testing.T, want map[string][]string) {
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
						t.Errorf("%s: got decision %d for %s on %s", name, decision, action, resource)
					}
				}
			}
		}
	}
	for resource := range got {
		slices.Sort(got[resource])
		if !slices.Equal(got[resource], want[resource]) {
			t.Errorf("got permissions %v on %s, want %v", got[resource], resource, want[resource])
		}
	}
	for resource := range want {
		if _, found := got[resource]; !found {
			t.Errorf("the role has no permissions on %s", resource)
		}
	}
}

// mustWork runs the Step in a sandbox with the OIDC provider and the role.
func (m created) mustWork(t *testing.T, asked parameters) {
	t.Helper()
	config := sandbox.DefaultConfig()
	config.Accounts[0].Providers = []sandbox.Provider{m.provider}
	config.Accounts[0].Roles[0].TrustPolicy = m.trust
	config.Accounts[0].Roles[0].Policies = nil
	for _, document := range m.allows {
		config.Accounts[0].Roles[0].Policies = append(config.Accounts[0].Roles[0].Policies, document)
	}
	config.EveryClaim = true // the policy lets no one in otherwise
	cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
	for input, possible := range map[string]bool{"docker_login": asked.repository != "", "role_chain": asked.next != ""} {
		value := map[string]string{"docker_login": "true", "role_chain": targetRole}[input]
		output, err := newRun(t, cloud).step(map[string]string{"role_arn": role, input: value})
		if (err == nil) != possible {
			t.Errorf("%s: got error %v, want success: %v\n%s", input, err, possible, output)
		}
	}
	m.mustLetInBuilds(t, cloud)
}

// mustLetInBuilds checks in both worlds which builds can assume the role.
func (m created) mustLetInBuilds(t *testing.T, cloud *sandbox.Sandbox) {
	t.Helper()
	for world, everyClaim := range worlds {
		if err := cloud.SetConfig(func(c *sandbox.Config) { c.EveryClaim = everyClaim }); err != nil {
			t.Fatal(err)
		}
		for name, build := range map[string]map[string]any{"the build": thisBuild, "the app's next build": nextBuild} {
			if got := letsIn(t, cloud, build); got != everyClaim {
				t.Errorf("%s: %s can assume the role: got %v, want %v", world, name, got, everyClaim)
			}
		}
		for name, build := range otherApps {
			if letsIn(t, cloud, build) || letsIn(t, cloud, copySubject(build)) {
				t.Errorf("%s: %s can assume the role", world, name)
			}
		}
		if letsIn(t, cloud, anotherWorkflow) {
			t.Errorf("%s: another workflow can assume the role", world)
		}
	}
}

// The CloudFormation templates are created on moto and read back. moto has no AWS::IAM::OIDCProvider, so the provider comes
// directly from its template.
func TestCloudFormationExample(t *testing.T) {
	t.Parallel()
	endpoint := startMoto(t)
	aws := need(t, "aws", howToGetAWS)
	folder := filepath.Join(root(t), "examples", "cloudformation")
	cli := func(into any, arguments ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), aws, append(arguments, "--output", "json")...)
		command.Env = append(os.Environ(), "HOME="+t.TempDir(), "AWS_ENDPOINT_URL="+endpoint, "AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
			"AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "PYTHONWARNINGS=ignore")
		output, err := command.Output()
		if err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(arguments, " "), err, stderr(err))
		}
		if err := json.Unmarshal(output, into); err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
	provider := cloudFormationProvider(t, filepath.Join(folder, "oidc-provider.yml"))
	for name, asked := range exampleParameters {
		t.Run(name, func(t *testing.T) {
			suffix := strings.NewReplacer(" ", "-", ",", "").Replace(name)
			stack, roleName := "stack-"+suffix, "role-"+suffix
			arguments := []string{"cloudformation", "create-stack", "--stack-name", stack, "--capabilities", "CAPABILITY_NAMED_IAM",
				"--template-body", "file://" + filepath.Join(folder, "role.yml"), "--parameters"}
			for key, value := range map[string]string{"AppSlug": sandbox.DefaultAppSlug, "RoleName": roleName,
				"Workflow": "deploy", "RepositoryName": asked.repository, "BucketName": asked.bucket, "NextRoleArn": asked.next} {
				if value != "" { // "" means the template's default
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
			result := created{provider: provider, trust: got.Role.AssumeRolePolicyDocument, allows: map[string]json.RawMessage{}}
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

// The app's slug and the workflow are required, and rejected if they are not names.
func TestCloudFormationRequiresAppAndWorkflow(t *testing.T) {
	var template struct {
		Parameters map[string]struct {
			Default        *string `yaml:"Default"`
			AllowedPattern string  `yaml:"AllowedPattern"`
		} `yaml:"Parameters"`
	}
	content := readFile(t, filepath.Join(root(t), "examples", "cloudformation", "role.yml"))
	if err := yaml.Unmarshal([]byte(content), &template); err != nil {
		t.Fatal(err)
	}
	for name, values := range map[string]map[string]bool{"AppSlug": appSlugs, "Workflow": workflowNames} {
		parameter := template.Parameters[name]
		if parameter.Default != nil {
			t.Errorf("%s has a default", name)
		}
		allowed := regexp.MustCompile("^(?:" + parameter.AllowedPattern + ")$") // CloudFormation matches the whole value
		for value, want := range values {
			if got := allowed.MatchString(value); got != want {
				t.Errorf("%s %q is allowed: got %v, want %v", name, value, got, want)
			}
		}
	}
}

// Values of the app's slug and of the workflow, and whether the examples accept them.
var (
	appSlugs      = map[string]bool{sandbox.DefaultAppSlug: true, "": false, "*": false, "${aws:username}": false}
	workflowNames = map[string]bool{"deploy": true, "Deploy to production": true, "": false, "${aws:username}": false}
)

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

// The linters of CloudFormation and Terraform, if installed, report nothing.
func TestLintersOfTheExamples(t *testing.T) {
	t.Parallel()
	examples := filepath.Join(root(t), "examples")
	for program, line := range map[string]struct {
		arguments []string
		how       string
	}{
		"cfn-lint": {[]string{filepath.Join(examples, "cloudformation", "*.yml")}, "pip install cfn-lint"},
		"terraform": {
			[]string{"fmt", "-check", "-diff", "-recursive", filepath.Join(examples, "terraform")},
			"https://developer.hashicorp.com/terraform/install",
		},
	} {
		t.Run(program, func(t *testing.T) {
			if output, err := exec.CommandContext(t.Context(), need(t, program, line.how), line.arguments...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// root returns the root directory of the repository.
func root(t testing.TB) string {
	t.Helper()
	folder, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
