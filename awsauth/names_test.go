package awsauth_test

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
)

func TestParseRoleARN(t *testing.T) {
	for _, arn := range []string{
		"arn:aws:iam::123456789012:role/bitrise-deploy", "arn:aws:iam::012345678901:role/a/path/Name+=,.@-_1",
		"arn:aws-cn:iam::123456789012:role/x", "arn:aws-us-gov:iam::123456789012:role/x", "arn:aws-eusc:iam::123456789012:role/x",
		"arn:aws-iso-b:iam::123456789012:role/x", "arn:minio:iam:::role/x-long-enough", "arn:aws:iam::123456789012:role/" + strings.Repeat("n", 64),
		"arn:aws:iam::123456789012:role/" + strings.Repeat("p", 510) + "/n", "arn:aws:iam::123456789012:role/service-role/x",
	} {
		if role, err := awsauth.ParseRoleARN(arn); err != nil || role.String() != arn {
			t.Errorf("%s: got %q, %v", arn, role, err)
		}
	}
	for arn, want := range map[string]string{
		"arn:aws:iam::123456789012:oidc-provider/token.builds.bitrise.io":                            "got the ARN of the OIDC provider; use the ARN of a role that trusts it",
		"arn:aws:iam::123456789012:user/ci":                                                          "got the ARN of an IAM user",
		"arn:aws-cn:sts::123456789012:assumed-role/deploy/session":                                   "got the ARN of an assumed role, which is a session; use the role's own ARN",
		"arn:aws:iam::aws:policy/AdministratorAccess":                                                "must be the ARN of an IAM role",
		"arn:aws:iam::12345678901:role/x":                                                            "must be the ARN of an IAM role",
		"arn:aws:iam::1234567890123:role/x":                                                          "must be the ARN of an IAM role",
		"arn:aws:iam:::role/x-with-no-account":                                                       "must be the ARN of an IAM role",
		"arn:aws-cn:iam:::role/x-with-no-account":                                                    "must be the ARN of an IAM role",
		"arn:aws:iam::123456789012:role/":                                                            "must be the ARN of an IAM role",
		"arn:aws:iam::123456789012:role/a/b/":                                                        "must be the ARN of an IAM role",
		"arn:aws:iam:us-east-1:123456789012:role/x":                                                  "must be the ARN of an IAM role",
		strings.Repeat("arn:aws:iam::123456789012:role/x,", 70) + "arn:aws:iam::123456789012:role/x": "must be the ARN of an IAM role",
		"arn:aws:s3:::bucket":                                                                        "must be the ARN of an IAM role",
		"arn:minio:iam:::role/":                                                                      "must be the ARN of an IAM role",
		"bitrise-deploy":                                                                             "must be the ARN of an IAM role",
		"arn:aws:iam::123456789012:role/x\nrole/y":                                                   "must be the ARN of an IAM role",
	} {
		_, err := awsauth.ParseRoleARN(arn)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", arn, err, want)
		}
	}
}

func FuzzParseRoleARN(f *testing.F) {
	for _, seed := range []string{"", "arn:aws:iam::123456789012:role/x", "arn:::::", "arn:aws:iam::123456789012:role//x", "arn:minio:iam:::role/x", "arn:aws:sts::1:assumed-role"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		role, err := awsauth.ParseRoleARN(in)
		switch {
		case err == nil && role.String() != in:
			t.Errorf("%q was parsed as %q", in, role)
		case err != nil && len(err.Error()) > 600+4*len(in): // an invalid byte is shown as \xFF
			t.Errorf("got an error of %d bytes for an input of %d", len(err.Error()), len(in))
		}
	})
}

func TestParseSessionName(t *testing.T) {
	for in, want := range map[string]string{
		"bitrise-4711": "bitrise-4711", "": "bitrise-local", "bitrise-": "bitrise-local", "a b/c:d": "a-b-c-d", "ünïx": "-n-x",
		"ok_+=,.@-9": "ok_+=,.@-9", "ab": "ab", strings.Repeat("x", 64): strings.Repeat("x", 64), "line\nend": "line-end",
	} {
		if got, err := awsauth.ParseSessionName(in); err != nil || got.String() != want {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{"x": "must have 2 to 64 characters, got 1", strings.Repeat("x", 65): "got 65"} {
		if _, err := awsauth.ParseSessionName(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

func FuzzParseTag(f *testing.F) {
	for _, seed := range []string{"", "=", "a=b", "a = b=c ", "aws:x=y", strings.Repeat("k", 129) + "=v", "ü=\u2028"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		tag, err := awsauth.ParseTag(in)
		if key, _, _ := strings.Cut(in, "="); err == nil && (strings.TrimSpace(key) == "" || tag == awsauth.Tag{}) {
			t.Errorf("%q was parsed as a tag without a key", in)
		}
		if err != nil && len(err.Error()) > 1000+4*len(in) {
			t.Errorf("got an error of %d bytes", len(err.Error()))
		}
	})
}

func FuzzParseSessionName(f *testing.F) {
	f.Add("bitrise-1")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, in string) {
		name, err := awsauth.ParseSessionName(in)
		if err != nil {
			return
		}
		if again, err := awsauth.ParseSessionName(name.String()); err != nil || again != name || len(name.String()) < 2 || len(name.String()) > 64 {
			t.Errorf("%q was parsed as %q, which is parsed as %q, %v", in, name, again, err)
		}
	})
}

// The limits are those of AWS: the longest value is accepted, a longer one is not.
func TestLimits(t *testing.T) {
	policy := func(length int) error {
		_, err := awsauth.ParseSessionPolicy(`{"Version":"` + strings.Repeat("x", length-len(`{"Version":""}`)) + `"}`)
		return err
	}
	external := func(length int) error {
		_, err := awsauth.ParseExternalID(strings.Repeat("x", length))
		return err
	}
	for name, row := range map[string]struct {
		parse           func(length int) error
		accepted, wrong int
	}{
		"session policy":       {policy, 2048, 2049},
		"shortest external ID": {external, 2, 1}, "longest external ID": {external, 1224, 1225},
	} {
		t.Run(name, func(t *testing.T) {
			if err := row.parse(row.accepted); err != nil {
				t.Errorf("%d characters: got %v", row.accepted, err)
			}
			if row.parse(row.wrong) == nil {
				t.Errorf("%d characters: got no error", row.wrong)
			}
		})
	}
}
