package awsauth

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsarn "github.com/aws/aws-sdk-go-v2/aws/arn"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// Session is credentials and whose they are.
type Session struct {
	credentials.Credentials
	// CallerARN is the ARN that sts:GetCallerIdentity returns for the credentials; STS-compatible services may leave it empty.
	CallerARN string
	// AccountID is the account of the credentials, 12 digits; STS-compatible services may leave it empty.
	AccountID string
}

// newSession checks what STS answers to a call that assumes a role. An answer that is not what STS would send was garbled on the
// way, so another attempt may succeed.
func newSession(c *types.Credentials, user *types.AssumedRoleUser, metadata middleware.Metadata, now time.Time) (Session, error) {
	if c == nil {
		c = &types.Credentials{}
	}
	for _, part := range []struct {
		name string
		text *string
	}{{"access key ID", c.AccessKeyId}, {"secret access key", c.SecretAccessKey}, {"session token", c.SessionToken}} {
		if value := aws.ToString(part.text); value == "" || !text.IsGraphicASCII(value) {
			return Session{}, retry.Transient(fmt.Errorf("STS answered without a valid %s", part.name), 0)
		}
	}
	// By the service's own clock where it says the time, because this machine's may be wrong.
	if date, ok := awsmiddleware.GetServerTime(metadata); ok {
		now = date
	}
	if c.Expiration == nil || !c.Expiration.After(now) {
		return Session{}, retry.Transient(errors.New("STS answered with credentials that have expired, or without an expiration"), 0)
	}
	session := Session{Credentials: credentials.Credentials{
		AccessKeyID:     secret.New(*c.AccessKeyId),
		SecretAccessKey: secret.New(*c.SecretAccessKey),
		SessionToken:    secret.New(*c.SessionToken),
		Expires:         *c.Expiration,
	}}
	var arn string
	if user != nil {
		arn = aws.ToString(user.Arn)
	}
	return session, session.identify(arn, "")
}

var arnPattern = regexp.MustCompile(`^arn:[!-~]+$`)

// identify sets whose the credentials are. The ARN is logged and exported, so it must be an ARN. The account must be the ARN's.
func (s *Session) identify(arn, account string) error {
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumedRoleUser.html.
	const longest = 2048

	if arn != "" && (len(arn) > longest || !arnPattern.MatchString(arn)) {
		return retry.Transient(errors.New("STS answered with a caller ARN that is not an ARN"), 0)
	}
	owner := accountOf(arn)
	if account == "" {
		account = owner
	} else if _, err := awsid.ParseAccountID(account); err != nil || (owner != "" && owner != account) {
		return retry.Transient(errors.New("STS answered with an account that is not the account of the caller ARN"), 0)
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
