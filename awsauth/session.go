package awsauth

import (
	"cmp"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsarn "github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// Session is credentials and whose they are.
type Session struct {
	credentials.Credentials
	// CallerARN is the ARN that sts:GetCallerIdentity returns for the credentials; STS-compatible services may leave it empty.
	CallerARN string
	// AccountID is the account of the credentials, 12 digits; STS-compatible services may leave it empty.
	AccountID string
}

// newSession checks what STS returns to a call that assumes a role. A response that is not what STS would
// send was garbled on the way, so another attempt may succeed.
func (c *Client) newSession(issued *types.Credentials, user *types.AssumedRoleUser, metadata middleware.Metadata) (Session, error) {
	issued, user = cmp.Or(issued, &types.Credentials{}), cmp.Or(user, &types.AssumedRoleUser{})
	for _, part := range []struct {
		name string
		text *string
	}{{"access key ID", issued.AccessKeyId}, {"secret access key", issued.SecretAccessKey}, {"session token", issued.SessionToken}} {
		if value := aws.ToString(part.text); value == "" || !text.IsGraphicASCII(value) {
			return Session{}, transport.Garbled("STS answered without a valid %s", part.name)
		}
	}
	expires, isValid := awsclient.Expiry(issued.Expiration, metadata, c.now())
	if !isValid {
		return Session{}, transport.Garbled("STS answered with credentials that have expired, or without an expiration")
	}
	session := Session{Credentials: credentials.Credentials{
		AccessKeyID:     secret.New(*issued.AccessKeyId),
		SecretAccessKey: secret.New(*issued.SecretAccessKey),
		SessionToken:    secret.New(*issued.SessionToken),
		Expires:         expires,
	}}
	return session, session.identify(aws.ToString(user.Arn), "")
}

var arnPattern = regexp.MustCompile(`^arn:[!-~]+$`)

// identify sets whose the credentials are. The ARN is logged and exported, so it must be an ARN. The
// account must be the ARN's.
func (s *Session) identify(arn, account string) error {
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumedRoleUser.html.
	const longest = 2048

	if arn != "" && (len(arn) > longest || !arnPattern.MatchString(arn)) {
		return transport.Garbled("STS answered with a caller ARN that is not an ARN")
	}
	owner := accountOf(arn)
	if account == "" {
		account = owner
	} else if _, err := awsid.ParseAccountID(account); err != nil || (owner != "" && owner != account) {
		return transport.Garbled("STS answered with an account that is not the account of the caller ARN")
	}
	s.CallerARN, s.AccountID = arn, account
	return nil
}

// accountOf returns the account in an ARN, arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE; empty if it has none of AWS's form.
func accountOf(arn string) string {
	parsed, _ := awsarn.Parse(arn) // if arn is not an ARN, the account is empty
	account, _ := awsid.ParseAccountID(parsed.AccountID)
	return account.String()
}
