package e2e

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// failure is a failure that the Step explains. Its cause is a wrong setup, or an injected fault if no setup leads there.
type failure struct {
	name string
	// title is the heading on the troubleshooting page, if the name does not fit every failure with this cause.
	title  string
	inputs map[string]string
	// world changes the sandbox's default configuration.
	world func(*sandbox.Config)
	// keys uses the access key of the user ci. token changes an identity token that is passed in identity_token.
	keys  bool
	token func(string) string
	// clock is the sandbox's clock. nil means this machine's.
	clock func() time.Time
	// byName makes the Step call STS by its own name, because the Region of an unsigned call is only in the name.
	byName bool
	// script is a script of faults.
	script string
	// policy reports whether a trust policy is suggested.
	policy bool
	// combined reports whether the explanation combines those of other failures.
	combined bool
}

func trust(condition string) json.RawMessage {
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity",
		"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/ISSUER"},"Condition":` + condition + `}}`
	return json.RawMessage(strings.ReplaceAll(policy, "ISSUER", sandbox.IssuerHost))
}

func setTrust(condition string) func(*sandbox.Config) {
	return func(c *sandbox.Config) { c.Accounts[0].Roles[0].TrustPolicy = trust(condition) }
}

// seeEveryClaim is for conditions that fail although IAM sees their claims.
func seeEveryClaim(world func(*sandbox.Config)) func(*sandbox.Config) {
	return func(c *sandbox.Config) {
		c.EveryClaim = true
		world(c)
	}
}

func failures() []failure {
	late := new(atomic.Int64)
	awsClock := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	deny := func(c *sandbox.Config) {
		c.Accounts[0].Roles[0].Policies, c.Accounts[0].Users[0].Policies = nil, nil
	}
	return []failure{
		{name: "trust policy for another app", title: "role does not trust the build", policy: true, world: setTrust(
			`{"StringEquals":{"ISSUER:aud":"sts.amazonaws.com"},"StringLike":{"ISSUER:sub":"app:fedcba9876543210:*"}}`)},
		{name: "condition key that AWS does not document", policy: true, world: setTrust(
			`{"StringEquals":{"ISSUER:aud":"sts.amazonaws.com","ISSUER:app_slug":"` + sandbox.DefaultAppSlug + `"}}`)},
		{name: "subject that does not name the app", policy: true, world: func(c *sandbox.Config) {
			c.Subject = "build:{build_number}"
		}},
		{name: "trust policy for another branch", policy: true, world: seeEveryClaim(setTrust(`{"StringEquals":{"ISSUER:branch":"release"}}`))},
		{name: "trust policy with a missing claim", policy: true, world: seeEveryClaim(setTrust(
			`{"StringEquals":{"ISSUER:environment":"production"}}`))},
		{name: "trust policy for another provider", world: func(c *sandbox.Config) {
			c.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
				"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
				"Action":"sts:AssumeRoleWithWebIdentity"}}`)
		}, policy: true},
		{name: "another audience", inputs: map[string]string{"audience": "my-audience"}, world: func(c *sandbox.Config) {
			c.Accounts[0].Providers[0].ClientIDs = []string{"sts.amazonaws.com", "my-audience"}
		}, policy: true},
		{name: "no such role", inputs: map[string]string{"role_arn": "arn:aws:iam::123456789012:role/Bitrise-Deploy"}},
		{name: "role with another path", inputs: map[string]string{"role_arn": "arn:aws:iam::123456789012:role/ci/bitrise-deploy"}},
		{name: "no provider in the account", inputs: map[string]string{"role_arn": "arn:aws:iam::210987654321:role/deploy-target"}},
		{name: "audience unknown to the provider", inputs: map[string]string{"audience": "my-audience"}},
		{name: "signature that does not match", token: func(token string) string {
			parts := strings.Split(token, ".")
			return parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
		}},
		{name: "provider's keys cannot be fetched", inputs: map[string]string{"timeout": "10"},
			world: func(c *sandbox.Config) { c.UnreachableIssuer = true }},
		{name: "token that is not an identity token", token: func(token string) string {
			// Signed with a shared secret, as access tokens often are. AWS only accepts signatures with public keys.
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + token[strings.Index(token, "."):]
		}},
		{name: "token expired before it was exchanged", clock: awsClock, token: func(token string) string {
			late.Store(int64(time.Hour)) // once the token is issued, AWS's clock is ahead of this machine's
			return token
		}},
		{name: "claim rejected by the provider",
			script: assume + ` * error IDPRejectedClaim "The identity provider (IdP) reported that authentication failed"`},
		{name: "provider does not answer", inputs: map[string]string{"timeout": "10"},
			script: assume + ` * error IDPCommunicationError "Connection to the identity provider timed out"`},
		{name: "session policy malformed", inputs: map[string]string{
			"inline_session_policy": `{"Version":"2012-10-17","Statement":"everything"}`,
		}},
		{name: "session policy too large", inputs: map[string]string{
			"inline_session_policy":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`,
			"managed_session_policies": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"},
			world: func(c *sandbox.Config) { c.PackedPolicyCharacters = 100 }},
		{name: "session longer than the role allows", inputs: map[string]string{"session_duration": "7200"}},
		{name: "STS not active in the Region", byName: true, world: func(c *sandbox.Config) { c.DisabledRegions = []string{"us-east-1"} }},
		{name: "hop of the chain refused", inputs: map[string]string{"role_chain": targetRole}, world: func(c *sandbox.Config) {
			c.Accounts[1].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
				"Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"agreed"}}}}`)
		}},
		{name: "throttled until the timeout", inputs: map[string]string{"timeout": "10"}, script: assume + ` * error Throttling "Rate exceeded"`},
		{name: "unknown access key", inputs: map[string]string{
			"role_arn": "", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "an-unknown-secret",
		}},
		{name: "secret of another access key", keys: true, inputs: map[string]string{"secret_access_key": "an-unknown-secret"}},
		{name: "role cannot log in to ECR", inputs: map[string]string{"docker_login": "true"}, world: deny},
		{name: "user cannot log in to ECR", keys: true, inputs: map[string]string{"docker_login": "true"}, world: deny},
		{name: "role cannot log in to ECR Public", inputs: map[string]string{"docker_login": "true", "ecr_registries": "public.ecr.aws"},
			world: func(c *sandbox.Config) {
				c.Accounts[0].Roles[0].Policies = []json.RawMessage{json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
					"Action":["ecr:GetAuthorizationToken","ecr-public:GetAuthorizationToken"],"Resource":"*"}}`)}
			}},
		{name: "role cannot log in to any registry", world: deny, inputs: map[string]string{
			"docker_login": "true", "ecr_registries": "210987654321, 123456789012.dkr.ecr.eu-west-1.amazonaws.com, public.ecr.aws",
		}, combined: true},
		{name: "build API token rejected", inputs: map[string]string{"build_api_token": "token-of-another-build"}},
		{name: "no token endpoint at that address", inputs: map[string]string{"build_url": "OTHER"}},
		{name: "token endpoint rejects the audience",
			script: idToken + " * status 400"},
	}
}

// The explanation of every failure matches a golden file. It is at most 80 columns wide, and its last line names the cause. A
// suggested trust policy works: with it, the same run succeeds, and other builds are still refused.
func TestExplanations(t *testing.T) {
	t.Parallel()
	plugin := fakePlugin(t)
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			config := sandbox.DefaultConfig()
			if f.world != nil {
				f.world(&config)
			}
			const sts = "sts.us-east-1.amazonaws.com"
			cloud := startSandbox(t, sandbox.Options{
				Config: config, Issuer: bitriseIssuer, Clock: f.clock, Faults: parseFaults(t, f.script), TLS: f.byName, Hosts: []string{sts},
			})
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
				t.Fatalf("the Step exited with %v:\n%s", err, output)
			}
			r.mustHaveExportedNothing()
			log := explanation(output, cloud)
			checkGolden(t, filepath.Join("testdata", "explain", strings.ReplaceAll(f.name, " ", "-")+".txt"), log)
			checkColumns(t, log)

			annotation, err := os.ReadFile(page)
			if err != nil {
				t.Fatalf("there is no annotation: %v", err)
			}
			r.searchForSecrets("the annotation", string(annotation))
			if last := lastLine(log); !strings.Contains(strings.ReplaceAll(string(annotation), `\_`, "_"), last) {
				t.Errorf("the annotation does not name the cause %q:\n%s", last, annotation)
			}
			if f.policy {
				checkSuggestedPolicy(t, f, suggestedPolicy(t, log))
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

// suggestedPolicy returns the trust policy that a log suggests.
func suggestedPolicy(t *testing.T, log string) []byte {
	t.Helper()
	policy := regexp.MustCompile(`(?ms)^\{$.*?^\}$`).FindString(log)
	if policy == "" {
		t.Fatalf("the log suggests no policy:\n%s", log)
	}
	return []byte(policy)
}

// checkSuggestedPolicy runs the Step again with the policy, in the world in which it should work.
func checkSuggestedPolicy(t *testing.T, f failure, policy []byte) {
	t.Helper()
	config := sandbox.DefaultConfig()
	if f.world != nil {
		f.world(&config)
	}
	config.EveryClaim = config.EveryClaim || !bytes.Contains(policy, []byte(`:sub"`))
	config.Accounts[0].Roles[0].TrustPolicy = policy
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

// For every form of the sub claim, the suggested policy admits the app's builds where IAM can recognize them, and never another
// app's.
func TestSuggestedPolicies(t *testing.T) {
	t.Parallel()
	const asDocumented, everyClaim = "as AWS documents", "every claim"
	both, neither := map[string]bool{asDocumented: true, everyClaim: true}, map[string]bool{}
	onlyIn := func(world string) map[string]bool { return map[string]bool{world: true} }
	for name, form := range map[string]struct {
		subject         string
		app, sameApp    map[string]bool // the worlds in which builds of this app, and of another workflow, are admitted
		condition       string
		reliesOnAppSlug bool
	}{
		"app and workflow":                  {"app:{app_slug}:workflow:{workflow}", both, neither, `"StringEquals"`, false},
		"app and build":                     {"{app_slug}/{build_slug}", both, onlyIn(asDocumented), `"StringLike"`, false},
		"app and build number":              {"{app_slug}:{build_number}", both, onlyIn(asDocumented), `"StringLike"`, false},
		"app, workflow, and build":          {"{app_slug}:{workflow}:{build_slug}", both, neither, `"StringLike"`, false},
		"app, build, and workflow":          {"{app_slug}:{build_slug}:{workflow}", both, neither, `"StringLike"`, false},
		"app":                               {"{app_slug}", both, onlyIn(asDocumented), `"StringEquals"`, false},
		"build only":                        {"{build_slug}", onlyIn(everyClaim), neither, `"StringEquals"`, true},
		"build number only":                 {"build:{build_number}", onlyIn(everyClaim), neither, `"StringEquals"`, true},
		"the same for everyone":             {"bitrise", onlyIn(everyClaim), neither, `"StringEquals"`, true},
		"workflow only":                     {"workflow:{workflow}", onlyIn(everyClaim), neither, `"StringEquals"`, true},
		"app's slug within a longer number": {"build:9{app_slug}9", onlyIn(everyClaim), neither, `"StringEquals"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := sandbox.DefaultConfig()
			config.Subject = form.subject
			config.Accounts[0].Roles[0].TrustPolicy = trust(`{"StringEquals":{"ISSUER:sub":"another build"}}`)
			cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
			output, err := newRun(t, cloud).step(map[string]string{"role_arn": role})
			if err == nil {
				t.Fatal("the build was admitted before the policy was there")
			}
			log := normalize(output, cloud)
			if strings.Contains(flat(log), "documentation does not list") != form.reliesOnAppSlug {
				t.Errorf("the log must say what AWS documents exactly if the policy relies on app_slug:\n%s", log)
			}
			policy := suggestedPolicy(t, log)
			if !bytes.Contains(policy, []byte(form.condition)) {
				t.Errorf("there is no %s in the policy:\n%s", form.condition, policy)
			}
			for world, seen := range worlds {
				if err := cloud.SetConfig(func(c *sandbox.Config) {
					c.EveryClaim, c.Accounts[0].Roles[0].TrustPolicy = seen, bytes.Clone(policy)
				}); err != nil {
					t.Fatal(err)
				}
				check := func(build string, changes map[string]any, want bool) {
					t.Helper()
					if got := admits(t, cloud, changes); got != want {
						t.Errorf("%s: %s is admitted: %v, want %v, with the policy\n%s", world, build, got, want, policy)
					}
				}
				check("this build", thisBuild, form.app[world])
				check("the app's next build", nextBuild, form.app[world])
				check("another workflow", anotherWorkflow, form.sameApp[world])
				for build, changes := range otherApps {
					check(build, changes, false)
				}
			}
		})
	}
}

// fakePlugin returns a directory with a Bitrise CLI that has the annotations plugin, which writes to the file in ANNOTATION.
func fakePlugin(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	script := "#!/bin/sh\n" +
		"[ \"$*\" = ':annotations annotate --style error --context authenticate-with-aws' ] || exit 1\n" +
		"cat > \"$ANNOTATION\"\n"
	if err := os.WriteFile(filepath.Join(folder, "bitrise"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// Without the plugin, the Step does not try to annotate, and the log does not mention it.
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
		t.Error("the plugin was called")
	}
}

// explanation returns a failing run's log without its inputs, its retries, and what differs from run to run.
func explanation(log string, cloud *sandbox.Sandbox) string {
	inputsAndRetries := regexp.MustCompile(`(?s)^.*?\n- verbose: \w+\n|(?m)^[^\n]* failed \(attempt \d+\): [^\n]*\n`)
	return inputsAndRetries.ReplaceAllString(normalize(log, cloud), "")
}

// normalize replaces what differs from run to run in a log: colors, times, ports, and IDs.
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

// checkColumns checks that a log is at most 80 columns wide. Policies, claims, and single long words can be wider.
func checkColumns(t *testing.T, log string) {
	t.Helper()
	start := said.FindStringIndex(log)
	if start == nil {
		t.Fatalf("there is no explanation in\n%s", log)
	}
	explanation := log[start[0]:]
	for line := range strings.SplitSeq(explanation, "\n") {
		isTable := strings.Contains(line, `": "`) || strings.Contains(line, bitriseIssuerHost+":")
		if len([]rune(line)) > 80 && strings.Contains(strings.TrimSpace(line), " ") && !isTable {
			t.Errorf("a line of %d columns: %s", len([]rune(line)), line)
		}
	}
}

const bitriseIssuerHost = "token.builds.bitrise.io"

// said matches the heading of an explanation.
var said = regexp.MustCompile(`(?m)^(AWS|Bitrise) said$`)

// checkGolden compares a text with a golden file, or writes the file with -update.
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
		t.Errorf("%s differs; to update it, run: go test -run %s . -update\ngot:\n%s", file, strings.Split(t.Name(), "/")[0], got)
	}
}

// The parts of docs/troubleshooting.md that are not from the Step's log.
const (
	troubleshootingIntro = `# Troubleshooting

If the Step fails, the end of its log explains the error: what AWS or Bitrise said, what this means, and what to do. The last line
names the cause. This page collects these explanations.

- If a following Step fails, see [When a following Step fails](works-with.md#when-a-following-step-fails).
- If IAM refuses to create or update the role, see [below](#iam-refuses-to-create-or-update-the-role).
- If the log is not enough, run the Step with ` + "`verbose: \"true\"`" + `. It then shows every call, and never a secret.

To find an error, search this table for its code and text. Account IDs, names, and numbers are examples. Where a text says above or
below, it means the rest of the log; there is an [example of a whole log](#example-of-a-whole-log). The page is generated from the logs
in ` + "`e2e/testdata/explain`" + `.

| AWS or Bitrise said | cause | what to do |
| --- | --- | --- |
`
	troubleshootingExample = `
## Example of a whole log

This is what the log of the first error in the table looks like. The role's trust policy names another app.

`
	iamRefusal = `
## IAM refuses to create or update the role

This is an error from IAM (the console, CloudFormation, Terraform), not from the Step. Since June 2025, IAM refuses to create or
update a role whose trust policy has a shared OIDC provider, such as GitHub's or Buildkite's, as its principal, but does not
evaluate the claim that identifies the tenant. For most of these providers, this is ` + "`sub`" + `. Existing roles keep working until
their trust policy is changed. AWS calls this
[identity-provider controls for shared OIDC providers](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc_secure-by-default.html)
and lists the providers with the required claims there.

- If the statement in question is for another provider, add the condition that AWS's page requires for it.
- If AWS lists Bitrise by now, add the condition that its page requires. If that is one on ` + "`sub`" + `, keep the one on ` + "`app_slug`" + `,
  too: see [below](#what-is-known-about-sub-and-condition-keys).
- Do not work around the refusal with a value such as ` + "`*`" + `: it would let everyone who uses the provider assume the role.
`
)

// docs/troubleshooting.md is generated from the golden files, so that it matches what the Step says.
func TestTroubleshootingPage(t *testing.T) {
	var entries []*entry
	byCause := map[string]*entry{}
	for _, f := range failures() {
		if f.combined {
			continue
		}
		e := readEntry(t, f)
		// The same cause with another role is the same entry. Its failures have most of the advice in common.
		key := regexp.MustCompile(`role \S+`).ReplaceAllString(e.cause, "role")
		if first := byCause[key]; first != nil {
			first.addAdvice(e.advice)
			continue
		}
		byCause[key], entries = e, append(entries, e)
	}
	var page strings.Builder
	page.WriteString(troubleshootingIntro)
	for _, e := range entries {
		fmt.Fprintf(&page, "| %s | %s | [%s](#%s) |\n", e.said, e.cause, e.title, anchor(e.title))
	}
	shown := map[string]string{}
	for _, e := range entries {
		fmt.Fprintf(&page, "\n## %s\n", e.title)
		if e.meaning != "" {
			page.WriteString("\n" + e.meaning + "\n")
		}
		advice := strings.Join(e.advice, "\n- ")
		if other := shown[advice]; other != "" {
			t.Errorf("%s has the same advice as %s; give them the same cause", e.title, other)
		}
		shown[advice] = e.title
		page.WriteString("\n- " + advice + "\n")
	}
	page.WriteString(iamRefusal + whatIsKnown + troubleshootingExample)
	log := regexp.MustCompile(`(?m) +$`).ReplaceAllString(readExplanation(t, failures()[0]), "")
	fmt.Fprintf(&page, "```text\n%s```\n", log)
	checkGolden(t, filepath.Join(root(t), "docs", "troubleshooting.md"), page.String())
}

// entry is a cause on the troubleshooting page.
type entry struct {
	title, said, cause, meaning string
	advice                      []string
}

// readEntry reads the golden file of a failure.
func readEntry(t *testing.T, f failure) *entry {
	t.Helper()
	log := readExplanation(t, f)
	title := cmp.Or(f.title, f.name)
	e := &entry{title: strings.ToUpper(title[:1]) + title[1:], cause: markdown(lastLine(log))}
	meaning := regexp.MustCompile(`(?s)\nWhat this means\n(.*?)\n\n`).FindStringSubmatch(log)
	if meaning != nil {
		e.meaning = markdown(meaning[1])
	}
	answer := regexp.MustCompile(`(?s) answered (\w+):? ?(.*?)(?: \(request ID [^)]*\)[^\n]*)?\n\n`).FindStringSubmatch(
		regexp.MustCompile(`([^\n])\n([^\n])`).ReplaceAllString(log, "$1 $2"))
	advice := regexp.MustCompile(`(?s)\nWhat to do\n- (.*?)\n\n`).FindStringSubmatch(log)
	if answer == nil || advice == nil {
		t.Fatalf("%s is not a whole explanation:\n%s", f.name, log)
	}
	e.said = "`" + answer[1] + "` " + markdown(answer[2])
	for _, item := range strings.Split(advice[1], "\n- ") {
		e.advice = append(e.advice, markdown(item))
	}
	return e
}

// addAdvice adds advice that the entry does not have. Advice that starts the same is the same, with other names.
func (e *entry) addAdvice(more []string) {
	const same = 30
	for _, item := range more {
		if !slices.ContainsFunc(e.advice, func(known string) bool { return strings.HasPrefix(known, item[:min(same, len(item))]) }) {
			e.advice = append(e.advice, item)
		}
	}
}

// readExplanation returns the explanation in the golden file of a failure.
func readExplanation(t *testing.T, f failure) string {
	t.Helper()
	log := readFile(t, filepath.Join("testdata", "explain", strings.ReplaceAll(f.name, " ", "-")+".txt"))
	start := said.FindStringIndex(log)
	if start == nil {
		t.Fatalf("%s has no explanation", f.name)
	}
	return log[start[0]:]
}

// markdown turns plain text that is wrapped for the log into a paragraph of Markdown.
func markdown(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("*", `\*`, "|", `\|`, "_", `\_`, "<", "&lt;").Replace(text)
}
