package awsauth

import (
	"cmp"
	"strings"

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

// Session holds credentials and the identity they belong to.
type Session struct {
	credentials.Credentials
	// CallerARN is the ARN that sts:GetCallerIdentity returns for the credentials. It can be empty with STS-compatible services.
	CallerARN string
	// AccountID is the account of the credentials. It can be empty with STS-compatible services.
	AccountID string
}

// session validates the response to a call that assumes a role. An invalid one is a transient
// error, because it was most likely changed on the way.
func (c *Client) session(issued *types.Credentials, user *types.AssumedRoleUser, metadata middleware.Metadata) (Session, error) {
	issued, user = cmp.Or(issued, &types.Credentials{}), cmp.Or(user, &types.AssumedRoleUser{})
	for _, part := range []*string{issued.AccessKeyId, issued.SecretAccessKey, issued.SessionToken} {
		if value := aws.ToString(part); value == "" || !text.IsGraphicASCII(value) {
			return Session{}, transport.Garbled("STS returned no valid credentials")
		}
	}
	expires, isValid := awsclient.Expiry(issued.Expiration, metadata, c.now())
	if !isValid {
		return Session{}, transport.Garbled("STS returned credentials that have expired or have no expiration")
	}
	session := Session{Credentials: credentials.Credentials{
		AccessKeyID:     secret.New(*issued.AccessKeyId),
		SecretAccessKey: secret.New(*issued.SecretAccessKey),
		SessionToken:    secret.New(*issued.SessionToken),
		Expires:         expires,
	}}
	return session, session.identify(aws.ToString(user.Arn))
}

// identify sets the caller's ARN, which is logged and exported, and the account if it has 12 digits.
func (s *Session) identify(arn string) error {
	if arn != "" && (!strings.HasPrefix(arn, "arn:") || arn == "arn:" || !text.IsGraphicASCII(arn)) {
		return transport.Garbled("STS returned a caller ARN that is not an ARN")
	}
	parsed, _ := awsarn.Parse(arn) // an invalid ARN has no account
	account, _ := awsid.ParseAccountID(parsed.AccountID)
	s.CallerARN, s.AccountID = arn, account.String()
	return nil
}

// nameOf returns the name of a role or user in an ARN.
func nameOf(arn string) string {
	parts := strings.Split(arn, "/")
	if strings.HasSuffix(parts[0], ":assumed-role") && len(parts) > 1 {
		return parts[1] // the rest is the session's name
	}
	return cmp.Or(parts[len(parts)-1], "the caller")
}
