package awsauth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

// For each of AWS's errors, a row of the tables is found. The claims are shown if they may help.
func TestExplanations(t *testing.T) {
	showsClaims := map[string]bool{
		"AccessDenied": true, "InvalidIdentityToken": true, "ExpiredTokenException": true, "IDPRejectedClaim": true, "IDPCommunicationError": true,
	}
	for code, messages := range map[string][]string{
		"AccessDenied":            {"Not authorized to perform sts:AssumeRoleWithWebIdentity", "with an explicit deny in a resource control policy"},
		"InvalidIdentityToken":    {"No OpenIDConnect provider found in your account", "Incorrect token audience", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint", "Couldn't retrieve verification key", "The ID Token provided is not a valid JWT", "the signature is invalid", "Something new"},
		"ExpiredTokenException":   {"Token expired"},
		"IDPRejectedClaim":        {"The token was revoked"},
		"IDPCommunicationError":   {"timed out"},
		"ValidationError":         {"exceeds the MaxSessionDuration set for this role"},
		"RegionDisabledException": {"STS is not activated in this region"},
		"MalformedPolicyDocument": {"Syntax errors in policy"},
		"PackedPolicyTooLarge":    {"Packed size of session tags consumes 118%"},
		"Throttling":              {"Rate exceeded"},
	} {
		seen := map[string]bool{}
		for _, message := range messages {
			t.Run(code+" "+message, func(t *testing.T) {
				client, _ := stsServer(t, responding(400, awsError(code, message)))
				w := webIdentity(t)
				w.Token.Issuer, w.Token.Claims = "https://token.builds.bitrise.io/", map[string]idtoken.Claim{"aud": {Value: "my-audience"}}
				_, err := obtain(t, w, client, 1)
				x := explain.Of(w.Explain(err, awsauth.SubjectUnknown, nil))
				if (len(x.ConditionKeys) == 2) != showsClaims[code] {
					t.Errorf("got the claims %q, want one claim: %v", x.ConditionKeys, showsClaims[code])
				}
				if x.Said == "" || strings.Contains(x.Cause, "STS returned") || len(x.Do) == 0 || seen[x.Cause] {
					t.Errorf("got %+v", x)
				}
				seen[x.Cause] = true
			})
		}
	}
}

func TestUnknownErrors(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		code   string
		want   string
	}{
		"no code":        {404, "", "The response doesn't look like one from AWS"},
		"a new code":     {400, "SomethingNew", "Look up the error code in AWS's documentation of STS"},
		"a server error": {500, "InternalFailure", "Run the build again later"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := stsServer(t, responding(row.status, awsError(row.code, "no")))
			_, err := obtain(t, awsauth.AccessKey{}, client, 1)
			var returned *awserr.Error
			if x := explain.Of(err); !errors.As(err, &returned) || x.Said != "" || len(x.Do) != 1 || !strings.Contains(x.Do[0], row.want) {
				t.Errorf("got %v, %+v", err, x)
			}
		})
	}
}
