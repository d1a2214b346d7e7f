package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// bitriseIssuer is the iss claim of real builds' tokens. The policies in the documentation name it.
const bitriseIssuer = "https://token.builds.bitrise.io"

// worlds are the two possible behaviors of IAM, by the value of [sandbox.Config.EveryClaim]: which of a token's claims are
// condition keys.
var worlds = map[string]bool{"as AWS documents": false, "every claim": true}

// Builds that differ from the sandbox's default build in these claims.
var (
	thisBuild       = map[string]any{}
	nextBuild       = map[string]any{"build_number": "4712", "build_slug": "00112233-4455-6677-8899-aabbccddeeff"}
	anotherApp      = map[string]any{"app_slug": "fedcba9876543210"}
	longerSlug      = map[string]any{"app_slug": sandbox.DefaultAppSlug + "0"}
	slugInSlug      = map[string]any{"app_slug": "0" + sandbox.DefaultAppSlug}
	anotherWorkflow = map[string]any{"workflow": "pull-request"}
	// impostor is a build of another app, whose workflow's name contains this app's subject.
	impostor = map[string]any{"app_slug": "fedcba9876543210", "workflow": "x:app:" + sandbox.DefaultAppSlug + ":workflow:deploy"}
)

// otherApps are builds that a policy for the default app must not let in.
var otherApps = map[string]map[string]any{
	"another app": anotherApp, "an app with a longer slug": longerSlug, "an app whose slug contains this one's": slugInSlug,
	"an app that imitates this one": impostor,
}

// defaultSubject is the sub claim of the default build.
const defaultSubject = "app:" + sandbox.DefaultAppSlug + ":workflow:deploy"

// copySubject returns another app's build whose token has the default build's sub, because the caller has requested it.
func copySubject(build map[string]any) map[string]any {
	build = maps.Clone(build)
	build["sub"] = defaultSubject
	return build
}

// letsIn reports whether STS exchanges the token of the default build with some claims changed.
func letsIn(t *testing.T, cloud *sandbox.Sandbox, changes map[string]any) bool {
	t.Helper()
	_, err := assumeAs(t, cloud, changes)
	return err == nil
}

// startWithTrustPolicy starts a sandbox with Bitrise's issuer in which the default role has this trust policy.
func startWithTrustPolicy(t *testing.T, policy []byte, everyClaim bool) *sandbox.Sandbox {
	t.Helper()
	config := sandbox.DefaultConfig()
	config.EveryClaim = everyClaim
	config.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(policy)
	return startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
}

// The trust policy in README.md lets in the app's builds of the workflow if IAM evaluates every claim, and otherwise no one. It never
// lets in another app, even one that copies sub.
func TestREADMETrustPolicy(t *testing.T) {
	t.Parallel()
	policy := markedPolicy(t, "README.md", "trust")
	for world, everyClaim := range worlds {
		t.Run(world, func(t *testing.T) {
			cloud := startWithTrustPolicy(t, policy, everyClaim)
			output, err := newRun(t, cloud).step(map[string]string{"role_arn": role})
			if (err == nil) != everyClaim || (err != nil && !strings.Contains(flat(output), "AccessDenied")) {
				t.Errorf("got error %v, want the build let in: %v\n%s", err, everyClaim, output)
			}
			if got := letsIn(t, cloud, nextBuild); got != everyClaim {
				t.Errorf("the app's next build is let in: got %v, want %v", got, everyClaim)
			}
			for name, build := range otherApps {
				if letsIn(t, cloud, build) || letsIn(t, cloud, copySubject(build)) {
					t.Errorf("%s is let in", name)
				}
			}
			if letsIn(t, cloud, anotherWorkflow) {
				t.Error("another workflow is let in")
			}
		})
	}
}

// README.md's setup works: if AWS rejects the build with the first policy, the log has a different one.
func TestREADMESetup(t *testing.T) {
	t.Parallel()
	cloud := startWithTrustPolicy(t, markedPolicy(t, "README.md", "trust"), false)
	given := map[string]string{"role_arn": role}
	output, err := newRun(t, cloud).step(given)
	if err == nil {
		t.Fatal("the build is let in although IAM does not evaluate app_slug")
	}
	policy := suggestedPolicy(t, normalize(output, cloud))
	if err := cloud.SetConfig(func(c *sandbox.Config) { c.Accounts[0].Roles[0].TrustPolicy = policy }); err != nil {
		t.Fatal(err)
	}
	newRun(t, cloud).mustStep(given)
}

// markedPolicy returns the policy with a marker in a page.
func markedPolicy(t *testing.T, page, marker string) []byte {
	t.Helper()
	var found [][]byte
	for _, policy := range policiesOf(t, filepath.Join(root(t), filepath.FromSlash(page))) {
		if policy.marker == marker {
			found = append(found, policy.document)
		}
	}
	if len(found) != 1 {
		t.Fatalf("got %d policies marked %q in %s, want 1", len(found), marker, page)
	}
	return found[0]
}

// pages returns the pages for users and contributors.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md"} {
		found, err := filepath.Glob(filepath.Join(root(t), filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

func TestDocumentationHasValidJSON(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(content, -1) {
			found++
			if !json.Valid(block[1]) {
				t.Errorf("%s has a block that is not valid JSON:\n%s", filepath.Base(page), block[1])
			}
		}
	}
	if found == 0 {
		t.Error("the pages have no JSON blocks, so this test cannot fail")
	}
}

// policyInPage is a policy in a page with the text around it and its marker, <!-- policy: MARKER -->, if it has one.
type policyInPage struct {
	document       []byte
	around, marker string
}

// policiesOf returns all JSON policies in a file.
func policiesOf(t *testing.T, file string) []policyInPage {
	t.Helper()
	const nearby = 2000 // characters, about a section

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var policies []policyInPage
	for _, start := range regexp.MustCompile(`\{\s*"(Version|Id|Statement)"`).FindAllIndex(content, -1) {
		var policy json.RawMessage
		if err := json.NewDecoder(bytes.NewReader(content[start[0]:])).Decode(&policy); err != nil {
			t.Errorf("%s has a policy that is not valid JSON, %v:\n%.300s", filepath.Base(file), err, content[start[0]:])
			continue
		}
		end := start[0] + len(policy)
		around := content[max(0, start[0]-nearby):min(len(content), end+nearby)]
		marker := regexp.MustCompile("<!-- policy: ([^>]+) -->\n```json\n$").FindSubmatch(content[:start[0]])
		found := policyInPage{document: policy, around: strings.Join(strings.Fields(string(around)), " ")}
		if marker != nil {
			found.marker = string(marker[1])
		}
		policies = append(policies, found)
	}
	return policies
}

// The policies that users may copy are valid and not too broad. A trust policy for identity tokens lets in the app's builds and no
// others, even if they copy sub; a trust policy for roles names them; and a permissions policy does not allow everything. Next to a
// trust policy that relies on app_slug, the page says that AWS does not document this condition key.
func TestPoliciesInPages(t *testing.T) {
	found := map[string]int{}
	for _, page := range append(pages(t), filepath.Join(root(t), "step.yml")) {
		for _, policy := range policiesOf(t, page) {
			kind, wrong := judge(policy.document, false)
			if policy.marker == "strict trust" {
				kind, wrong = strict, judgeStrict(policy.document, markedPolicy(t, "docs/trust-policies.md", "strict permissions"))
			}
			found[kind]++
			if wrong != "" {
				t.Errorf("%s: %s:\n%s", filepath.Base(page), wrong, policy.document)
			}
			if (kind == byApp || kind == strict) && !strings.Contains(policy.around, "documentation does not list") {
				t.Errorf("%s: the text does not say that AWS does not document the condition keys of this policy:\n%s",
					filepath.Base(page), policy.document)
			}
		}
	}
	for _, kind := range []string{byApp, strict, forRoles, permissions} {
		if found[kind] == 0 {
			t.Errorf("the pages have no policy of the kind %q, so this test cannot fail for it", kind)
		}
	}
}
