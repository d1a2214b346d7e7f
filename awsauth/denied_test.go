package awsauth_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

func denied(t *testing.T, role string, claims ...awsauth.Claim) explain.Explanation {
	t.Helper()
	arn, err := awsauth.ParseRoleARN(role)
	if err != nil {
		t.Fatal(err)
	}
	x, found := (&awsauth.RoleError{
		Role: arn, Token: awsauth.IdentityToken{Issuer: "https://token.builds.bitrise.io", Claims: claims},
		Err: &awserr.Refusal{Service: "STS", Code: "AccessDenied", Message: "Not authorized"},
	}).Explain()
	if !found {
		t.Fatal("a refusal is not explained")
	}
	return x
}

// A suggested policy is never wider than the build: where the claims do not tell builds apart, or cannot be written into a
// condition as they are, there is none.
func TestNoPolicyIsBetterThanAWideOne(t *testing.T) {
	const arn = "arn:aws:iam::123456789012:role/deploy"
	aud, app := awsauth.Claim{Name: "aud", Text: "sts.amazonaws.com"}, awsauth.Claim{Name: "app_slug", Text: "slug"}
	for name, row := range map[string]struct {
		role   string
		claims []awsauth.Claim
		admits string // empty: there is no policy
	}{
		"app and workflow":       {arn, []awsauth.Claim{aud, app, {Name: "workflow", Text: "deploy"}}, "builds of this app and workflow only"},
		"app alone":              {arn, []awsauth.Claim{aud, app}, "builds of this app only"},
		"subject of another":     {arn, []awsauth.Claim{aud, {Name: "sub", Text: "repo:x"}}, "this subject only"},
		"audience alone":         {arn, []awsauth.Claim{aud}, ""},
		"no audience":            {arn, []awsauth.Claim{app}, ""},
		"app a list":             {arn, []awsauth.Claim{aud, {Name: "app_slug", Text: "a,b", List: true}}, ""},
		"workflow cut":           {arn, []awsauth.Claim{aud, app, {Name: "workflow", Text: "x…", Altered: true}}, ""},
		"workflow is a variable": {arn, []awsauth.Claim{aud, app, {Name: "workflow", Text: "${token.builds.bitrise.io:workflow}"}}, ""},
		"no account":             {"arn:minio:iam:::role/deploy", []awsauth.Claim{aud, app}, ""},
	} {
		x := denied(t, row.role, row.claims...)
		if x.PolicyAdmits != row.admits || (x.Policy == "") != (row.admits == "") || x.Policy != "" && !json.Valid([]byte(x.Policy)) {
			t.Errorf("%s: admits %q, policy %s", name, x.PolicyAdmits, x.Policy)
		}
		if row.admits == "" && strings.Contains(strings.Join(x.Do, " "), "policy below") {
			t.Errorf("%s: a policy is spoken of that is not there", name)
		}
	}
}

func TestDeniedInOtherPartitions(t *testing.T) {
	x := denied(t, "arn:aws-cn:iam::123456789012:role/ci/deploy", awsauth.Claim{Name: "aud", Text: "sts.amazonaws.com.cn"}, awsauth.Claim{Name: "app_slug", Text: "slug"})
	text := strings.Join(x.Do, " ")
	if !strings.Contains(x.Policy, "arn:aws-cn:iam::123456789012:oidc-provider/token.builds.bitrise.io") || strings.Contains(text, "Likely: the audience") || !strings.Contains(text, "the path /ci/") {
		t.Errorf("%s\n%s", text, x.Policy)
	}
}

func TestOnlyRefusalsAreExplained(t *testing.T) {
	for _, err := range []explain.Explainer{&awsauth.RoleError{Err: errors.New("no answer")}, &awsauth.KeyError{Err: errors.New("no answer")}, &awsauth.RoleError{Err: &awserr.Refusal{Code: "Unheard"}}, &awsauth.KeyError{Err: &awserr.Refusal{Code: "Unheard"}}} {
		if x, found := err.Explain(); found {
			t.Errorf("%v is explained as %+v", err, x)
		}
	}
}
