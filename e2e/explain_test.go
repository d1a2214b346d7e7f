package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// failure is one failure that the Step explains: a world that is set up wrong, or a fault where no set-up leads there.
type failure struct {
	name   string
	inputs map[string]string
	// world changes the sandbox's default configuration.
	world func(*sandbox.Config)
	// keys gives the access key of the user ci; a token mints one and lets it be changed.
	keys  bool
	token func(string) string
	// clock is the sandbox's; nil: this machine's.
	clock func() time.Time
	// byName leads the Step to STS by its own name, since an unsigned call's Region is in no other place.
	byName bool
	// script are faults.
	script string
	// policy tells that a trust policy is suggested.
	policy bool
}

func trust(condition string) json.RawMessage {
	return json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/` + sandbox.IssuerHost +
		`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":` + strings.ReplaceAll(condition, "ISSUER", sandbox.IssuerHost) + `}}`)
}

func setTrust(condition string) func(*sandbox.Config) {
	return func(c *sandbox.Config) { c.Accounts[0].Roles[0].TrustPolicy = trust(condition) }
}

func failures() []failure {
	late := new(atomic.Int64)
	deny := func(c *sandbox.Config) {
		c.Accounts[0].Roles[0].Policies, c.Accounts[0].Users[0].Policies = nil, nil
	}
	return []failure{
		{name: "trust policy for another app", world: setTrust(`{"StringEquals":{"ISSUER:aud":"sts.amazonaws.com","ISSUER:app_slug":"fedcba9876543210"}}`), policy: true},
		{name: "trust policy for another branch", world: setTrust(`{"StringEquals":{"ISSUER:branch":"release"}}`), policy: true},
		{name: "trust policy with a claim that is missing", world: setTrust(`{"StringEquals":{"ISSUER:environment":"production"}}`), policy: true},
		{name: "trust policy for another provider", world: func(c *sandbox.Config) {
			c.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},"Action":"sts:AssumeRoleWithWebIdentity"}}`)
		}, policy: true},
		{name: "another audience", inputs: map[string]string{"audience": "my-audience"}, world: func(c *sandbox.Config) {
			c.Accounts[0].Providers[0].ClientIDs = []string{"sts.amazonaws.com", "my-audience"}
		}, policy: true},
		{name: "no such role", inputs: map[string]string{"role_arn": "arn:aws:iam::123456789012:role/Bitrise-Deploy"}},
		{name: "role with another path", inputs: map[string]string{"role_arn": "arn:aws:iam::123456789012:role/ci/bitrise-deploy"}},
		{name: "no provider in the account", inputs: map[string]string{"role_arn": "arn:aws:iam::210987654321:role/deploy-target"}},
		{name: "audience that the provider does not know", inputs: map[string]string{"audience": "my-audience"}},
		{name: "signature that does not match", token: func(token string) string {
			parts := strings.Split(token, ".")
			return parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
		}},
		{name: "provider's keys not to be fetched", inputs: map[string]string{"timeout": "10"}, world: func(c *sandbox.Config) { c.UnreachableIssuer = true }},
		{name: "token that is no identity token", token: func(token string) string {
			// Signed with a secret that both sides share, as access tokens often are; AWS takes public keys only.
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + token[strings.Index(token, "."):]
		}},
		{name: "token expired on the way", clock: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }, token: func(token string) string {
			late.Store(int64(time.Hour)) // AWS's clock is ahead of this machine's, from when the token is made
			return token
		}},
		{name: "claim rejected by the provider", script: assume + ` * error IDPRejectedClaim "The identity provider (IdP) reported that authentication failed"`},
		{name: "provider does not answer", inputs: map[string]string{"timeout": "10"}, script: assume + ` * error IDPCommunicationError "Connection to the identity provider timed out"`},
		{name: "session policy malformed", inputs: map[string]string{"inline_session_policy": `{"Version":"2012-10-17","Statement":"everything"}`}},
		{name: "session policy too large", inputs: map[string]string{"inline_session_policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`, "managed_session_policies": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"},
			world: func(c *sandbox.Config) { c.PackedPolicyCharacters = 100 }},
		{name: "session longer than the role allows", inputs: map[string]string{"session_duration": "7200"}},
		{name: "STS not active in the Region", byName: true, world: func(c *sandbox.Config) { c.DisabledRegions = []string{"us-east-1"} }},
		{name: "hop of the chain refused", inputs: map[string]string{"role_chain": "arn:aws:iam::210987654321:role/deploy-target"}, world: func(c *sandbox.Config) {
			c.Accounts[1].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"agreed"}}}}`)
		}},
		{name: "throttled until the timeout", inputs: map[string]string{"timeout": "10"}, script: assume + ` * error Throttling "Rate exceeded"`},
		{name: "access key unknown", inputs: map[string]string{"role_arn": "", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "a-secret-that-nobody-has"}},
		{name: "secret of another access key", keys: true, inputs: map[string]string{"secret_access_key": "a-secret-that-nobody-has"}},
		{name: "role may not log in to ECR", inputs: map[string]string{"docker_login": "true"}, world: deny},
		{name: "user may not log in to ECR", keys: true, inputs: map[string]string{"docker_login": "true"}, world: deny},
		{name: "role may not log in to ECR Public", inputs: map[string]string{"docker_login": "true", "ecr_registries": "public.ecr.aws"}, world: func(c *sandbox.Config) {
			c.Accounts[0].Roles[0].Policies = []json.RawMessage{json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr-public:GetAuthorizationToken"],"Resource":"*"}}`)}
		}},
		{name: "role may log in to no registry", inputs: map[string]string{"docker_login": "true", "ecr_registries": "210987654321, 123456789012.dkr.ecr.eu-west-1.amazonaws.com, public.ecr.aws"}, world: deny},
		{name: "build token not accepted", inputs: map[string]string{"build_api_token": "token-of-another-build"}},
		{name: "no token endpoint at that address", inputs: map[string]string{"build_url": "OTHER"}},
		{name: "token endpoint does not like the audience", script: idToken + " * status 400"},
	}
}

// Every failure is explained as a golden file shows it, in 80 columns, with a last line that does alone; and what is
// suggested works: with the policy installed the same run succeeds, and other builds are still refused.
func TestExplanations(t *testing.T) {
	plugin := fakePlugin(t)
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			config := sandbox.DefaultConfig()
			if f.world != nil {
				f.world(&config)
			}
			const sts = "sts.us-east-1.amazonaws.com"
			cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer, Clock: f.clock, Faults: parseFaults(t, f.script), TLS: f.byName, Hosts: []string{sts}})
			page := filepath.Join(t.TempDir(), "annotation.md")
			environ := []string{"ANNOTATION=" + page}
			if f.byName {
				forward := startProxy(t, func(string) string { return strings.TrimPrefix(cloud.AWSURL(), "https://") })
				environ = append(environ, "HTTPS_PROXY="+forward.url, "AWS_ENDPOINT_URL_STS=")
			}
			r := newRun(t, cloud, environ...)
			r.putFirst(plugin)
			if err := os.MkdirAll(filepath.Join(r.home(), ".bitrise", "plugins", "annotations"), 0o700); err != nil {
				t.Fatal(err)
			}
			output, err := r.step(f.given(t, cloud))
			if exitCode(err) != 1 {
				t.Fatalf("the Step ended with %v:\n%s", err, output)
			}
			r.mustHaveExportedNothing()
			log := explanation(output, cloud)
			checkGolden(t, filepath.Join("testdata", "explain", strings.ReplaceAll(f.name, " ", "-")+".txt"), log)
			checkColumns(t, log)

			annotation, err := os.ReadFile(page)
			if err != nil {
				t.Fatalf("no annotation was made: %v", err)
			}
			r.searchForSecrets("the annotation", string(annotation))
			if last := lastLine(log); !strings.Contains(strings.ReplaceAll(string(annotation), `\_`, "_"), last) {
				t.Errorf("the annotation does not name the cause %q:\n%s", last, annotation)
			}
			if f.policy {
				checkSuggestedPolicy(t, f, log)
			} else if strings.Contains(log, `"Version"`) && !strings.Contains(f.name, "role") {
				t.Errorf("a policy was suggested:\n%s", log)
			}
		})
	}
}

func (f failure) given(t *testing.T, cloud *sandbox.Sandbox) map[string]string {
	t.Helper()
	given := map[string]string{"role_arn": role}
	if f.keys {
		key := cloud.User("ci")
		given = map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret}
	}
	if f.token != nil {
		token, err := cloud.MintToken("sts.amazonaws.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		given["identity_token"] = f.token(token)
	}
	for key, value := range f.inputs {
		if value == "OTHER" {
			value = cloud.BitriseURL() + "/build/another"
		}
		given[key] = value
	}
	return given
}

// checkSuggestedPolicy installs the policy that the log suggests.
func checkSuggestedPolicy(t *testing.T, f failure, log string) {
	t.Helper()
	policy := regexp.MustCompile(`(?ms)^\{$.*?^\}$`).FindString(log)
	if policy == "" {
		t.Fatalf("no policy was suggested:\n%s", log)
	}
	config := sandbox.DefaultConfig()
	if f.world != nil {
		f.world(&config)
	}
	config.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(policy)
	cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
	newRun(t, cloud).mustStep(f.given(t, cloud))
	for claim, value := range map[string]string{"app_slug": "fedcba9876543210", "workflow": "another"} {
		before := config.Build[claim]
		if err := cloud.SetConfig(func(c *sandbox.Config) { c.Build[claim] = value }); err != nil {
			t.Fatal(err)
		}
		if output, err := newRun(t, cloud).step(f.given(t, cloud)); err == nil || !strings.Contains(output, "AccessDenied") {
			t.Errorf("the suggested policy admits a build of another %s: %v", claim, err)
		}
		if err := cloud.SetConfig(func(c *sandbox.Config) { c.Build[claim] = before }); err != nil {
			t.Fatal(err)
		}
	}
}

// fakePlugin makes a folder with a Bitrise CLI that has the annotations plug-in, which writes into the file ANNOTATION.
func fakePlugin(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	script := "#!/bin/sh\n[ \"$*\" = ':annotations annotate --style error --context authenticate-with-aws' ] || exit 1\ncat > \"$ANNOTATION\"\n"
	if err := os.WriteFile(filepath.Join(folder, "bitrise"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// Without the plug-in nothing is tried, and nothing is said.
func TestNoAnnotationWithoutThePlugin(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	page := filepath.Join(t.TempDir(), "annotation.md")
	r := newRun(t, cloud, "ANNOTATION="+page)
	r.putFirst(fakePlugin(t))
	output, err := r.step(map[string]string{"role_arn": role + "x", "verbose": "true"})
	if err == nil || strings.Contains(strings.ToLower(output), "annotation") {
		t.Errorf("%v\n%s", err, output)
	}
	if _, err := os.Stat(page); err == nil {
		t.Error("the plug-in was run")
	}
}

// explanation is what a failing run says, less what differs from run to run, its inputs and its retries.
func explanation(log string, cloud *sandbox.Sandbox) string {
	return regexp.MustCompile(`(?s)^.*?\n- verbose: \w+\n|(?m)^Attempt \d+ to [^\n]*\n`).ReplaceAllString(normalize(log, cloud), "")
}

// normalize takes out of a log what differs from run to run: colours, times, ports, IDs, and the retries' waits.
func normalize(log string, cloud *sandbox.Sandbox) string {
	for _, rule := range [][2]string{
		{"\x1b\\[[0-9;]*m", ""},
		{`\(\d+ ms`, "(N ms"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "00000000-0000-0000-0000-000000000000"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "2026-01-02T03:04:05Z"},
		{`date/time\s+\d{10}`, "date/time 1700000000"},
	} {
		log = regexp.MustCompile(rule[0]).ReplaceAllString(log, rule[1])
	}
	return strings.ReplaceAll(log, cloud.User("ci").ID, "AKIA0000000000000000")
}

// checkColumns checks that a log can be read without scrolling. JSON is for pasting, and one long word cannot be broken.
func checkColumns(t *testing.T, log string) {
	t.Helper()
	_, explanation, _ := strings.Cut(log, "What was said")
	for line := range strings.SplitSeq(explanation, "\n") {
		if len([]rune(line)) > 80 && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, `": "`) && !strings.Contains(line, bitriseIssuerHost+":") {
			t.Errorf("a line of %d columns: %s", len([]rune(line)), line)
		}
	}
}

const bitriseIssuerHost = "token.builds.bitrise.io"

// checkGolden compares with a file, or writes it with -update.
func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it after: go test -run %s . -update\ngot:\n%s", file, strings.Split(t.Name(), "/")[0], got)
	}
}

// docs/troubleshooting.md is made of the golden files, so that it says what the Step says.
func TestTroubleshootingPage(t *testing.T) {
	root := root(t)
	var page strings.Builder
	page.WriteString("# Troubleshooting\n\nWhat the Step says when something is not right, as its log says it: what was said, what it means, what to do, and in the\nlast line the cause. Look for that line, or for what AWS said.\n\nThis page is made from the runs of the tests (`e2e/testdata/explain`).\n")
	for _, f := range failures() {
		content, err := os.ReadFile(filepath.Join("testdata", "explain", strings.ReplaceAll(f.name, " ", "-")+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		_, explanation, found := strings.Cut(string(content), "What was said\n")
		if !found {
			t.Fatalf("%s has no explanation", f.name)
		}
		fmt.Fprintf(&page, "\n## %s\n\n```text\n%s```\n", strings.ToUpper(f.name[:1])+f.name[1:], explanation)
	}
	checkGolden(t, filepath.Join(root, "docs", "troubleshooting.md"), page.String())
}
