package awsauth_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

const deployRole = "arn:aws:iam::123456789012:role/deploy"

const bitrise = "https://token.builds.bitrise.io"

// denied returns the explanation of AccessDenied for a token with these claims, if callers choose sub or not.
func denied(t *testing.T, role, issuer string, subject awsauth.Subject, claims map[string]idtoken.Claim) explain.Explanation {
	t.Helper()
	client, _ := stsServer(t, responding(403, awsError("AccessDenied", "Not authorized")))
	w := webIdentity(t)
	w.Role, w.Token.Issuer, w.Token.Claims = roleARN(t, role), issuer, claims
	_, err := obtain(t, w, client, 100)
	if !awsauth.IsDenied(err) {
		t.Fatalf("got %v", err)
	}
	return explain.Of(w.Explain(err, subject, []string{"v4711"}))
}

// claims returns the usual claims of a token, changed by NAME=VALUE items. An empty value removes a claim.
func claims(changes ...string) map[string]idtoken.Claim {
	all := map[string]idtoken.Claim{}
	for _, claim := range append([]string{
		"aud=sts.amazonaws.com", "sub=app:0a1b:workflow:deploy", "app_slug=0a1b", "workflow=deploy", "branch=main", "build_number=7",
		"build_slug=11111111-2222-3333-4444-555555555555", "commit_hash=0123456789abcdef0123456789abcdef01234567",
	}, changes...) {
		name, value, _ := strings.Cut(claim, "=")
		if all[name] = (idtoken.Claim{Value: value}); value == "" {
			delete(all, name)
		}
	}
	return all
}

// conditions returns the conditions of a policy as OPERATOR NAME=VALUE, sorted.
func conditions(t *testing.T, policy string) []string {
	t.Helper()
	var document struct {
		Statement []struct {
			Condition map[string]map[string]string
		}
	}
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		t.Fatal(err)
	}
	var all []string
	for operator, keys := range document.Statement[0].Condition {
		for key, value := range keys {
			all = append(all, operator+" "+strings.TrimPrefix(key, "token.builds.bitrise.io:")+"="+value)
		}
	}
	slices.Sort(all)
	return all
}

func TestSuggestedPolicy(t *testing.T) {
	const (
		aud          = "StringEquals aud=sts.amazonaws.com"
		app          = "StringEquals app_slug=0a1b"
		workflow     = "StringEquals workflow=deploy"
		ifApp        = "StringEqualsIfExists app_slug=0a1b"
		ifWorkflow   = "StringEqualsIfExists workflow=deploy"
		onlyApp      = "builds of this app only"
		onlyWorkflow = "builds of this app and workflow only"
		onlySub      = "builds of this app with this sub only"
	)
	byDefault := []string{aud, app, workflow}
	bySub := func(sub string) []string { return []string{aud, "StringEquals sub=" + sub, ifApp, ifWorkflow} }
	for name, row := range map[string]struct {
		subject awsauth.Subject
		changes []string
		want    []string
		letsIn  string // "" if there must be no policy
		mayLike bool   // a condition StringLike is suggested, too
	}{
		"unknown":                  {awsauth.SubjectUnknown, nil, byDefault, onlyWorkflow, false},
		"chosen":                   {awsauth.SubjectChosen, nil, byDefault, onlyWorkflow, false},
		"chosen, no workflow":      {awsauth.SubjectChosen, []string{"workflow="}, []string{aud, app}, onlyApp, false},
		"chosen, no sub":           {awsauth.SubjectChosen, []string{"sub="}, byDefault, onlyWorkflow, false},
		"sub names app, workflow":  {awsauth.SubjectFixed, nil, bySub("app:0a1b:workflow:deploy"), onlySub, false},
		"sub names the app":        {awsauth.SubjectFixed, []string{"sub=app:0a1b"}, bySub("app:0a1b"), onlySub, false},
		"sub is the app":           {awsauth.SubjectFixed, []string{"sub=0a1b"}, bySub("0a1b"), onlySub, false},
		"unknown form":             {awsauth.SubjectFixed, []string{"sub=project:0a1b/main"}, bySub("project:0a1b/main"), onlySub, false},
		"number within the slug":   {awsauth.SubjectFixed, []string{"sub=app:0a1b", "build_number=1"}, bySub("app:0a1b"), onlySub, false},
		"wildcards":                {awsauth.SubjectFixed, []string{"sub=0a1b:d*?"}, bySub("0a1b:d*?"), onlySub, false},
		"no sub":                   {awsauth.SubjectFixed, []string{"sub="}, byDefault, onlyWorkflow, false},
		"build only":               {awsauth.SubjectFixed, []string{"sub=build:7"}, byDefault, onlyWorkflow, false},
		"start of a longer slug":   {awsauth.SubjectFixed, []string{"sub=app:0a1b-c"}, byDefault, onlyWorkflow, false},
		"end of a longer slug":     {awsauth.SubjectFixed, []string{"sub=app:c0a1b"}, byDefault, onlyWorkflow, false},
		"build slug":               {awsauth.SubjectFixed, []string{"sub=0a1b/11111111-2222-3333-4444-555555555555"}, byDefault, onlyWorkflow, true},
		"build number":             {awsauth.SubjectFixed, []string{"sub=project:0a1b:build:7"}, byDefault, onlyWorkflow, true},
		"build number in a word":   {awsauth.SubjectFixed, []string{"sub=app:0a1b:build-7"}, byDefault, onlyWorkflow, true},
		"commit":                   {awsauth.SubjectFixed, []string{"sub=0a1b@0123456789abcdef0123456789abcdef01234567"}, byDefault, onlyWorkflow, true},
		"variable":                 {awsauth.SubjectFixed, []string{"sub=app:0a1b:v4711"}, byDefault, onlyWorkflow, true},
		"variable before the app":  {awsauth.SubjectFixed, []string{"sub=v4711:0a1b"}, byDefault, onlyWorkflow, false},
		"claim about a build":      {awsauth.SubjectFixed, []string{"sub=app:0a1b:manual", "build_trigger=manual"}, bySub("app:0a1b:manual"), onlySub, false},
		"build before the app":     {awsauth.SubjectFixed, []string{"sub=build:7:app:0a1b"}, byDefault, onlyWorkflow, false},
		"branch before the app":    {awsauth.SubjectFixed, []string{"sub=main/0a1b/7"}, byDefault, onlyWorkflow, false},
		"slug is a build number":   {awsauth.SubjectFixed, []string{"app_slug=7", "sub=build:7"}, []string{aud, "StringEquals app_slug=7", workflow}, onlyWorkflow, true},
		"no app, fixed":            {awsauth.SubjectFixed, []string{"app_slug=", "sub=x"}, []string{aud, "StringEquals sub=x"}, "this subject only", false},
		"no app, unknown":          {awsauth.SubjectUnknown, []string{"app_slug="}, nil, "", false},
		"no app, chosen":           {awsauth.SubjectChosen, []string{"app_slug="}, nil, "", false},
		"no app, no sub":           {awsauth.SubjectFixed, []string{"app_slug=", "sub="}, nil, "", false},
		"no audience":              {awsauth.SubjectFixed, []string{"aud="}, nil, "", false},
		"workflow with a variable": {awsauth.SubjectFixed, []string{"workflow=${token.builds.bitrise.io:workflow}"}, nil, "", false},
		"sub with a variable":      {awsauth.SubjectFixed, []string{"sub=app:0a1b:${aws:username}"}, nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			x := denied(t, deployRole, bitrise, row.subject, claims(row.changes...))
			advice := strings.Join(x.Do, " ")
			if x.PolicyLetsIn != row.letsIn || strings.Contains(advice, "policy below, which lets in "+row.letsIn) != (row.letsIn != "") {
				t.Errorf("got a policy that lets in %q, want %q; the advice: %s", x.PolicyLetsIn, row.letsIn, advice)
			}
			var got []string
			if x.Policy != "" {
				got = conditions(t, x.Policy)
			}
			if !slices.Equal(got, slices.Sorted(slices.Values(row.want))) {
				t.Errorf("got conditions\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(row.want, "\n"))
			}
			for part, want := range map[string]bool{
				"StringLike":              row.mayLike,
				"does not list app_slug":  row.letsIn == onlyApp || row.letsIn == onlyWorkflow,
				"lets callers choose it":  row.subject == awsauth.SubjectChosen,
				"It is not known whether": row.subject == awsauth.SubjectUnknown,
				"Never rely on sub":       row.subject != awsauth.SubjectFixed,
				"no trust policy can":     strings.HasPrefix(name, "no app, ") && row.subject != awsauth.SubjectFixed,
				"a condition on the app":  row.letsIn == onlyApp || row.letsIn == onlyWorkflow,
			} {
				if strings.Contains(advice, part) != want {
					t.Errorf("the advice has %q: %v, want %v: %s", part, !want, want, advice)
				}
			}
		})
	}
}

// A token of another issuer has no app_slug. Only of Bitrise is it unknown whether callers can choose sub. The slash at the end of an
// issuer is a part of its name in IAM.
func TestSuggestedPolicyForOtherIssuers(t *testing.T) {
	x := denied(t, deployRole, "https://acme.eu.auth0.com/", awsauth.SubjectUnknown, claims("app_slug=", "sub=client@clients"))
	for _, want := range []string{
		`"Federated": "arn:aws:iam::123456789012:oidc-provider/acme.eu.auth0.com/"`,
		`"acme.eu.auth0.com/:aud": "sts.amazonaws.com"`, `"acme.eu.auth0.com/:sub": "client@clients"`,
	} {
		if !strings.Contains(x.Policy, want) {
			t.Errorf("the policy does not have %s: %s", want, x.Policy)
		}
	}
	if text := strings.Join(x.Do, " "); strings.Contains(text, "Bitrise") || x.PolicyLetsIn != "this subject only" {
		t.Errorf("got a policy that lets in %q, and the advice %s", x.PolicyLetsIn, text)
	}
}

// GitHub and GitLab let users choose which claims are in sub. Without the repository, other repositories can have the same sub.
func TestNoPolicyWithoutTheRepository(t *testing.T) {
	for sub, want := range map[string]bool{
		"repo:acme/app:ref:refs/heads/main": true, "repository_id:4711": true, "ref:refs/heads/main": false, "repository_id:47110": false,
	} {
		token := claims("app_slug=", "sub="+sub, "repository=acme/app", "repository_id=4711")
		x := denied(t, deployRole, "https://token.actions.githubusercontent.com", awsauth.SubjectUnknown, token)
		if got := x.Policy != ""; got != want {
			t.Errorf("%s: got a policy: %v, want %v", sub, got, want)
		}
	}
}

// A policy contains only claims whose value is exactly that in the token.
func TestNoPolicyForIncompleteClaims(t *testing.T) {
	for name, value := range map[string]string{
		"app_slug": "0a1b…", "sub": "app:0a1b:…", "workflow": "x…", "aud": "a…",
	} {
		t.Run(name, func(t *testing.T) {
			all := claims()
			all[name] = idtoken.Claim{Value: value, IsAltered: true}
			if x := denied(t, deployRole, bitrise, awsauth.SubjectFixed, all); x.Policy != "" {
				t.Errorf("got a policy, want none: %s", x.Policy)
			}
		})
	}
}

// Services without accounts have no provider ARN.
func TestNoConditionKeysWithoutClaims(t *testing.T) {
	if got := awsauth.ConditionKeys(idtoken.Token{}); len(got) > 0 {
		t.Errorf("got %q", got)
	}
}

func TestNoPolicyForOtherProviders(t *testing.T) {
	for name, row := range map[string]struct{ role, issuer string }{
		"role without an account": {"arn:minio:iam:::role/deploy", bitrise},
		"no issuer":               {deployRole, ""},
		"issuer without a host":   {deployRole, "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			if x := denied(t, row.role, row.issuer, awsauth.SubjectFixed, claims()); x.Policy != "" {
				t.Errorf("got a policy, want none: %s", x.Policy)
			}
		})
	}
}

func TestDocumentedConditionKeysComeFirst(t *testing.T) {
	token := idtoken.Token{Issuer: "https://token.builds.bitrise.io/", Claims: map[string]idtoken.Claim{
		"aud": {Value: "sts.amazonaws.com"}, "app_slug": {Value: "0a1b"}, "email": {Value: "x@example.com"}, "work\nflow": {},
	}}
	want := []string{
		"* token.builds.bitrise.io/:aud        sts.amazonaws.com",
		"* token.builds.bitrise.io/:email      x@example.com",
		"  token.builds.bitrise.io/:app_slug   0a1b",
		"  token.builds.bitrise.io/:work flow",
		"* AWS documents that IAM evaluates this key; it may not evaluate the others.",
	}
	if got := awsauth.ConditionKeys(token); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A trust policy is suggested only if it can help: neither against a statement that denies the call, nor for another action.
func TestNoPolicyAgainstOtherDenials(t *testing.T) {
	const perform = "User: x is not authorized to perform: "
	for message, want := range map[string]struct{ cause, advice string }{
		"Not authorized to perform sts:AssumeRoleWithWebIdentity with an explicit deny in a resource control policy": {
			"a resource control policy denies sts:AssumeRoleWithWebIdentity", "Ask an administrator of the AWS organization to change the statement",
		},
		perform + "sts:AssumeRoleWithWebIdentity with an explicit deny in the role trust policy": {
			"a role trust policy denies sts:AssumeRoleWithWebIdentity", "in the role's trust policy",
		},
		perform + "sts:AssumeRoleWithWebIdentity because no VPC endpoint policy allows the sts:AssumeRoleWithWebIdentity action": {
			"no VPC endpoint policy allows sts:AssumeRoleWithWebIdentity", "Ask an administrator of this machine's network",
		},
		perform + "sts:TagSession on resource: " + deployRole: {
			"sts:TagSession is not allowed", "Allow sts:TagSession on " + deployRole + " in the trust policy of role deploy.",
		},
		perform + "sts:TagSession because no resource-based policy allows the sts:TagSession action": {
			"no resource-based policy allows sts:TagSession", "in the role's trust policy",
		},
	} {
		t.Run(message, func(t *testing.T) {
			client, _ := stsServer(t, responding(403, awsError("AccessDenied", message)))
			w := webIdentity(t)
			w.Token.Issuer, w.Token.Claims = bitrise, claims()
			_, err := obtain(t, w, client, 100)
			x := explain.Of(w.Explain(err, awsauth.SubjectUnknown, nil))
			if awsauth.IsDenied(err) || x.Policy != "" || len(x.ConditionKeys) == 0 || x.Cause != want.cause || len(x.Do) != 1 ||
				!strings.Contains(x.Do[0], want.advice) {
				t.Errorf("got %v, %+v", err, x)
			}
		})
	}
}

func TestDeniedInOtherPartitions(t *testing.T) {
	x := denied(t, "arn:aws-cn:iam::123456789012:role/ci/deploy", bitrise, awsauth.SubjectUnknown, claims("aud=sts.amazonaws.com.cn"))
	if !strings.Contains(x.Policy, "arn:aws-cn:iam::123456789012:oidc-provider/token.builds.bitrise.io") {
		t.Errorf("got policy %s", x.Policy)
	}
}

// The advice mentions an account only if the role has one.
func TestDeniedAdviceFitsTheRole(t *testing.T) {
	for name, row := range map[string]struct{ role, want, not string }{
		"an account": {deployRole, "account 123456789012 has a role", "the service has"},
		"no account": {"arn:minio:iam:::role/deploy", "the service has a role", "account"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Join(denied(t, row.role, bitrise, awsauth.SubjectUnknown, claims()).Do, " ")
			if !strings.Contains(text, row.want) || strings.Contains(text, row.not) {
				t.Errorf("got %s", text)
			}
		})
	}
}
