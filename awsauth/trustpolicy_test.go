package awsauth_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

const deployRole = "arn:aws:iam::123456789012:role/deploy"

const bitrise = "https://token.builds.bitrise.io"

// denied returns the explanation of AccessDenied for a token with these claims.
func denied(t *testing.T, role, issuer string, claims ...idtoken.Claim) explain.Explanation {
	t.Helper()
	client, _ := stsServer(t, answering(403, refused("AccessDenied", "Not authorized")))
	w := webIdentity(t)
	w.Role, w.Token.Issuer, w.Token.Claims = roleARN(t, role), issuer, claims
	_, err := obtain(t, w, client, 100)
	return explain.Of(err)
}

// claims returns the usual claims of a token, changed by NAME=VALUE items. An empty value removes a claim.
func claims(changes ...string) []idtoken.Claim {
	values := map[string]string{
		"aud": "sts.amazonaws.com", "sub": "app:0a1b:workflow:deploy", "app_slug": "0a1b", "workflow": "deploy", "branch": "main",
		"build_number": "7", "build_slug": "11111111-2222-3333-4444-555555555555", "commit_hash": "0123456789abcdef0123456789abcdef01234567",
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		values[name] = value
	}
	var all []idtoken.Claim
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] != "" {
			all = append(all, idtoken.Claim{Name: name, Value: values[name]})
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
		aud           = "StringEquals aud=sts.amazonaws.com"
		ifApp         = "StringEqualsIfExists app_slug=0a1b"
		ifWorkflow    = "StringEqualsIfExists workflow=deploy"
		app           = "StringEquals app_slug=0a1b"
		workflow      = "StringEquals workflow=deploy"
		onlyApp       = "builds of this app only"
		onlyWorkflow  = "builds of this app and workflow only"
		maybeWorkflow = "builds of this app only, and of this workflow only where the service evaluates that claim"
	)
	for name, row := range map[string]struct {
		changes []string
		want    []string
		admits  string // "" if there must be no policy
	}{
		"sub names app and workflow": {
			nil,
			[]string{aud, "StringEquals sub=app:0a1b:workflow:deploy", ifApp, ifWorkflow}, onlyWorkflow,
		},
		"sub names the app": {
			[]string{"sub=app:0a1b"},
			[]string{aud, "StringEquals sub=app:0a1b", ifApp, ifWorkflow}, maybeWorkflow,
		},
		"sub is the app": {
			[]string{"sub=0a1b", "workflow="},
			[]string{aud, "StringEquals sub=0a1b", ifApp}, onlyApp,
		},
		"no workflow": {
			[]string{"workflow="},
			[]string{aud, "StringEquals sub=app:0a1b:workflow:deploy", ifApp}, onlyApp,
		},
		"build slug": {
			[]string{"sub=0a1b/11111111-2222-3333-4444-555555555555"},
			[]string{aud, "StringLike sub=0a1b/*", ifApp, ifWorkflow}, maybeWorkflow,
		},
		"build number": {
			[]string{"sub=app:0a1b:7"},
			[]string{aud, "StringLike sub=app:0a1b:*", ifApp, ifWorkflow}, maybeWorkflow,
		},
		"commit": {
			[]string{"sub=0a1b@0123456789abcdef0123456789abcdef01234567"},
			[]string{aud, "StringLike sub=0a1b@*", ifApp, ifWorkflow}, maybeWorkflow,
		},
		"build before the workflow": {
			[]string{"sub=0a1b/7/deploy"},
			[]string{aud, "StringLike sub=0a1b/*/deploy", ifApp, ifWorkflow}, maybeWorkflow,
		},
		"build after the workflow": {
			[]string{"sub=0a1b/deploy/7"},
			[]string{aud, "StringLike sub=0a1b/deploy/*", ifApp, ifWorkflow}, onlyWorkflow,
		},
		"adjacent wildcards": {
			[]string{"sub=0a1b/7/7/11111111-2222-3333-4444-555555555555"},
			[]string{aud, "StringLike sub=0a1b/*/*/*", ifApp, ifWorkflow}, maybeWorkflow,
		},
		"two claims for the commit": {
			[]string{"sub=0a1b/c0ffee", "commit_hash=c0ffee", "git_commit=c0ffee"},
			[]string{aud, "StringLike sub=0a1b/*", ifApp, ifWorkflow}, maybeWorkflow,
		},
		"two claims for the app": {
			[]string{"app_id=0a1b"},
			[]string{aud, "StringEquals sub=app:0a1b:workflow:deploy", ifApp, ifWorkflow}, onlyWorkflow,
		},
		"number within the slug": {
			[]string{"app_slug=a7", "sub=app:a7:build:7"},
			[]string{aud, "StringLike sub=app:a7:build:*", "StringEqualsIfExists app_slug=a7", ifWorkflow}, maybeWorkflow,
		},
		"number next to a hyphen": {
			[]string{"app_slug=a-7", "sub=a-7/7"},
			[]string{aud, "StringLike sub=a-7/*", "StringEqualsIfExists app_slug=a-7", ifWorkflow}, maybeWorkflow,
		},
		"wildcards in an exact value": {
			[]string{"sub=app:0a1b:workflow:d*", "workflow=d*"},
			[]string{aud, "StringEquals sub=app:0a1b:workflow:d*", ifApp, "StringEqualsIfExists workflow=d*"}, onlyWorkflow,
		},
		"branch named like workflow": {
			[]string{"sub=app:0a1b:branch:main", "workflow=main"},
			[]string{aud, "StringEquals sub=app:0a1b:branch:main", ifApp, "StringEqualsIfExists workflow=main"}, maybeWorkflow,
		},

		// It is not certain that sub contains the app's slug, so the policy is that of Bitrise's guide.
		"build only": {
			[]string{"sub=build:7"},
			[]string{aud, app, workflow}, onlyWorkflow,
		},
		"build only, no workflow": {[]string{"sub=build:7", "workflow="}, []string{aud, app}, onlyApp},
		"no sub":                  {[]string{"sub="}, []string{aud, app, workflow}, onlyWorkflow},
		"end of a longer slug": {
			[]string{"app_slug=ab", "sub=app:cab:build"},
			[]string{aud, "StringEquals app_slug=ab", workflow}, onlyWorkflow,
		},
		"start of a longer slug": {
			[]string{"app_slug=ab", "sub=app:ab-c:build"},
			[]string{aud, "StringEquals app_slug=ab", workflow}, onlyWorkflow,
		},
		"slug in the build's slug": {
			[]string{"app_slug=2222", "sub=app:11111111-2222-3333-4444-555555555555"},
			[]string{aud, "StringEquals app_slug=2222", workflow}, onlyWorkflow,
		},
		"slug is a workflow's name": {
			[]string{"app_slug=deploy", "sub=workflow:deploy"},
			[]string{aud, "StringEquals app_slug=deploy", workflow}, onlyWorkflow,
		},
		"slug is a build number": {
			[]string{"app_slug=7", "sub=app:7:workflow:deploy"},
			[]string{aud, "StringEquals app_slug=7", workflow}, onlyWorkflow,
		},
		"slug is part of a branch": {
			[]string{"app_slug=v1", "sub=branch:release/v1", "branch=release/v1"},
			[]string{aud, "StringEquals app_slug=v1", workflow}, onlyWorkflow,
		},

		// Another issuer's token has no app_slug.
		"subject of another issuer": {[]string{"app_slug=", "sub=repo:x"}, []string{aud, "StringEquals sub=repo:x"}, "this subject only"},

		// No condition would match exactly this claim.
		"audience only":                    {[]string{"sub=", "app_slug="}, nil, ""},
		"no audience":                      {[]string{"aud="}, nil, ""},
		"workflow is a variable":           {[]string{"workflow=${token.builds.bitrise.io:workflow}"}, nil, ""},
		"sub has a variable":               {[]string{"sub=app:0a1b:${aws:username}"}, nil, ""},
		"sub with a wildcard has an *":     {[]string{"sub=app:0a1b:*:7"}, nil, ""},
		"sub with a wildcard has a ?":      {[]string{"sub=app:0a1b:7:what?"}, nil, ""},
		"wildcard before the app":          {[]string{"sub=build:7:app:0a1b"}, nil, ""},
		"wildcard at the start":            {[]string{"sub=7/0a1b"}, nil, ""},
		"free text before the app":         {[]string{"sub=my app:0a1b:7"}, nil, ""},
		"a claim before the app":           {[]string{"sub=main/0a1b/7"}, nil, ""},
		"a claim that looks like a label":  {[]string{"sub=app:0a1b:7", "repository_slug=app"}, nil, ""},
		"build number is a workflow":       {[]string{"sub=app:0a1b:workflow:7", "workflow=7"}, nil, ""},
		"build number is part of a branch": {[]string{"sub=app:0a1b:release/7", "branch=release/7"}, nil, ""},
		"slug with a delimiter":            {[]string{"app_slug=a/b", "sub=a/b/7"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := denied(t, deployRole, bitrise, claims(row.changes...)...)
			if x.PolicyAdmits != row.admits {
				t.Errorf("got a policy that admits %q, want %q", x.PolicyAdmits, row.admits)
			}
			advice := strings.Join(x.Do, " ")
			if strings.Contains(advice, "policy below") != (row.admits != "") {
				t.Errorf("the advice does not match the policy: %s", advice)
			}
			if row.admits == "" {
				if x.Policy != "" {
					t.Errorf("got a policy, want none: %s", x.Policy)
				}
				return
			}
			got := conditions(t, x.Policy)
			slices.Sort(row.want)
			if !slices.Equal(got, row.want) {
				t.Errorf("got conditions\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(row.want, "\n"))
			}
			reliesOnApp := slices.ContainsFunc(got, func(c string) bool { return strings.HasPrefix(c, "StringEquals app_slug=") })
			if strings.Contains(advice, "does not list") != reliesOnApp {
				t.Errorf("the advice must say what AWS documents if, and only if, the policy relies on app_slug: %s", advice)
			}
		})
	}
}

// A policy contains only claims whose value is exactly that in the token.
func TestNoPolicyForIncompleteClaims(t *testing.T) {
	for name, change := range map[string]idtoken.Claim{
		"list of apps":        {Name: "app_slug", Value: "0a1b,0a1c", IsList: true},
		"list of subjects":    {Name: "sub", Value: "app:0a1b", IsList: true},
		"several audiences":   {Name: "aud", Value: "a,b", IsList: true},
		"shortened workflow":  {Name: "workflow", Value: "x…", IsAltered: true},
		"shortened subject":   {Name: "sub", Value: "app:0a1b:…", IsAltered: true},
		"shortened app":       {Name: "app_slug", Value: "0a1b…", IsAltered: true},
		"shortened audiences": {Name: "aud", Value: "a…", IsAltered: true},
	} {
		t.Run(name, func(t *testing.T) {
			all := append(claims(change.Name+"="), change)
			if x := denied(t, deployRole, bitrise, all...); x.Policy != "" {
				t.Errorf("got a policy, want none: %s", x.Policy)
			}
		})
	}
}

// Services without accounts have no provider ARN. Of issuers that end with a slash and of IAM's built-in providers, the form of
// the condition keys is not known here.
func TestNoPolicyForOtherProviders(t *testing.T) {
	for name, row := range map[string]struct{ role, issuer string }{
		"role without an account": {"arn:minio:iam:::role/deploy", bitrise},
		"no issuer":               {deployRole, ""},
		"trailing slash":          {deployRole, "https://idp.example.com/"},
		"built-in provider":       {deployRole, "https://accounts.google.com"},
	} {
		t.Run(name, func(t *testing.T) {
			if x := denied(t, row.role, row.issuer, claims()...); x.Policy != "" {
				t.Errorf("got a policy, want none: %s", x.Policy)
			}
		})
	}
}

func TestDocumentedConditionKeysComeFirst(t *testing.T) {
	token := idtoken.Token{Issuer: "https://token.builds.bitrise.io/", Claims: []idtoken.Claim{
		{Name: "aud", Value: "sts.amazonaws.com"}, {Name: "app_slug", Value: "0a1b"}, {Name: "email", Value: "x@example.com"}, {Name: "workflow"},
	}}
	want := []explain.ConditionKey{
		{Key: "token.builds.bitrise.io:aud", Value: "sts.amazonaws.com", IsDocumented: true},
		{Key: "token.builds.bitrise.io:email", Value: "x@example.com", IsDocumented: true},
		{Key: "token.builds.bitrise.io:app_slug", Value: "0a1b"},
		{Key: "token.builds.bitrise.io:workflow"},
	}
	if got := awsauth.ConditionKeys(token); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDeniedInOtherPartitions(t *testing.T) {
	x := denied(t, "arn:aws-cn:iam::123456789012:role/ci/deploy", bitrise, claims("aud=sts.amazonaws.com.cn")...)
	text := strings.Join(x.Do, " ")
	if !strings.Contains(x.Policy, "arn:aws-cn:iam::123456789012:oidc-provider/token.builds.bitrise.io") ||
		strings.Contains(text, "Likely cause") || !strings.Contains(text, "the path /ci/") {
		t.Errorf("got advice %s\npolicy %s", text, x.Policy)
	}
}

// The advice speaks of claims that differ between builds only if the token has some, and of an account only if the role has one.
func TestDeniedAdviceFitsTheToken(t *testing.T) {
	for name, row := range map[string]struct {
		role, want, not string
		claims          []idtoken.Claim
	}{
		"a branch and a workflow": {deployRole, "the conditions on branch and workflow first", "the service has", claims()},
		"neither":                 {deployRole, "account 123456789012 has a role", "If other builds", claims("branch=", "workflow=")},
		"no account":              {"arn:minio:iam:::role/deploy", "the service has a role", "account", claims()},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Join(denied(t, row.role, bitrise, row.claims...).Do, " ")
			if !strings.Contains(text, row.want) || strings.Contains(text, row.not) {
				t.Errorf("got %s", text)
			}
		})
	}
}
