package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// The kinds of policies.
const (
	bySubject   = "identity tokens, by sub"
	strict      = "identity tokens, with permissions that deny other apps"
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
		"subject pattern, any app":         {like("app:*", ifApp), bySubject, "lets in an"},
		"subject pattern, longer slug":     {like("app:0123456789abcdef*", ifApp), bySubject, "longer slug"},
		"subject pattern, slug anywhere":   {like("*0123456789abcdef:*", ifApp), bySubject, "lets in an"},
		"subject pattern, slug at the end": {like("*:app:0123456789abcdef:*", ifApp), bySubject, "does not let in"},
		"subject pattern, imitated":        {like("*app:0123456789abcdef:*", ifApp), bySubject, "imitates"},
		"subject of another app":           {like("app:other:*"), bySubject, "does not let in"},
		"subject and app":                  {trust(provider, equals(audience, app, subject)), bySubject, "does not let in"},
		"exact subject, any workflow":      {trust(provider, equals(audience, subject)+","+anyWorkflow), bySubject, ""},
		"subject pattern, any workflow":    {like("app:0123456789abcdef:*", anyWorkflow), bySubject, "another workflow"},
		"app":                              {trust(provider, equals(audience, app)), byApp, ""},
		"app and workflow":                 {trust(provider, equals(audience, app, workflow)), byApp, ""},
		"audience alone":                   {trust(provider, equals(audience)), byApp, "lets in"},
		"app, if it exists":                {trust(provider, equals(audience)+","+ifApp), byApp, "lets in"},
		"any app":                          {trust(provider, equals(audience)+","+anyApp), byApp, "lets in an"},
		"no audience":                      {trust(provider, equals(app)), byApp, "another audience"},
		"no audience, but a subject":       {trust(provider, equals(subject)), bySubject, "another audience"},
		"misspelled key":                   {trust(provider, equals(audience, misspelled)), byApp, "does not let in"},
		"misspelled operator":              {trust(provider, `"StringEqual":{`+audience+`}`), "", "condition operator"},
		"any provider":                     {trust(`"*"`, equals(audience, subject)), bySubject, "another provider"},
		"any role":                         {allow(`"Principal":{"AWS":"*"},"Action":"sts:AssumeRole"`), forRoles, "anyone"},
		"all permissions":                  {allow(`"Action":"*","Resource":"*"`), permissions, "everything"},
		"a permission":                     {allow(`"Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/*"`), permissions, ""},
		"no statement":                     {`{"Version":"2012-10-17"}`, "", "no statement"},
	} {
		t.Run(name, func(t *testing.T) {
			kind, wrong := judge([]byte(row.policy), true)
			if kind != row.kind || (wrong == "") != (row.wrong == "") || !strings.Contains(wrong, row.wrong) {
				t.Errorf("got %q, %q; want %q, %q", kind, wrong, row.kind, row.wrong)
			}
		})
	}
	for name, row := range map[string]struct{ policy, wrong string }{
		"exact subject": {trust(provider, equals(audience, subject)), "that copies sub"},
		"app":           {trust(provider, equals(audience, app)), ""},
	} {
		t.Run(name+" and builds that copy sub", func(t *testing.T) {
			if _, wrong := judge([]byte(row.policy), false); (wrong == "") != (row.wrong == "") || !strings.Contains(wrong, row.wrong) {
				t.Errorf("got %q, want %q", wrong, row.wrong)
			}
		})
	}
}

// The strict trust policy is judged together with the deny statements, without which it lets in other apps.
func TestJudgeStrict(t *testing.T) {
	trust := markedPolicy(t, "docs/trust-policies.md", "strict trust")
	denies := markedPolicy(t, "docs/trust-policies.md", "strict permissions")
	if wrong := judgeStrict(trust, denies); wrong != "" {
		t.Error(wrong)
	}
	for name, changed := range map[string]string{
		"no deny statement":        `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"iam:*","Resource":"*"}}`,
		"deny the app itself":      strings.ReplaceAll(string(denies), "StringNotEquals", "StringEquals"),
		"deny statement on sub":    strings.ReplaceAll(string(denies), "aws:OriginIdentity/Subject", "token.builds.bitrise.io:sub"),
		"deny statement, misspelt": strings.ReplaceAll(string(denies), "aws:OriginIdentity/Subject", "aws:OriginIdentity/Sub"),
	} {
		if wrong := judgeStrict(trust, []byte(changed)); wrong == "" {
			t.Errorf("%s: nothing is wrong", name)
		}
	}
}

// judge returns the kind of a policy and what is wrong with it, or "" if nothing is. If the subject is not fixed, callers choose sub.
func judge(document []byte, fixedSubject bool) (kind, wrong string) {
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
				return forRoles, "it lets in anyone"
			}
		}
		return forRoles, ""
	}
	kind = byApp
	if bytes.Contains(document, []byte(`:sub"`)) {
		kind = bySubject
	}
	for world, everyClaim := range worlds {
		j := judgment{trust: policy, everyClaim: everyClaim, fixedSubject: fixedSubject}
		if wrong := j.wrong(kind == bySubject || everyClaim); wrong != "" {
			return kind, world + ": " + wrong
		}
	}
	return kind, ""
}

// judgeStrict returns what is wrong with a trust policy and the permissions that deny other apps, or "" if nothing is.
func judgeStrict(trust, denies []byte) string {
	var policies []*sandbox.Policy
	for _, document := range [][]byte{trust, denies} {
		policy, err := sandbox.ParsePolicy(document)
		if err != nil {
			return err.Error()
		}
		policies = append(policies, policy)
	}
	for world, everyClaim := range worlds {
		j := judgment{trust: policies[0], denies: policies[1], everyClaim: everyClaim}
		if wrong := j.wrong(true); wrong != "" {
			return world + ": " + wrong
		}
		j.noContext = true
		if j.letsIn(bitriseProvider, "sts.amazonaws.com", thisBuild) {
			return world + ": it lets in builds without a context provider"
		}
	}
	return ""
}

const bitriseProvider = "arn:aws:iam::123456789012:oidc-provider/token.builds.bitrise.io"

// judgment evaluates a trust policy, and the permissions that go with it, if any, for the default build and for others.
type judgment struct {
	trust, denies            *sandbox.Policy
	everyClaim, fixedSubject bool
	noContext                bool // the provider has no context provider
}

// wrong returns what is wrong, given whether the policies let in the default build.
func (j judgment) wrong(letsInBuild bool) string {
	audience, namesWorkflow := "sts.amazonaws.com", j.denies != nil
	for _, statement := range j.trust.Statement {
		// Some policies are for a build with its own audience.
		if own := statement.Condition["StringEquals"]["token.builds.bitrise.io:aud"]; len(own) > 0 {
			audience = own[0]
		}
		for _, keys := range statement.Condition {
			namesWorkflow = namesWorkflow || len(keys["token.builds.bitrise.io:workflow"]) > 0
		}
	}
	letsIn := func(build map[string]any) bool { return j.letsIn(bitriseProvider, audience, build) }
	for name, build := range map[string]map[string]any{"the build": thisBuild, "the app's next build": nextBuild} {
		if letsIn(build) != letsInBuild {
			return fmt.Sprintf("it %s %s", map[bool]string{true: "does not let in", false: "lets in"}[letsInBuild], name)
		}
	}
	for name, build := range otherApps {
		if letsIn(build) {
			return "it lets in " + name
		}
		if !j.fixedSubject && letsIn(copySubject(build)) {
			return "it lets in " + name + " that copies sub"
		}
	}
	switch {
	case letsIn(map[string]any{"app_slug": ""}):
		return "it lets in a token that names no app"
	case j.letsIn(bitriseProvider, "another", thisBuild):
		return "it lets in another audience"
	case j.letsIn("arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com", audience, thisBuild):
		return "it lets in another provider"
	case namesWorkflow && (j.everyClaim || j.denies != nil) && letsIn(anotherWorkflow):
		return "it lets in another workflow, although it has a condition on it"
	}
	return ""
}

// letsIn reports whether the default build with some claims changed can assume the role and use it.
func (j judgment) letsIn(provider, audience string, changes map[string]any) bool {
	claims := maps.Clone(sandbox.DefaultConfig().Build)
	maps.Copy(claims, changes)
	if claims["sub"] == nil {
		claims["sub"] = fmt.Sprintf("app:%v:workflow:%v", claims["app_slug"], claims["workflow"])
	}
	context := map[string][]string{"token.builds.bitrise.io:aud": {audience}}
	for name, value := range claims {
		if j.everyClaim || name == "sub" {
			context["token.builds.bitrise.io:"+name] = []string{fmt.Sprint(value)}
		}
	}
	if j.trust.Evaluate(sandbox.Request{
		Action: "sts:AssumeRoleWithWebIdentity", Principals: map[string][]string{"Federated": {provider}}, Context: context,
	}) != sandbox.Allowed {
		return false
	}
	if j.denies == nil {
		return true
	}
	session := sandbox.Request{Action: "s3:PutObject", Resource: "arn:aws:s3:::bucket/key"}
	if !j.noContext {
		session.Context = map[string][]string{
			"aws:OriginIdentity/Subject":                       {fmt.Sprint(claims["app_slug"])},
			"aws:TransactionContext/IdentityProvider/workflow": {fmt.Sprint(claims["workflow"])},
		}
	}
	return j.denies.Evaluate(session) != sandbox.Denied
}
