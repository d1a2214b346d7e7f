package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// bitriseIssuer is the iss of real builds' tokens, which the policies in the documentation name.
const bitriseIssuer = "https://token.builds.bitrise.io"

// The trust policy that README.md tells people to paste admits the build, and no other app's.
func TestREADMETrustPolicy(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	policies := regexp.MustCompile("(?s)<!-- policy: trust -->\n```json\n(.*?)```").FindAllSubmatch(content, -1)
	if len(policies) != 1 {
		t.Fatalf("README.md has %d trust policies, want 1", len(policies))
	}
	cloud := startWithTrustPolicy(t, policies[0][1])
	if output, err := newRun(t, cloud).step(map[string]string{"role_arn": role}); err != nil {
		t.Errorf("the policy does not admit the build: %v\n%s", err, output)
	}
	if err := cloud.SetConfig(func(c *sandbox.Config) { c.Build["app_slug"] = "fedcba9876543210" }); err != nil {
		t.Fatal(err)
	}
	if output, err := newRun(t, cloud).step(map[string]string{"role_arn": role}); err == nil || !strings.Contains(flat(output), "AccessDenied") {
		t.Errorf("the policy admits another app: %v\n%s", err, output)
	}
}

// startWithTrustPolicy starts a sandbox with Bitrise's issuer, in which the role has the trust policy.
func startWithTrustPolicy(t *testing.T, policy []byte) *sandbox.Sandbox {
	t.Helper()
	config := sandbox.DefaultConfig()
	config.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(policy)
	return startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
}

// Every block of JSON in the documentation is JSON.
func TestDocumentationHoldsValidJSON(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, more...) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(content, -1) {
			found++
			if !json.Valid(block[1]) {
				t.Errorf("%s holds a block that is no JSON:\n%s", filepath.Base(page), block[1])
			}
		}
	}
	if found == 0 {
		t.Error("no block was found, so this test cannot fail")
	}
}
