package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

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

// otherApps are builds that a policy for the default app must not admit.
var otherApps = map[string]map[string]any{
	"another app": anotherApp, "an app with a longer slug": longerSlug, "an app whose slug contains this one's": slugInSlug,
	"an app that imitates this one": impostor,
}

// admits reports whether STS exchanges the token of the default build with some claims changed.
func admits(t *testing.T, cloud *sandbox.Sandbox, changes map[string]any) bool {
	t.Helper()
	token, err := cloud.MintToken("sts.amazonaws.com", changes)
	if err != nil {
		t.Fatal(err)
	}
	client := sts.New(sts.Options{
		Region: region, BaseEndpoint: aws.String(cloud.AWSURL()), Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
	})
	_, err = client.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String("policy-test"), WebIdentityToken: aws.String(token),
	})
	var refusal smithy.APIError
	if err != nil && (!errors.As(err, &refusal) || refusal.ErrorCode() != "AccessDenied") {
		t.Fatal(err)
	}
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

// README.md has two trust policies. The recommended one admits the build in both worlds, the one in Bitrise's guide only if IAM
// evaluates every claim. Neither admits another app.
func TestREADMETrustPolicies(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for marker, inWorld := range map[string]map[string]bool{
		"trust":         {"as AWS documents": true, "every claim": true},
		"Bitrise guide": {"as AWS documents": false, "every claim": true},
	} {
		policies := regexp.MustCompile("(?s)<!-- policy: "+marker+" -->\n```json\n(.*?)```").FindAllSubmatch(content, -1)
		if len(policies) != 1 {
			t.Fatalf("got %d policies marked %q in README.md, want 1", len(policies), marker)
		}
		for world, everyClaim := range worlds {
			t.Run(marker+", "+world, func(t *testing.T) {
				cloud := startWithTrustPolicy(t, policies[0][1], everyClaim)
				output, err := newRun(t, cloud).step(map[string]string{"role_arn": role})
				if (err == nil) != inWorld[world] || (err != nil && !strings.Contains(flat(output), "AccessDenied")) {
					t.Errorf("got error %v, want the build admitted: %v\n%s", err, inWorld[world], output)
				}
				if got := admits(t, cloud, nextBuild); got != inWorld[world] {
					t.Errorf("the app's next build is admitted: got %v, want %v", got, inWorld[world])
				}
				for name, build := range otherApps {
					if admits(t, cloud, build) {
						t.Errorf("%s is admitted", name)
					}
				}
			})
		}
	}
}

// README.md's setup works: a run with a role that does not exist yet logs the policy to create the role with.
func TestREADMESetup(t *testing.T) {
	t.Parallel()
	config := sandbox.DefaultConfig()
	config.Accounts[0].Roles = nil
	cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
	given := map[string]string{"role_arn": "arn:aws:iam::123456789012:role/new-role", "verbose": "true"}
	output, err := newRun(t, cloud).step(given)
	if err == nil || !strings.Contains(flat(output), "* token.builds.bitrise.io:sub app:0123456789abcdef:workflow:deploy") {
		t.Fatalf("got %v, want an error and the sub claim in the log:\n%s", err, output)
	}
	policy := suggestedPolicy(t, normalize(output, cloud))
	if err := cloud.SetConfig(func(c *sandbox.Config) {
		c.Accounts[0].Roles = []sandbox.Role{{Name: "new-role", TrustPolicy: policy}}
	}); err != nil {
		t.Fatal(err)
	}
	newRun(t, cloud).mustStep(given)
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

// policyInPage is a policy in a page with the text around it.
type policyInPage struct {
	document []byte
	around   string
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
		policies = append(policies, policyInPage{policy, strings.Join(strings.Fields(string(around)), " ")})
	}
	return policies
}

// The policies that users may copy are valid and not too broad. A trust policy for identity tokens admits the app's builds and no
// others, a trust policy for roles names them, and a permissions policy does not allow everything. Next to a trust policy that
// relies on app_slug alone, the page says that AWS does not document this condition key.
func TestPoliciesInPages(t *testing.T) {
	found := map[string]int{}
	for _, page := range append(pages(t), filepath.Join(root(t), "step.yml")) {
		for _, policy := range policiesOf(t, page) {
			kind, wrong := judge(policy.document)
			found[kind]++
			if wrong != "" {
				t.Errorf("%s: %s:\n%s", filepath.Base(page), wrong, policy.document)
			}
			if kind == byApp && !strings.Contains(policy.around, "documentation does not list") {
				t.Errorf("%s: the text does not say that AWS does not document the condition keys of this policy:\n%s",
					filepath.Base(page), policy.document)
			}
		}
	}
	for _, kind := range []string{bySubject, byApp, forRoles, permissions} {
		if found[kind] == 0 {
			t.Errorf("the pages have no policy of the kind %q, so this test cannot fail for it", kind)
		}
	}
}

// The kinds of policies.
const (
	bySubject   = "identity tokens, by sub"
	byApp       = "identity tokens, by app_slug"
	forRoles    = "roles"
	permissions = "permissions"
)

// The checks find everything that can be wrong with a policy.
func TestJudge(t *testing.T) {
	trust := func(principal, condition string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal +
			`,"Action":"sts:AssumeRoleWithWebIdentity","Condition":{` + condition + `}}}`
	}
	const (
		provider = `{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.builds.bitrise.io"}`
		audience = `"token.builds.bitrise.io:aud":"sts.amazonaws.com"`
		app      = `"token.builds.bitrise.io:app_slug":"0123456789abcdef"`
		ifApp    = `"StringEqualsIfExists":{` + app + `}`
		workflow = `"token.builds.bitrise.io:workflow":"deploy"`
		subject  = `"token.builds.bitrise.io:sub":"app:0123456789abcdef:workflow:deploy"`
	)
	equals := func(conditions ...string) string { return `"StringEquals":{` + strings.Join(conditions, ",") + `}` }
	like := func(pattern string, more ...string) string {
		subject := `"StringLike":{"token.builds.bitrise.io:sub":"` + pattern + `"}`
		return trust(provider, strings.Join(append([]string{equals(audience), subject}, more...), ","))
	}
	misspelled := strings.Replace(app, "app_slug", "app", 1)
	anyWorkflow := `"StringLikeIfExists":{"token.builds.bitrise.io:workflow":"*"}`
	anyApp := `"StringLike":{"token.builds.bitrise.io:app_slug":"*"}`
	allow := func(rest string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow",` + rest + `}}`
	}
	for name, row := range map[string]struct{ policy, kind, wrong string }{
		"exact subject":                    {trust(provider, equals(audience, subject)), bySubject, ""},
		"subject pattern":                  {like("app:0123456789abcdef:*", ifApp), bySubject, ""},
		"subject pattern, any app":         {like("app:*", ifApp), bySubject, "admits an"},
		"subject pattern, longer slug":     {like("app:0123456789abcdef*", ifApp), bySubject, "longer slug"},
		"subject pattern, slug anywhere":   {like("*0123456789abcdef:*", ifApp), bySubject, "admits an"},
		"subject pattern, slug at the end": {like("*:app:0123456789abcdef:*", ifApp), bySubject, "does not admit"},
		"subject pattern, imitated":        {like("*app:0123456789abcdef:*", ifApp), bySubject, "imitates"},
		"subject of another app":           {like("app:other:*"), bySubject, "does not admit"},
		"subject and app":                  {trust(provider, equals(audience, app, subject)), bySubject, "does not admit"},
		"exact subject, any workflow":      {trust(provider, equals(audience, subject)+","+anyWorkflow), bySubject, ""},
		"subject pattern, any workflow":    {like("app:0123456789abcdef:*", anyWorkflow), bySubject, "another workflow"},
		"app":                              {trust(provider, equals(audience, app)), byApp, ""},
		"app and workflow":                 {trust(provider, equals(audience, app, workflow)), byApp, ""},
		"audience alone":                   {trust(provider, equals(audience)), byApp, "admits"},
		"app, if it exists":                {trust(provider, equals(audience)+","+ifApp), byApp, "admits"},
		"any app":                          {trust(provider, equals(audience)+","+anyApp), byApp, "admits an"},
		"no audience":                      {trust(provider, equals(app)), byApp, "another audience"},
		"no audience, but a subject":       {trust(provider, equals(subject)), bySubject, "another audience"},
		"misspelled key":                   {trust(provider, equals(audience, misspelled)), byApp, "does not admit"},
		"misspelled operator":              {trust(provider, `"StringEqual":{`+audience+`}`), "", "condition operator"},
		"any provider":                     {trust(`"*"`, equals(audience, subject)), bySubject, "another provider"},
		"any role":                         {allow(`"Principal":{"AWS":"*"},"Action":"sts:AssumeRole"`), forRoles, "anyone"},
		"all permissions":                  {allow(`"Action":"*","Resource":"*"`), permissions, "everything"},
		"a permission":                     {allow(`"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"`), permissions, ""},
		"no statement":                     {`{"Version":"2012-10-17"}`, "", "no statement"},
	} {
		t.Run(name, func(t *testing.T) {
			kind, wrong := judge([]byte(row.policy))
			if kind != row.kind || (wrong == "") != (row.wrong == "") || !strings.Contains(wrong, row.wrong) {
				t.Errorf("got %q, %q; want %q, %q", kind, wrong, row.kind, row.wrong)
			}
		})
	}
}

// judge returns the kind of a policy and what is wrong with it, or "" if nothing is.
func judge(document []byte) (kind, wrong string) {
	policy, err := sandbox.ParsePolicy(document)
	if err != nil {
		return "", err.Error()
	}
	if !bytes.Contains(document, []byte(`"Principal"`)) {
		everything := sandbox.Request{Action: "iam:CreateUser", Resource: "arn:aws:iam::123456789012:user/any"}
		if policy.Evaluate(everything) == sandbox.Allowed {
			return permissions, "it allows everything"
		}
		return permissions, ""
	}
	if !bytes.Contains(document, []byte("sts:AssumeRoleWithWebIdentity")) {
		stranger := map[string][]string{"AWS": {"arn:aws:iam::999999999999:role/any", "999999999999"}}
		// A condition is not enough, because external IDs are not secret.
		for _, statement := range policy.Statement {
			statement.Condition = nil
			one := sandbox.Policy{Statement: []sandbox.Statement{statement}}
			if one.Evaluate(sandbox.Request{Action: "sts:AssumeRole", Principals: stranger}) == sandbox.Allowed {
				return forRoles, "it admits anyone"
			}
		}
		return forRoles, ""
	}
	kind = byApp
	if bytes.Contains(document, []byte(`:sub"`)) {
		kind = bySubject
	}
	for world, everyClaim := range worlds {
		if wrong := judgeTrust(policy, kind == bySubject || everyClaim, everyClaim); wrong != "" {
			return kind, world + ": " + wrong
		}
	}
	return kind, ""
}

// judgeTrust evaluates a trust policy for the default build, for the app's next one, and for builds that it must not admit.
func judgeTrust(policy *sandbox.Policy, admitsBuild, everyClaim bool) string {
	const provider = "arn:aws:iam::123456789012:oidc-provider/token.builds.bitrise.io"
	audience, namesWorkflow := "sts.amazonaws.com", false
	for _, statement := range policy.Statement {
		// Some policies are for a build with its own audience.
		if own := statement.Condition["StringEquals"]["token.builds.bitrise.io:aud"]; len(own) > 0 {
			audience = own[0]
		}
		for _, keys := range statement.Condition {
			namesWorkflow = namesWorkflow || len(keys["token.builds.bitrise.io:workflow"]) > 0
		}
	}
	admits := func(provider, audience string, changes map[string]any) bool {
		claims := maps.Clone(sandbox.DefaultConfig().Build)
		maps.Copy(claims, changes)
		context := map[string][]string{
			"token.builds.bitrise.io:aud": {audience},
			"token.builds.bitrise.io:sub": {fmt.Sprintf("app:%v:workflow:%v", claims["app_slug"], claims["workflow"])},
		}
		if everyClaim {
			for name, value := range claims {
				context["token.builds.bitrise.io:"+name] = []string{fmt.Sprint(value)}
			}
		}
		return policy.Evaluate(sandbox.Request{
			Action: "sts:AssumeRoleWithWebIdentity", Principals: map[string][]string{"Federated": {provider}}, Context: context,
		}) == sandbox.Allowed
	}
	for name, build := range map[string]map[string]any{"the build": thisBuild, "the app's next build": nextBuild} {
		if admits(provider, audience, build) != admitsBuild {
			return fmt.Sprintf("it %s %s", map[bool]string{true: "does not admit", false: "admits"}[admitsBuild], name)
		}
	}
	for name, build := range otherApps {
		if admits(provider, audience, build) {
			return "it admits " + name
		}
	}
	switch {
	case admits(provider, audience, map[string]any{"app_slug": ""}):
		return "it admits a token that names no app"
	case admits(provider, "another", thisBuild):
		return "it admits another audience"
	case admits("arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com", audience, thisBuild):
		return "it admits another provider"
	case namesWorkflow && everyClaim && admits(provider, audience, anotherWorkflow):
		return "it admits another workflow, although it has a condition on it"
	}
	return ""
}
