package e2e

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// failure is a failure that the Step explains. Its cause is a wrong setup, or an injected fault if no setup leads there.
type failure struct {
	name string
	// title is the heading on the troubleshooting page, if the name does not fit every failure with this cause.
	title  string
	inputs map[string]string
	// world changes the sandbox's default configuration.
	world func(*sandbox.Config)
	// keys uses the access key of the user ci. token changes an identity token that is passed in identity_token.
	keys  bool
	token func(string) string
	// clock is the sandbox's clock. nil means this machine's.
	clock func() time.Time
	// byName makes the Step call STS by its own name, because the Region of an unsigned call is only in the name.
	byName bool
	// script is a script of faults.
	script string
	// policy reports whether a trust policy is suggested.
	policy bool
	// offPage reports whether the troubleshooting page leaves the explanation out: it combines others, or depends on the build's token.
	offPage bool
}

func trust(condition string) json.RawMessage {
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity",
		"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/ISSUER"},"Condition":` + condition + `}}`
	return json.RawMessage(strings.ReplaceAll(policy, "ISSUER", sandbox.IssuerHost))
}

func setTrust(condition string) func(*sandbox.Config) {
	return func(c *sandbox.Config) { c.Accounts[0].Roles[0].TrustPolicy = trust(condition) }
}

// seeEveryClaim is for conditions that fail although IAM sees their claims.
func seeEveryClaim(world func(*sandbox.Config)) func(*sandbox.Config) {
	return func(c *sandbox.Config) {
		c.EveryClaim = true
		world(c)
	}
}

func failures() []failure {
	late := new(atomic.Int64)
	awsClock := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	deny := func(c *sandbox.Config) {
		c.Accounts[0].Roles[0].Policies, c.Accounts[0].Users[0].Policies = nil, nil
	}
	return []failure{
		{name: "trust policy for another app", title: "role does not trust the build", policy: true, world: func(c *sandbox.Config) {
			c.Accounts[0].Roles[0].TrustPolicy = trust(
				`{"StringEquals":{"ISSUER:aud":"sts.amazonaws.com"},"StringLike":{"ISSUER:sub":"app:fedcba9876543210:*"}}`)
			c.RequestedSubject = sandbox.ReplaceSubject
		}},
		{name: "condition key that AWS does not document", policy: true, world: setTrust(
			`{"StringEquals":{"ISSUER:aud":"sts.amazonaws.com","ISSUER:app_slug":"` + sandbox.DefaultAppSlug + `"}}`)},
		{name: "subject that names the build", policy: true, offPage: true, world: func(c *sandbox.Config) {
			c.Subject = "{app_slug}/{build_number}"
		}},
		{name: "subject that does not name the app", policy: true, world: func(c *sandbox.Config) {
			c.Subject = "build:{build_number}"
		}},
		{name: "trust policy for another branch", policy: true, world: seeEveryClaim(setTrust(`{"StringEquals":{"ISSUER:branch":"release"}}`))},
		{name: "trust policy with a missing claim", policy: true, world: seeEveryClaim(setTrust(
			`{"StringEquals":{"ISSUER:environment":"production"}}`))},
		{name: "trust policy for another provider", world: func(c *sandbox.Config) {
			c.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
				"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
				"Action":"sts:AssumeRoleWithWebIdentity"}}`)
			c.RequestedSubject = sandbox.UseSubject
		}, policy: true},
		{name: "another audience", inputs: map[string]string{"audience": "my-audience"}, world: func(c *sandbox.Config) {
			c.Accounts[0].Providers[0].ClientIDs = []string{"sts.amazonaws.com", "my-audience"}
		}, policy: true},
		{name: "no such role", inputs: map[string]string{"role_arn": "arn:aws:iam::123456789012:role/Bitrise-Deploy"}},
		{name: "role with another path", inputs: map[string]string{"role_arn": "arn:aws:iam::123456789012:role/ci/bitrise-deploy"}},
		{name: "no provider in the account", inputs: map[string]string{"role_arn": "arn:aws:iam::210987654321:role/deploy-target"}},
		{name: "audience unknown to the provider", inputs: map[string]string{"audience": "my-audience"}},
		{name: "signature that does not match", token: func(token string) string {
			parts := strings.Split(token, ".")
			return parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
		}},
		{name: "provider's keys cannot be fetched", inputs: map[string]string{"timeout": "10"},
			world: func(c *sandbox.Config) { c.UnreachableIssuer = true }},
		{name: "token that is not an identity token", token: func(token string) string {
			// Signed with a shared secret, as access tokens often are. AWS only accepts signatures with public keys.
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + token[strings.Index(token, "."):]
		}},
		{name: "token expired before it was exchanged", clock: awsClock, token: func(token string) string {
			late.Store(int64(time.Hour)) // once the token is issued, AWS's clock is ahead of this machine's
			return token
		}},
		{name: "claim rejected by the provider",
			script: assume + ` * error IDPRejectedClaim "The identity provider (IdP) reported that authentication failed"`},
		{name: "provider does not respond", inputs: map[string]string{"timeout": "10"},
			script: assume + ` * error IDPCommunicationError "Connection to the identity provider timed out"`},
		{name: "session policy malformed", inputs: map[string]string{
			"inline_session_policy": `{"Version":"2012-10-17","Statement":"everything"}`,
		}},
		{name: "session policy too large", inputs: map[string]string{
			"inline_session_policy":    `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`,
			"managed_session_policies": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"},
			world: func(c *sandbox.Config) { c.PackedPolicyCharacters = 100 }},
		{name: "session longer than the role allows", inputs: map[string]string{"session_duration": "7200"}},
		{name: "STS not active in the Region", byName: true, world: func(c *sandbox.Config) { c.DisabledRegions = []string{"us-east-1"} }},
		{name: "role of the chain denied", inputs: map[string]string{"role_chain": targetRole}, world: func(c *sandbox.Config) {
			c.Accounts[1].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
				"Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"agreed"}}}}`)
		}},
		{name: "throttled until the timeout", inputs: map[string]string{"timeout": "10"}, script: assume + ` * error Throttling "Rate exceeded"`},
		{name: "unknown access key", inputs: map[string]string{
			"role_arn": "", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "an-unknown-secret",
		}},
		{name: "secret of another access key", keys: true, inputs: map[string]string{"secret_access_key": "an-unknown-secret"}},
		{name: "role cannot log in to ECR", inputs: map[string]string{"docker_login": "true"}, world: deny},
		{name: "user cannot log in to ECR", keys: true, inputs: map[string]string{"docker_login": "true"}, world: deny},
		{name: "role cannot log in to ECR Public", inputs: map[string]string{"docker_login": "true", "ecr_registries": "public.ecr.aws"},
			world: func(c *sandbox.Config) {
				c.Accounts[0].Roles[0].Policies = []json.RawMessage{json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
					"Action":["ecr:GetAuthorizationToken","ecr-public:GetAuthorizationToken"],"Resource":"*"}}`)}
			}},
		{name: "role cannot log in to any registry", world: deny, inputs: map[string]string{
			"docker_login": "true", "ecr_registries": "210987654321, 123456789012.dkr.ecr.eu-west-1.amazonaws.com, public.ecr.aws",
		}, offPage: true},
		{name: "build API token rejected", inputs: map[string]string{"build_api_token": "token-of-another-build"}},
		{name: "no token endpoint at that address", inputs: map[string]string{"build_url": "OTHER"}},
		{name: "token endpoint rejects the audience",
			script: idToken + " * status 400"},
	}
}

func (f failure) given(t *testing.T, cloud *sandbox.Sandbox) map[string]string {
	t.Helper()
	given := map[string]string{"role_arn": role}
	if f.keys {
		key := cloud.User("ci")
		given = map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret}
	}
	if f.token != nil {
		token, err := cloud.MintToken("sts.amazonaws.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		given["identity_token"] = f.token(token)
	}
	for key, value := range f.inputs {
		if value == "OTHER" {
			value = cloud.BitriseURL() + "/build/another"
		}
		given[key] = value
	}
	return given
}
