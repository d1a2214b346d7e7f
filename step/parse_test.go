package step_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/step"
)

const roleARN = "arn:aws:iam::123456789012:role/bitrise-deploy"

func now() time.Time { return time.Unix(1700000000, 0) }

func token(payload string) secret.Text {
	part := base64.RawURLEncoding.EncodeToString
	return secret.New(part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(payload)) + "." + part([]byte("canary-signature")))
}

// webIdentity returns valid inputs with a role.
func webIdentity() step.Inputs {
	return step.Inputs{
		Region: "eu-west-1", RoleARN: roleARN, Audience: "sts.amazonaws.com", SessionName: "bitrise-1", DockerLogin: "false",
		BuildURL: "https://app.bitrise.io/build/1", BuildAPIToken: secret.New("canary-api-token"), Timeout: "180", Verbose: "false",
	}
}

// accessKey returns valid inputs with an access key.
func accessKey() step.Inputs {
	in := webIdentity()
	in.RoleARN, in.AccessKeyID, in.SecretAccessKey = "", secret.New("AKIACANARY"), secret.New("canary-secret-key")
	return in
}

func TestParseInputs(t *testing.T) {
	config, err := step.ParseInputs(webIdentity(), now())
	if err != nil {
		t.Fatal(err)
	}
	if config.AccessKey != nil || config.WebIdentity.Role.String() != roleARN || config.Audience != "sts.amazonaws.com" ||
		config.WebIdentity.SessionName.String() != "bitrise-1" || config.BuildAPIToken.Reveal() != "canary-api-token" ||
		config.Region.String() != "eu-west-1" || config.Timeout != 3*time.Minute || config.DockerLogin || config.Verbose || !config.WebIdentity.Token.Text.IsEmpty() {
		t.Errorf("got %+v", config)
	}
	if config, err = step.ParseInputs(accessKey(), now()); err != nil || config.WebIdentity != nil || config.AccessKey.SecretAccessKey.Reveal() != "canary-secret-key" {
		t.Errorf("got %+v, %v", config, err)
	}
	if got := fmt.Sprintf("%v %+v %#v", config, config, *config.AccessKey); strings.Contains(got, "canary") {
		t.Errorf("the Config prints its secrets: %s", got)
	}
}

func TestDefaults(t *testing.T) {
	config, err := step.ParseInputs(step.Inputs{Region: "eu-west-1", RoleARN: roleARN, BuildURL: "https://app.bitrise.io/build/1", BuildAPIToken: secret.New("token")}, now())
	if err != nil {
		t.Fatal(err)
	}
	if config.Audience != "sts.amazonaws.com" || config.Timeout != 180*time.Second || config.WebIdentity.SessionName.String() != "bitrise-local" || config.IsLogout {
		t.Errorf("got %+v", config)
	}
}

func TestExistingToken(t *testing.T) {
	in := webIdentity()
	in.BuildURL, in.BuildAPIToken, in.IdentityToken = "", secret.Text{}, token(`{"exp":1700000001}`)
	config, err := step.ParseInputs(in, now())
	if err != nil || config.WebIdentity.Token.Text.IsEmpty() {
		t.Errorf("got %+v, %v", config, err)
	}
}

// Every limit of the inputs, with the last valid and the first invalid value.
func TestInputLimits(t *testing.T) {
	const chained = "from 900 to 3600 (AWS limits roles that are assumed with temporary credentials to one hour)"
	for _, row := range []struct {
		name   string
		change func(*step.Inputs)
		input  string // the input with the problem; "" if there is none
		text   string
	}{
		{"region empty", func(in *step.Inputs) { in.Region = "" }, "region", "must be an AWS Region"},
		{"region not a code", func(in *step.Inputs) { in.Region = "us-east-1.evil.example" }, "region", "must be an AWS Region"},
		{"role that is not an ARN", func(in *step.Inputs) { in.RoleARN = "deploy" }, "role_arn", "must be the ARN of an IAM role"},
		{"role a provider", func(in *step.Inputs) { in.RoleARN = "arn:aws:iam::123456789012:oidc-provider/x" }, "role_arn", "got the ARN of the OIDC provider"},
		{"session name 64", func(in *step.Inputs) { in.SessionName = strings.Repeat("s", 64) }, "", ""},
		{"session name 65", func(in *step.Inputs) { in.SessionName = strings.Repeat("s", 65) }, "session_name", "must have 2 to 64 characters, got 65"},
		{"session name 1", func(in *step.Inputs) { in.SessionName = "s" }, "session_name", "got 1"},
		{"timeout 9", func(in *step.Inputs) { in.Timeout = "9" }, "timeout", `from 10 to 3600, got "9"`},
		{"timeout 10", func(in *step.Inputs) { in.Timeout = "10" }, "", ""},
		{"timeout 3600", func(in *step.Inputs) { in.Timeout = "3600" }, "", ""},
		{"timeout 3601", func(in *step.Inputs) { in.Timeout = "3601" }, "timeout", "from 10 to 3600"},
		{"timeout with a unit", func(in *step.Inputs) { in.Timeout = "3m" }, "timeout", `got "3m"`},
		{"docker_login yes", func(in *step.Inputs) { in.DockerLogin = "yes" }, "docker_login", `must be true or false, got "yes"`},
		{"registries of all kinds", func(in *step.Inputs) {
			in.DockerLogin, in.ECRRegistries = "true", "000000000001,\n 123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1 ,, https://public.ecr.aws \r\n"
		}, "", ""},
		{"registry of another service", func(in *step.Inputs) { in.DockerLogin, in.ECRRegistries = "true", "123456789012, docker.io" }, "ecr_registries", `got "docker.io"`},
		{"registries without docker_login", func(in *step.Inputs) { in.ECRRegistries = "123456789012" }, "ecr_registries", "has no effect because docker_login is not true"},
		{"docker_login true", func(in *step.Inputs) { in.DockerLogin = "true" }, "", ""},
		{"verbose TRUE", func(in *step.Inputs) { in.Verbose = "TRUE" }, "verbose", "must be true or false"},
		{"build_url empty", func(in *step.Inputs) { in.BuildURL = "" }, "build_url and build_api_token", "a local run needs"},
		{"build_url unencrypted", func(in *step.Inputs) { in.BuildURL = "http://app.bitrise.io/" }, "build_url", "must use https"},
		{"build_url on loopback", func(in *step.Inputs) { in.BuildURL = "http://127.0.0.1:1/" }, "", ""},
		{"build token empty", func(in *step.Inputs) { in.BuildAPIToken = secret.Text{} }, "build_url and build_api_token", "must not be empty"},
		{"build token of two lines", func(in *step.Inputs) { in.BuildAPIToken = secret.New("canary\ncanary") }, "build_api_token", "printable ASCII"},
		{"token that is not a JWT", func(in *step.Inputs) { in.IdentityToken = secret.New("canary-token") }, "identity_token", "must be a JSON Web Token"},
		{"token with Bearer", func(in *step.Inputs) { in.IdentityToken = secret.New("Bearer " + token(`{}`).Reveal()) }, "identity_token", "leave out the word Bearer"},
		{"token as JSON", func(in *step.Inputs) { in.IdentityToken = secret.New(`{"id_token":"canary"}`) }, "identity_token", "only the value of its key id_token"},
		{"token as a path", func(in *step.Inputs) { in.IdentityToken = secret.New("/tmp/canary") }, "identity_token", "it looks like a path"},
		{"token as a relative path", func(in *step.Inputs) { in.IdentityToken = secret.New("canary.jwt") }, "identity_token", "it looks like a path"},
		{"token expired", func(in *step.Inputs) { in.IdentityToken = token(`{"exp":1700000000}`) }, "identity_token", "that expired at 2023-11-14T22:13:20Z"},
		{"token without exp", func(in *step.Inputs) { in.IdentityToken = token(`{}`) }, "", ""},
		{"token without role", func(in *step.Inputs) { in.IdentityToken, in.RoleARN = token(`{}`), "" }, "role_arn or access_key_id", "must be set"},
		{"no source", func(in *step.Inputs) { in.RoleARN = "" }, "role_arn or access_key_id", "must be set"},
		{"no source, empty variable", func(in *step.Inputs) { in.RoleARN = "" }, "role_arn or access_key_id", `unless their setting "Expose for Pull Requests" is on`},
		{"both sources", func(in *step.Inputs) {
			in.AccessKeyID, in.SecretAccessKey = secret.New("AKIACANARY"), secret.New("canary")
		}, "access_key_id", "can't be combined with role_arn"},
		{"token and keys", func(in *step.Inputs) { *in = accessKey(); in.IdentityToken = token(`{}`) }, "access_key_id", "can't be combined with role_arn or identity_token"},
		{"half a key", func(in *step.Inputs) { *in = accessKey(); in.SecretAccessKey = secret.Text{} }, "access_key_id and secret_access_key", "must be set together"},
		{"other half", func(in *step.Inputs) { *in = accessKey(); in.AccessKeyID = secret.Text{} }, "access_key_id and secret_access_key", "must be set together"},
		{"session token alone", func(in *step.Inputs) { in.RoleARN, in.SessionToken = "", secret.New("canary") }, "access_key_id and secret_access_key", "must be set together"},
		{"temporary key", func(in *step.Inputs) { *in = accessKey(); in.SessionToken = secret.New("canary") }, "", ""},
		{"space in a key", func(in *step.Inputs) { *in = accessKey(); in.SecretAccessKey = secret.New("canary canary") }, "secret_access_key", "without spaces"},
		{"duration 900", func(in *step.Inputs) { in.SessionDuration = "900" }, "", ""},
		{"duration 899", func(in *step.Inputs) { in.SessionDuration = "899" }, "session_duration", `from 900 to 43200, got "899"`},
		{"duration 43200", func(in *step.Inputs) { in.SessionDuration = "43200" }, "", ""},
		{"duration 43201", func(in *step.Inputs) { in.SessionDuration = "43201" }, "session_duration", "from 900 to 43200"},
		{"duration too large for nanoseconds", func(in *step.Inputs) { in.SessionDuration = "9223372036854775807" }, "session_duration", "from 900 to 43200"},
		{"chained duration 3600", func(in *step.Inputs) { in.SessionDuration, in.RoleChain = "3600", roleARN }, "", ""},
		{"chained duration 3601", func(in *step.Inputs) { in.SessionDuration, in.RoleChain = "3601", roleARN }, "session_duration", chained},
		{"duration of a key's first role", func(in *step.Inputs) {
			*in = accessKey()
			in.SessionDuration, in.RoleChain = "43200", "\n"+roleARN+"\n"
		}, "", ""},
		{"duration of a key's first role, 43201", func(in *step.Inputs) {
			*in = accessKey()
			in.SessionDuration, in.RoleChain = "43201", roleARN
		}, "session_duration", `from 900 to 43200, got "43201"`},
		{"duration of a key's second role", func(in *step.Inputs) {
			*in = accessKey()
			in.SessionDuration, in.RoleChain = "3601", roleARN+"\n"+roleARN
		}, "session_duration", chained},
		{"duration of a temporary key's first role", func(in *step.Inputs) {
			*in = accessKey()
			in.SessionToken, in.SessionDuration, in.RoleChain = secret.New("canary"), "3601", roleARN
		}, "session_duration", chained},
		{"duration of a key", func(in *step.Inputs) { *in = accessKey(); in.SessionDuration = "900" }, "session_duration", "has no effect"},
		{"duration of a key's chain", func(in *step.Inputs) { *in = accessKey(); in.SessionDuration, in.RoleChain = "900", roleARN }, "", ""},
		{"chain with a blank line", func(in *step.Inputs) { in.RoleChain = " " + roleARN + " \n\n\r\n" + roleARN }, "", ""},
		{"chain with a wrong role", func(in *step.Inputs) { in.RoleChain = roleARN + "\nnext" }, "role_chain", `got "next"`},
		{"role of another service", func(in *step.Inputs) { in.RoleARN = "arn:minio:iam:::role/x-y-z" }, "", ""},
		{"chain with commas", func(in *step.Inputs) { in.RoleChain = roleARN + "," + roleARN }, "role_chain", "one per line"},
		{"chain with commas and spaces", func(in *step.Inputs) { in.RoleChain = roleARN + ", " + roleARN }, "role_chain", "write one per line, without commas"},
		{"role of an account with dashes", func(in *step.Inputs) { in.RoleARN = "arn:aws:iam::1234-5678-9012:role/x" }, "role_arn", "write account IDs without dashes"},
		{"external ID of 2", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, "ab" }, "", ""},
		{"external ID of 1", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, "a" }, "external_id", "must have 2 to 1224 characters, got 1"},
		{"external ID of 1224", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, strings.Repeat("a", 1224) }, "", ""},
		{"external ID of 1225", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, strings.Repeat("a", 1225) }, "external_id", "got 1225"},
		{"external ID without a chain", func(in *step.Inputs) { in.ExternalID = "ab" }, "external_id", "has no effect"},
		{"tags", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "team=mobile\n empty =\nurl=a=b" }, "", ""},
		{"tags without a chain", func(in *step.Inputs) { in.SessionTags = "a=b" }, "session_tags", "has no effect"},
		{"tag without =", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "team" }, "session_tags", "must be key=value"},
		{"tag without a key", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "=x" }, "session_tags", "must have a key of 1 to 128"},
		{"tag key of 128", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, strings.Repeat("k", 128)+"=x" }, "", ""},
		{"tag key of 129", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, strings.Repeat("k", 129)+"=x" }, "session_tags", "got 129"},
		{"tag value of 256", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "k="+strings.Repeat("v", 256) }, "", ""},
		{"tag value of 257", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "k="+strings.Repeat("v", 257) }, "session_tags", "got 257"},
		{"tags with commas", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "a=1,b=2" }, "session_tags", "write one per line, without commas"},
		{"50 tags", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, numbered(50) }, "", ""},
		{"51 tags", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, numbered(51) }, "session_tags", "must have at most 50 tags, got 51"},
		{"policy", func(in *step.Inputs) { in.InlineSessionPolicy = `{"Version":"2012-10-17"}` }, "", ""},
		{"policy that is not JSON", func(in *step.Inputs) { in.InlineSessionPolicy = `{"Version"` }, "inline_session_policy", "must be a policy in JSON: unexpected end of JSON input"},
		{"policy of 2048", func(in *step.Inputs) { in.InlineSessionPolicy = `{"a":"` + strings.Repeat("x", 2040) + `"}` }, "", ""},
		{"policy of 2049", func(in *step.Inputs) { in.InlineSessionPolicy = `{"a":"` + strings.Repeat("x", 2041) + `"}` }, "inline_session_policy", "must have at most 2048 characters without whitespace, got 2049"},
		{"policy of a key", func(in *step.Inputs) { *in = accessKey(); in.InlineSessionPolicy = `{}` }, "inline_session_policy", "has no effect"},
		{"10 managed policies", func(in *step.Inputs) {
			in.ManagedSessionPolicies = strings.Repeat("arn:aws:iam::aws:policy/ReadOnlyAccess\n", 10)
		}, "", ""},
		{"11 managed policies", func(in *step.Inputs) {
			in.ManagedSessionPolicies = strings.Repeat("arn:aws:iam::aws:policy/ReadOnlyAccess\n", 11)
		}, "managed_session_policies", "must have at most 10 policies, got 11"},
		{"managed policy a role", func(in *step.Inputs) { in.ManagedSessionPolicies = roleARN }, "managed_session_policies", "must be the ARN of a managed policy"},
		{"accounts", func(in *step.Inputs) { in.AllowedAccountIDs = "123456789012, 000000000001\n,\n 210987654321 " }, "", ""},
		{"account with dashes", func(in *step.Inputs) { in.AllowedAccountIDs = "1234-5678-9012" }, "allowed_account_ids", "write account IDs without dashes"},
		{"registry with dashes", func(in *step.Inputs) { in.DockerLogin, in.ECRRegistries = "true", "1234-5678-9012" }, "ecr_registries", "write account IDs without dashes"},
		{"account of 11 digits", func(in *step.Inputs) { in.AllowedAccountIDs = "12345678901" }, "allowed_account_ids", "12 digits"},
		{"action", func(in *step.Inputs) { in.Action = "login" }, "", ""},
		{"unknown action", func(in *step.Inputs) { in.Action = "log out" }, "action", `must be login or logout, got "log out"`},
		{"logout", func(in *step.Inputs) { *in = step.Inputs{Action: "logout"} }, "", ""},
		{"logout with defaults", func(in *step.Inputs) { in.Action, in.RoleARN = "logout", "" }, "", ""},
		{"logout of a profile", func(in *step.Inputs) { in.Action, in.RoleARN, in.AWSProfile = "logout", "", "bitrise" }, "", ""},
		{"logout of a registry", func(in *step.Inputs) { in.Action, in.RoleARN, in.ECRRegistries = "logout", "", "public.ecr.aws" }, "", ""},
		{"logout with a role", func(in *step.Inputs) { in.Action = "logout" }, "role_arn", "has no effect because action is logout"},
		{"logout with docker_login", func(in *step.Inputs) { *in = step.Inputs{Action: "logout", DockerLogin: "true"} }, "docker_login", "has no effect because action is logout"},
		{"logout with a key", func(in *step.Inputs) { *in = accessKey(); in.Action = "logout" }, "secret_access_key", "has no effect because action is logout"},
		// Secrets that were pasted into the wrong input are not repeated.
		{"token as the role", func(in *step.Inputs) { in.RoleARN = token(`{"canary":1}`).Reveal() }, "role_arn", `got "[REDACTED]"`},
		{"token as the Region", func(in *step.Inputs) { in.Region = token(`{}`).Reveal() }, "region", "[REDACTED]"},
		{"URL with a password as the Region", func(in *step.Inputs) { in.Region = "https:/user:canary@host" }, "region", "[REDACTED]@host"},
		{"URL with a password as a registry", func(in *step.Inputs) { in.DockerLogin, in.ECRRegistries = "true", "https://AWS:canary@registry" }, "ecr_registries", "[REDACTED]@registry"},
		{"long URL with a password", func(in *step.Inputs) { in.RoleARN = "https://user:" + strings.Repeat("canary", 50) + "@host" }, "role_arn", "[REDACTED]@host"},
		{"secret key as the role", func(in *step.Inputs) { in.RoleARN = "Canary/0123456789/0123456789/0123456789+" }, "role_arn", `got "[REDACTED]"`},
		{"key with the token's inputs empty", func(in *step.Inputs) { *in = accessKey(); in.BuildURL, in.BuildAPIToken = "", secret.Text{} }, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := webIdentity()
			row.change(&in)
			_, err := step.ParseInputs(in, now())
			var inputs *step.InputError
			if row.input == "" {
				if err != nil {
					t.Errorf("got %v, want no problems", err)
				}
				return
			}
			if !errors.As(err, &inputs) {
				t.Fatalf("got %v, want a problem with %s", err, row.input)
			}
			if !slices.ContainsFunc(inputs.Problems, func(f step.Problem) bool { return f.Input == row.input && strings.Contains(f.Text, row.text) }) {
				t.Errorf("got %v, want %s: %s", err, row.input, row.text)
			}
			if strings.Contains(strings.ToLower(err.Error()), "canary") {
				t.Errorf("a problem contains a secret: %v", err)
			}
		})
	}
}

func TestAllProblemsAreReported(t *testing.T) {
	_, err := step.ParseInputs(step.Inputs{Region: "x", RoleARN: "x", SessionName: "x", Timeout: "x", Verbose: "x", DockerLogin: "x"}, now())
	var inputs *step.InputError
	if !errors.As(err, &inputs) || len(inputs.Problems) != 7 {
		t.Errorf("got %v", err)
	}
}

// numbered returns n session tags.
func numbered(n int) string {
	var tags strings.Builder
	for i := range n {
		fmt.Fprintf(&tags, "key%d=v\n", i)
	}
	return tags.String()
}

func TestOwnRegistryIsTheDefault(t *testing.T) {
	for given, want := range map[string]string{"": "the account's own registry in eu-west-1", "public.ecr.aws": "public.ecr.aws"} {
		in := webIdentity()
		in.DockerLogin, in.ECRRegistries = "true", given
		config, err := step.ParseInputs(in, now())
		if err != nil || len(config.Registries) != 1 || config.Registries[0].String() != want {
			t.Errorf("%q: got %v, %v; want %s", given, config.Registries, err, want)
		}
	}
}

// All printable ASCII characters are accepted in a secret.
func TestSecretsArePrintable(t *testing.T) {
	for value, accepted := range map[string]bool{"!canary~": true, "canary\x7f": false, "can ary": false, "canäry": false} {
		in := webIdentity()
		in.BuildAPIToken = secret.New(value)
		if _, err := step.ParseInputs(in, now()); (err == nil) != accepted {
			t.Errorf("%q: got %v", value, err)
		}
	}
}
