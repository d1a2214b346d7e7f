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

// webIdentity are right inputs of the one way, accessKey of the other.
func webIdentity() step.Inputs {
	return step.Inputs{
		Region: "eu-west-1", RoleARN: roleARN, Audience: "sts.amazonaws.com", SessionName: "bitrise-1", DockerLogin: "false",
		BuildURL: "https://app.bitrise.io/build/1", BuildAPIToken: secret.New("canary-api-token"), Timeout: "180", Verbose: "false",
	}
}

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
	if config.AccessKeys != nil || config.WebIdentity.Role.String() != roleARN || config.WebIdentity.Audience != "sts.amazonaws.com" ||
		config.SessionName.String() != "bitrise-1" || config.WebIdentity.BuildAPIToken.Reveal() != "canary-api-token" ||
		config.Region.String() != "eu-west-1" || config.Timeout != 3*time.Minute || config.DockerLogin || config.Verbose || config.WebIdentity.Ready != nil {
		t.Errorf("%+v", config)
	}
	if config, err = step.ParseInputs(accessKey(), now()); err != nil || config.WebIdentity != nil || config.AccessKeys.SecretAccessKey.Reveal() != "canary-secret-key" {
		t.Errorf("%+v, %v", config, err)
	}
	if got := fmt.Sprintf("%v %+v %#v", config, config, *config.AccessKeys); strings.Contains(got, "canary") {
		t.Errorf("a Config shows its secrets: %s", got)
	}
}

func TestParseInputsTrimsAndFillsIn(t *testing.T) {
	in := step.Inputs{Region: " eu-west-1\n", RoleARN: "\t" + roleARN + " ", SessionName: "  ", BuildURL: " https://app.bitrise.io/build/1 ", BuildAPIToken: secret.New(" token\n")}
	config, err := step.ParseInputs(in, now())
	if err != nil {
		t.Fatal(err)
	}
	if config.WebIdentity.Audience != "sts.amazonaws.com" || config.Timeout != 180*time.Second || config.SessionName.String() != "bitrise-local" ||
		config.WebIdentity.BuildAPIToken.Reveal() != "token" || config.Region.String() != "eu-west-1" {
		t.Errorf("%+v", config)
	}
}

func TestReadyToken(t *testing.T) {
	in := webIdentity()
	in.BuildURL, in.BuildAPIToken, in.IdentityToken = "", secret.Text{}, token(`{"exp":1700000001}`)
	config, err := step.ParseInputs(in, now())
	if err != nil || config.WebIdentity.Ready == nil {
		t.Errorf("%+v, %v", config, err)
	}
}

// Every limit of the contract, right beyond and right at its edge.
func TestInputLimits(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*step.Inputs)
		input  string // of the finding; empty: there is none
		text   string
	}{
		{"region empty", func(in *step.Inputs) { in.Region = " " }, "region", "required"},
		{"region no code", func(in *step.Inputs) { in.Region = "us-east-1.evil.example" }, "region", "not the code of an AWS Region"},
		{"role no ARN", func(in *step.Inputs) { in.RoleARN = "deploy" }, "role_arn", "the ARN of an IAM role wanted"},
		{"role a provider", func(in *step.Inputs) { in.RoleARN = "arn:aws:iam::123456789012:oidc-provider/x" }, "role_arn", "the ARN of the OIDC provider"},
		{"audience 255", func(in *step.Inputs) { in.Audience = strings.Repeat("a", 255) }, "", ""},
		{"audience 256", func(in *step.Inputs) { in.Audience = strings.Repeat("a", 256) }, "audience", "at most 255 characters wanted, 256 found"},
		{"audience of two lines", func(in *step.Inputs) { in.Audience = "a\nb" }, "audience", "single line"},
		{"session name 64", func(in *step.Inputs) { in.SessionName = strings.Repeat("s", 64) }, "", ""},
		{"session name 65", func(in *step.Inputs) { in.SessionName = strings.Repeat("s", 65) }, "session_name", "2 to 64 characters wanted, 65 found"},
		{"session name 1", func(in *step.Inputs) { in.SessionName = "s" }, "session_name", "1 found"},
		{"timeout 9", func(in *step.Inputs) { in.Timeout = "9" }, "timeout", `from 10 to 3600 wanted, "9" found`},
		{"timeout 10", func(in *step.Inputs) { in.Timeout = "10" }, "", ""},
		{"timeout 3600", func(in *step.Inputs) { in.Timeout = "3600" }, "", ""},
		{"timeout 3601", func(in *step.Inputs) { in.Timeout = "3601" }, "timeout", "from 10 to 3600"},
		{"timeout of minutes", func(in *step.Inputs) { in.Timeout = "3m" }, "timeout", `"3m" found`},
		{"docker_login yes", func(in *step.Inputs) { in.DockerLogin = "yes" }, "docker_login", `true or false wanted, "yes" found`},
		{"registries of all kinds", func(in *step.Inputs) {
			in.DockerLogin, in.ECRRegistries = "true", "000000000001,\n 123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1 ,, https://public.ecr.aws \r\n"
		}, "", ""},
		{"registry of somebody else", func(in *step.Inputs) { in.DockerLogin, in.ECRRegistries = "true", "123456789012, docker.io" }, "ecr_registries", `"docker.io" found`},
		{"registry of another partition", func(in *step.Inputs) {
			in.DockerLogin, in.ECRRegistries = "true", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"
		}, "ecr_registries", "is in the partition aws-cn"},
		{"registries without docker_login", func(in *step.Inputs) { in.ECRRegistries = "123456789012" }, "ecr_registries", "it would do nothing: docker_login is not true"},
		{"docker_login true", func(in *step.Inputs) { in.DockerLogin = "true" }, "", ""},
		{"verbose TRUE", func(in *step.Inputs) { in.Verbose = "TRUE" }, "verbose", "true or false wanted"},
		{"build_url empty", func(in *step.Inputs) { in.BuildURL = "" }, "build_url", "for a local run give"},
		{"build_url in the clear", func(in *step.Inputs) { in.BuildURL = "http://app.bitrise.io/" }, "build_url", "https wanted"},
		{"build_url on loopback", func(in *step.Inputs) { in.BuildURL = "http://127.0.0.1:1/" }, "", ""},
		{"build token empty", func(in *step.Inputs) { in.BuildAPIToken = secret.Text{} }, "build_api_token", "empty"},
		{"build token of two lines", func(in *step.Inputs) { in.BuildAPIToken = secret.New("canary\ncanary") }, "build_api_token", "printable ASCII"},
		{"token no JWT", func(in *step.Inputs) { in.IdentityToken = secret.New("canary-token") }, "identity_token", "not a JSON Web Token"},
		{"token expired", func(in *step.Inputs) { in.IdentityToken = token(`{"exp":1700000000}`) }, "identity_token", "it has expired at 2023-11-14T22:13:20Z"},
		{"token without end", func(in *step.Inputs) { in.IdentityToken = token(`{}`) }, "", ""},
		{"token without role", func(in *step.Inputs) { in.IdentityToken, in.RoleARN = token(`{}`), "" }, "role_arn", "empty"},
		{"no source", func(in *step.Inputs) { in.RoleARN = "" }, "role_arn and access_key_id", "both are empty"},
		{"both sources", func(in *step.Inputs) {
			in.AccessKeyID, in.SecretAccessKey = secret.New("AKIACANARY"), secret.New("canary")
		}, "role_arn and access_key_id", "both are given"},
		{"token and keys", func(in *step.Inputs) { *in = accessKey(); in.IdentityToken = token(`{}`) }, "identity_token and access_key_id", "both are given"},
		{"half a key", func(in *step.Inputs) { *in = accessKey(); in.SecretAccessKey = secret.Text{} }, "secret_access_key", "both or neither"},
		{"other half", func(in *step.Inputs) { *in = accessKey(); in.AccessKeyID = secret.Text{} }, "access_key_id", "both or neither"},
		{"session token alone", func(in *step.Inputs) { in.RoleARN, in.SessionToken = "", secret.New("canary") }, "access_key_id", "both or neither"},
		{"temporary key", func(in *step.Inputs) { *in = accessKey(); in.SessionToken = secret.New("canary") }, "", ""},
		{"blank in a key", func(in *step.Inputs) { *in = accessKey(); in.SecretAccessKey = secret.New("canary canary") }, "secret_access_key", "without blanks"},
		{"duration 900", func(in *step.Inputs) { in.SessionDuration = "900" }, "", ""},
		{"duration 899", func(in *step.Inputs) { in.SessionDuration = "899" }, "session_duration", `from 900 to 43200 wanted, "899" found`},
		{"duration 43200", func(in *step.Inputs) { in.SessionDuration = "43200" }, "", ""},
		{"duration 43201", func(in *step.Inputs) { in.SessionDuration = "43201" }, "session_duration", "from 900 to 43200"},
		{"duration beyond numbers", func(in *step.Inputs) { in.SessionDuration = "9223372036854775807" }, "session_duration", "from 900 to 43200"},
		{"chained duration 3600", func(in *step.Inputs) { in.SessionDuration, in.RoleChain = "3600", roleARN }, "", ""},
		{"chained duration 3601", func(in *step.Inputs) { in.SessionDuration, in.RoleChain = "3601", roleARN }, "session_duration", "from 900 to 3600 wanted, since AWS ends the sessions of a role_chain after an hour"},
		{"duration of a key", func(in *step.Inputs) { *in = accessKey(); in.SessionDuration = "900" }, "session_duration", "would do nothing"},
		{"duration of a key's chain", func(in *step.Inputs) { *in = accessKey(); in.SessionDuration, in.RoleChain = "900", roleARN }, "", ""},
		{"chain with a blank line", func(in *step.Inputs) { in.RoleChain = " " + roleARN + " \n\n\r\n" + roleARN }, "", ""},
		{"chain with a wrong role", func(in *step.Inputs) { in.RoleChain = roleARN + "\nnext" }, "role_chain", `"next" found`},
		{"chain into another partition", func(in *step.Inputs) { in.RoleChain = "arn:aws-cn:iam::123456789012:role/x" }, "role_chain", "is in the partition aws-cn, and the Region eu-west-1 (input region) in aws"},
		{"role of another partition", func(in *step.Inputs) { in.RoleARN = "arn:aws-us-gov:iam::123456789012:role/x" }, "role_arn", "is in the partition aws-us-gov"},
		{"Region of another partition", func(in *step.Inputs) { in.Region = "cn-north-1" }, "role_arn", "in aws-cn; both have to be in the same"},
		{"role of another service", func(in *step.Inputs) { in.RoleARN = "arn:minio:iam:::role/x-y-z" }, "", ""},
		{"external ID of 2", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, "ab" }, "", ""},
		{"external ID of 1", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, "a" }, "external_id", "2 to 1224 characters wanted, 1 found"},
		{"external ID of 1224", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, strings.Repeat("a", 1224) }, "", ""},
		{"external ID of 1225", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, strings.Repeat("a", 1225) }, "external_id", "1225 found"},
		{"external ID with a blank", func(in *step.Inputs) { in.RoleChain, in.ExternalID = roleARN, "a b" }, "external_id", "letters, digits"},
		{"external ID without a chain", func(in *step.Inputs) { in.ExternalID = "ab" }, "external_id", "would do nothing"},
		{"tags", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "team=mobile\n empty =\nurl=a=b" }, "", ""},
		{"tags without a chain", func(in *step.Inputs) { in.SessionTags = "a=b" }, "session_tags", "would do nothing"},
		{"tag without =", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "team" }, "session_tags", "key=value wanted"},
		{"tag without a key", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "=x" }, "session_tags", "a key of 1 to 128"},
		{"tag key of 128", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, strings.Repeat("k", 128)+"=x" }, "", ""},
		{"tag key of 129", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, strings.Repeat("k", 129)+"=x" }, "session_tags", "one of 129 found"},
		{"tag value of 256", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "k="+strings.Repeat("v", 256) }, "", ""},
		{"tag value of 257", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "k="+strings.Repeat("v", 257) }, "session_tags", "one of 257 found"},
		{"tag of AWS's own", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "AWS:x=y" }, "session_tags", "AWS's own"},
		{"tag with a star", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "a=*" }, "session_tags", "letters, digits"},
		{"tag twice", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, "a=1\nA=2" }, "session_tags", "more than once"},
		{"50 tags", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, numbered(50) }, "", ""},
		{"51 tags", func(in *step.Inputs) { in.RoleChain, in.SessionTags = roleARN, numbered(51) }, "session_tags", "at most 50 tags wanted, 51 found"},
		{"policy", func(in *step.Inputs) { in.InlineSessionPolicy = `{"Version":"2012-10-17"}` }, "", ""},
		{"policy no JSON", func(in *step.Inputs) { in.InlineSessionPolicy = `{"Version"` }, "inline_session_policy", "no JSON object (unexpected end of JSON input, at character 10)"},
		{"policy a list", func(in *step.Inputs) { in.InlineSessionPolicy = `[]` }, "inline_session_policy", "no JSON object"},
		{"policy of 2048", func(in *step.Inputs) { in.InlineSessionPolicy = `{"a":"` + strings.Repeat("x", 2040) + `"}` }, "", ""},
		{"policy of 2049", func(in *step.Inputs) { in.InlineSessionPolicy = `{"a":"` + strings.Repeat("x", 2041) + `"}` }, "inline_session_policy", "at most 2048 characters wanted, 2049 found"},
		{"policy of a key", func(in *step.Inputs) { *in = accessKey(); in.InlineSessionPolicy = `{}` }, "inline_session_policy", "would do nothing"},
		{"10 managed policies", func(in *step.Inputs) {
			in.ManagedSessionPolicies = strings.Repeat("arn:aws:iam::aws:policy/ReadOnlyAccess\n", 10)
		}, "", ""},
		{"11 managed policies", func(in *step.Inputs) {
			in.ManagedSessionPolicies = strings.Repeat("arn:aws:iam::aws:policy/ReadOnlyAccess\n", 11)
		}, "managed_session_policies", "at most 10 policies wanted, 11 found"},
		{"managed policy a role", func(in *step.Inputs) { in.ManagedSessionPolicies = roleARN }, "managed_session_policies", "the ARN of a managed policy wanted"},
		{"accounts", func(in *step.Inputs) { in.AllowedAccountIDs = "123456789012, 000000000001\n,\n 210987654321 " }, "", ""},
		{"account of 11 digits", func(in *step.Inputs) { in.AllowedAccountIDs = "12345678901" }, "allowed_account_ids", "which has 12 digits"},
		{"key with the token's inputs empty", func(in *step.Inputs) { *in = accessKey(); in.BuildURL, in.BuildAPIToken = "", secret.Text{} }, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := webIdentity()
			row.change(&in)
			_, err := step.ParseInputs(in, now())
			var inputs *step.InputError
			if row.input == "" {
				if err != nil {
					t.Errorf("%v", err)
				}
				return
			}
			if !errors.As(err, &inputs) {
				t.Fatalf("got %v, want a finding of %s", err, row.input)
			}
			if !slices.ContainsFunc(inputs.Findings, func(f step.Finding) bool { return f.Input == row.input && strings.Contains(f.Text, row.text) }) {
				t.Errorf("got %v, want %s: %s", err, row.input, row.text)
			}
			if strings.Contains(strings.ToLower(err.Error()), "canary") {
				t.Errorf("a finding shows a secret: %v", err)
			}
		})
	}
}

func TestAllFindingsAtOnce(t *testing.T) {
	_, err := step.ParseInputs(step.Inputs{Region: "x", RoleARN: "x", SessionName: "x", Timeout: "x", Verbose: "x", DockerLogin: "x"}, now())
	var inputs *step.InputError
	if !errors.As(err, &inputs) || len(inputs.Findings) != 8 {
		t.Errorf("got %v", err)
	}
}

// numbered is n session tags.
func numbered(n int) string {
	var tags strings.Builder
	for i := range n {
		fmt.Fprintf(&tags, "key%d=v\n", i)
	}
	return tags.String()
}
