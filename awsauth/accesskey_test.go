package awsauth_test

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func identity(arn string) string {
	return "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>" + arn + "</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
}

func TestAccessKeyIsVerified(t *testing.T) {
	key := awsauth.AccessKey{AccessKeyID: secret.New("AKIAEXAMPLECANARY"), SecretAccessKey: secret.New("secret-canary")}
	for name, row := range map[string]struct {
		status  int
		body    string
		account string
		want    string
		calls   int
	}{
		"a user":  {200, identity("arn:aws:iam::012345678901:user/ci"), "012345678901", "", 1},
		"nothing": {200, identity(""), "", "did not return the owner", 2},
		"unknown": {403, awsError("InvalidClientTokenId", "The security token is invalid."), "", "STS returned InvalidClientTokenId", 1},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, responding(row.status, row.body))
			session, err := obtain(t, key, client, 2)
			if (err == nil) != (row.want == "") || (err != nil && !strings.Contains(err.Error(), "verify the access key: ")) ||
				(err != nil && !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if session.AccountID != row.account || len(*calls) != row.calls {
				t.Errorf("got account %q in %d calls", session.AccountID, len(*calls))
			}
			got := (*calls)[0].Header.Get("Authorization")
			if !strings.Contains(got, "Credential=AKIAEXAMPLECANARY/") || !strings.Contains(got, "/eu-central-1/sts/aws4_request") {
				t.Errorf("got signature %q", got)
			}
		})
	}
}
