package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// bitriseIssuer is the iss of real builds' tokens, which the policies in the documentation name.
const bitriseIssuer = "https://token.builds.bitrise.io"

// The trust policy that README.md tells people to paste admits the build, and no other app's.
func TestREADMETrustPolicy(t *testing.T) {
	root := root(t)
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

// pages are those for users and for contributors.
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

// Every block of JSON in the documentation is JSON.
func TestDocumentationHoldsValidJSON(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
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

// policiesOf returns the policies in JSON of a file, wherever they stand in it.
func policiesOf(t *testing.T, file string) [][]byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var policies [][]byte
	for _, start := range regexp.MustCompile(`\{\s*"(Version|Id|Statement)"`).FindAllIndex(content, -1) {
		var policy json.RawMessage
		if err := json.NewDecoder(bytes.NewReader(content[start[0]:])).Decode(&policy); err != nil {
			t.Errorf("%s holds a policy that is no JSON, %v:\n%.300s", filepath.Base(file), err, content[start[0]:])
			continue
		}
		policies = append(policies, policy)
	}
	return policies
}

// No policy that a user may copy is malformed or admits more than it says: a trust policy for identity tokens admits builds
// of its app and no others, one for roles names them, and none allows everything.
func TestPoliciesInPages(t *testing.T) {
	found := map[string]int{}
	for _, page := range append(pages(t), filepath.Join(root(t), "step.yml")) {
		for _, document := range policiesOf(t, page) {
			kind, wrong := judge(document)
			found[kind]++
			if wrong != "" {
				t.Errorf("%s: %s:\n%s", filepath.Base(page), wrong, document)
			}
		}
	}
	if found["identity tokens"] < 2 || found["roles"] == 0 || found["permissions"] == 0 {
		t.Errorf("policies found, by what they are for: %v", found)
	}
}

// The judge finds each way in which a policy can be wrong.
func TestJudge(t *testing.T) {
	trust := func(principal, condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRoleWithWebIdentity","Condition":{` + condition + `}}}`
	}
	const (
		provider = `{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.builds.bitrise.io"}`
		audience = `"token.builds.bitrise.io:aud":"sts.amazonaws.com"`
		app      = `"token.builds.bitrise.io:app_slug":"0123456789abcdef"`
	)
	for policy, want := range map[string]string{
		trust(provider, `"StringEquals":{`+audience+`,`+app+`}`):                                                             "",
		trust(provider, `"StringEquals":{`+audience+`}`):                                                                     "another app",
		trust(provider, `"StringEquals":{`+app+`}`):                                                                          "another audience",
		trust(provider, `"StringEqualsIfExists":{`+audience+`,`+app+`}`):                                                     "no app",
		trust(provider, `"StringEquals":{`+audience+`},"StringLike":{"token.builds.bitrise.io:app_slug":"*"}`):               "another app",
		trust(provider, `"StringEquals":{`+audience+`,"token.builds.bitrise.io:app":"0123456789abcdef"}`):                    "does not admit",
		trust(provider, `"StringEqual":{`+audience+`}`):                                                                      "condition operator",
		trust(`"*"`, `"StringEquals":{`+audience+`,`+app+`}`):                                                                "another provider",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}}`:          "anybody",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`:                                "everything",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"}}`: "",
		`{"Version":"2012-10-17"}`: "no statement",
	} {
		if _, got := judge([]byte(policy)); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", policy, got, want)
		}
	}
}

// judge tells what a policy is for, and what is wrong with it.
func judge(document []byte) (kind, wrong string) {
	policy, err := sandbox.ParsePolicy(document)
	if err != nil {
		return "", err.Error()
	}
	if !bytes.Contains(document, []byte(`"Principal"`)) {
		if policy.Evaluate(sandbox.Request{Action: "iam:CreateUser", Resource: "arn:aws:iam::123456789012:user/any"}) == sandbox.Allowed {
			return "permissions", "it allows everything"
		}
		return "permissions", ""
	}
	if !bytes.Contains(document, []byte("sts:AssumeRoleWithWebIdentity")) {
		stranger := map[string][]string{"AWS": {"arn:aws:iam::999999999999:role/any", "999999999999"}}
		// A condition does not make it better: external IDs are no secrets.
		for _, statement := range policy.Statement {
			statement.Condition = nil
			one := sandbox.Policy{Statement: []sandbox.Statement{statement}}
			if one.Evaluate(sandbox.Request{Action: "sts:AssumeRole", Principals: stranger}) == sandbox.Allowed {
				return "roles", "it admits anybody"
			}
		}
		return "roles", ""
	}
	return "identity tokens", judgeTrust(policy)
}

// judgeTrust evaluates a trust policy for the default build's token, and for tokens that must not be admitted.
func judgeTrust(policy *sandbox.Policy) string {
	const provider = "arn:aws:iam::123456789012:oidc-provider/token.builds.bitrise.io"
	audience := "sts.amazonaws.com"
	for _, statement := range policy.Statement {
		// Some are for a build that asks for an audience of its own.
		if own := statement.Condition["StringEquals"]["token.builds.bitrise.io:aud"]; len(own) > 0 {
			audience = own[0]
		}
	}
	admits := func(provider, claim string, values ...string) bool {
		context := map[string][]string{"token.builds.bitrise.io:aud": {audience}}
		for name, value := range sandbox.DefaultConfig().Build {
			context["token.builds.bitrise.io:"+name] = []string{fmt.Sprint(value)}
		}
		if claim != "" {
			delete(context, "token.builds.bitrise.io:"+claim)
			if len(values) > 0 {
				context["token.builds.bitrise.io:"+claim] = values
			}
		}
		return policy.Evaluate(sandbox.Request{
			Action: "sts:AssumeRoleWithWebIdentity", Principals: map[string][]string{"Federated": {provider}}, Context: context,
		}) == sandbox.Allowed
	}
	switch {
	case !admits(provider, ""):
		return "it does not admit the build that it is for"
	case admits(provider, "app_slug", "fedcba9876543210"):
		return "it admits another app"
	case admits(provider, "app_slug"):
		return "it admits a token that names no app"
	case admits(provider, "aud", "another"):
		return "it admits another audience"
	case admits("arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com", ""):
		return "it admits another provider"
	}
	return ""
}
