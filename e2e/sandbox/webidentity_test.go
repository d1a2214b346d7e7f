package sandbox_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

func TestWebIdentity(t *testing.T) {
	cloud := start(t, sandbox.Options{})
	response, err := exchange(t, cloud, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := sts.NewFromConfig(as(cloud, response.Credentials)).GetCallerIdentity(t.Context(), nil)
	const want = "arn:aws:sts::123456789012:assumed-role/bitrise-deploy/session"
	if err != nil || *caller.Arn != want || *caller.Arn != *response.AssumedRoleUser.Arn {
		t.Errorf("%v, %v", caller, err)
	}
}

// Only the claims that AWS documents are condition keys by default, whatever else the token contains.
func TestConditionKeys(t *testing.T) {
	const issuer = "ISSUER"
	conditions := map[string]string{
		"aud":                     `{"StringEquals":{"ISSUER:aud":"sts.amazonaws.com"}}`,
		"sub":                     `{"StringEquals":{"ISSUER:sub":"app:0123456789abcdef:workflow:deploy"}}`,
		"email":                   `{"StringEquals":{"ISSUER:email":"ci@example.com"}}`,
		"amr":                     `{"ForAnyValue:StringEquals":{"ISSUER:amr":"pin"}}`,
		"oaud":                    `{"StringEquals":{"ISSUER:oaud":"other"}}`,
		"app_slug":                `{"StringEquals":{"ISSUER:app_slug":"0123456789abcdef"}}`,
		"workflow":                `{"StringLike":{"ISSUER:workflow":"*"}}`,
		"app_slug, if it exists":  `{"StringEqualsIfExists":{"ISSUER:app_slug":"0123456789abcdef"}}`,
		"another app's, likewise": `{"StringEqualsIfExists":{"ISSUER:app_slug":"fedcba9876543210"}}`,
	}
	type decisions map[string]bool
	for name, world := range map[string]struct {
		everyClaim bool
		allows     decisions
	}{
		"as AWS documents": {false, decisions{
			"aud": true, "sub": true, "email": true, "amr": true, "oaud": true, "app_slug, if it exists": true, "another app's, likewise": true,
		}},
		"every claim": {true, decisions{
			"aud": true, "sub": true, "email": true, "amr": true, "oaud": true, "app_slug": true, "workflow": true, "app_slug, if it exists": true,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			config := sandbox.DefaultConfig()
			config.EveryClaim = world.everyClaim
			config.Build["email"], config.Build["amr"], config.Build["oaud"] = "ci@example.com", []string{"pin", "mfa"}, "other"
			cloud := start(t, sandbox.Options{Config: config})
			for key, condition := range conditions {
				t.Run(key, func(t *testing.T) {
					document := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity",
						"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/ISSUER"},"Condition":` + condition + `}}`
					err := cloud.SetConfig(func(c *sandbox.Config) {
						c.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(strings.ReplaceAll(document, issuer, sandbox.IssuerHost))
					})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := exchange(t, cloud, nil, nil); (err == nil) != world.allows[key] {
						t.Errorf("got %v, want allowed: %v", err, world.allows[key])
					}
				})
			}
		})
	}
}

func TestWebIdentityErrors(t *testing.T) {
	type webIdentity = sts.AssumeRoleWithWebIdentityInput
	cloud := start(t, sandbox.Options{})
	past, future := time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Hour).Unix()
	for name, row := range map[string]struct {
		claims     map[string]any
		change     func(*webIdentity)
		code, text string
	}{
		"other app": {
			claims: map[string]any{"app_slug": "other"},
			code:   "AccessDenied", text: "Not authorized to perform sts:AssumeRoleWithWebIdentity",
		},
		"no such role": {
			change: func(in *webIdentity) { in.RoleArn = aws.String(deployRole + "x") },
			code:   "AccessDenied", text: "Not authorized",
		},
		"no such account": {change: func(in *webIdentity) {
			in.RoleArn = aws.String("arn:aws:iam::999999999999:role/x")
		}, code: "AccessDenied", text: "Not authorized"},
		"no provider": {
			change: func(in *webIdentity) { in.RoleArn = aws.String(targetRole) },
			code:   "InvalidIdentityToken", text: "No OpenIDConnect provider found in your account for " + cloud.Issuer(),
		},
		"other issuer": {
			claims: map[string]any{"iss": "https://evil.example"},
			code:   "InvalidIdentityToken", text: "No OpenIDConnect provider found",
		},
		"audience":      {claims: map[string]any{"aud": "other"}, code: "InvalidIdentityToken", text: "Incorrect token audience"},
		"claim missing": {claims: map[string]any{"sub": nil}, code: "InvalidIdentityToken", text: "Missing a required claim: sub"},
		"expired": {
			claims: map[string]any{"exp": past},
			code:   "ExpiredTokenException", text: "must be before the expiration date/time",
		},
		"not yet": {claims: map[string]any{"nbf": future}, code: "InvalidIdentityToken", text: "not valid yet"},
		"no JWT": {
			change: func(in *webIdentity) { in.WebIdentityToken = aws.String("nonsense") },
			code:   "InvalidIdentityToken", text: "is not a valid JWT",
		},
		"tampered": {change: func(in *webIdentity) {
			parts := strings.Split(*in.WebIdentityToken, ".")
			in.WebIdentityToken = aws.String(parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])))
		}, code: "InvalidIdentityToken", text: "signature"},
		"name too short": {
			change: func(in *webIdentity) { in.RoleSessionName = aws.String("s") },
			code:   "ValidationError", text: "1 validation error detected: Value 's' at 'roleSessionName' failed to satisfy constraint: " +
				"Member must have length greater than or equal to 2",
		},
		"name with a space": {
			change: func(in *webIdentity) { in.RoleSessionName = aws.String("a b") },
			code:   "ValidationError", text: "regular expression",
		},
		"duration too short": {
			change: func(in *webIdentity) { in.DurationSeconds = aws.Int32(899) },
			code:   "ValidationError", text: "greater than or equal to 900",
		},
		"duration too long": {
			change: func(in *webIdentity) { in.DurationSeconds = aws.Int32(43201) },
			code:   "ValidationError", text: "less than or equal to 43200",
		},
		"beyond the role's": {
			change: func(in *webIdentity) { in.DurationSeconds = aws.Int32(3601) },
			code:   "ValidationError", text: "exceeds the MaxSessionDuration set for this role",
		},
		"policy malformed": {change: func(in *webIdentity) { in.Policy = aws.String("{}") }, code: "MalformedPolicyDocument"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := exchange(t, cloud, row.claims, row.change)
			wantError(t, name, err, row.code, row.text)
		})
	}
}
