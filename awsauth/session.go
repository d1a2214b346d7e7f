// Package awsauth gets AWS credentials, a web identity's from STS or access keys that exist already, and who they are.
//
// [WebIdentity] and [AccessKeys] both end in a [Session], which is credentials that were shown to work, and to whom they
// belong; a [Chain] goes from there to other roles. [NewConfig] makes the SDK's configuration that the calls are sent with,
// from nothing but what it is given.
//
// The package may import AWS's SDK and internal packages. It knows neither where an identity token comes from (it takes a
// function that yields one), nor the Step's inputs, nor what becomes of the credentials.
package awsauth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Keys are an AWS access key and, for temporary ones, the session token that belongs to it. The key's ID is kept as a
// secret too: it opens nothing by itself, but it names one whose other half is looked for.
type Keys struct {
	AccessKeyID, SecretAccessKey, SessionToken secret.Text
}

// Session is credentials and who they are. It is an aws.CredentialsProvider.
type Session struct {
	Keys
	// Expires is when the credentials end; zero for long-lived keys.
	Expires time.Time
	// CallerARN is who the credentials are, as sts:GetCallerIdentity says it; STS-compatible services may leave it empty.
	CallerARN string
	// AccountID is the account that the credentials belong to, 12 digits; STS-compatible services may leave it empty.
	AccountID string
}

// Retrieve gives the credentials to the SDK.
func (s Session) Retrieve(context.Context) (aws.Credentials, error) {
	return aws.Credentials{
		AccessKeyID:     s.AccessKeyID.Reveal(),
		SecretAccessKey: s.SecretAccessKey.Reveal(),
		SessionToken:    s.SessionToken.Reveal(),
		Source:          "Authenticate with AWS",
		CanExpire:       !s.Expires.IsZero(),
		Expires:         s.Expires,
		AccountID:       s.AccountID,
	}, nil
}

// newSession makes a session of what STS answers to the calls that assume a role. An answer that lacks what it has to
// have came from something in between, or was cut, which may pass.
func newSession(credentials *types.Credentials, user *types.AssumedRoleUser) (Session, error) {
	if credentials == nil || aws.ToString(credentials.AccessKeyId) == "" || aws.ToString(credentials.SecretAccessKey) == "" ||
		aws.ToString(credentials.SessionToken) == "" {
		return Session{}, retry.Passing(errors.New("STS answered without credentials"), 0)
	}
	if credentials.Expiration == nil {
		return Session{}, retry.Passing(errors.New("STS answered credentials without an expiration"), 0)
	}
	session := Session{
		Keys: Keys{
			AccessKeyID:     secret.New(*credentials.AccessKeyId),
			SecretAccessKey: secret.New(*credentials.SecretAccessKey),
			SessionToken:    secret.New(*credentials.SessionToken),
		},
		Expires: *credentials.Expiration,
	}
	if user != nil {
		arn, err := callerARN(aws.ToString(user.Arn), session.Keys)
		if err != nil {
			return Session{}, err
		}
		session.CallerARN, session.AccountID = arn, accountOf(arn)
	}
	return session, nil
}

// callerARN takes the ARN that STS gives the caller; STS-compatible services may give none. It is shown and exported, so it
// has to be an ARN and nothing else, least of all one of the secrets beside it.
func callerARN(text string, keys Keys) (string, error) {
	if text == "" {
		return "", nil
	}
	const longest = 2048 // as https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumedRoleUser.html has it

	if len(text) > longest || !regexp.MustCompile(`^arn:[!-~]+$`).MatchString(text) || secret.Scrub(text, keys.SecretAccessKey, keys.SessionToken) != text {
		return "", retry.Passing(errors.New("STS answered a caller that is no ARN"), 0)
	}
	return text, nil
}

// accountOf takes the account out of an ARN, arn:partition:service:region:account:resource; empty if there is none.
func accountOf(arn string) string {
	const account, fields = 4, 6
	if parts := strings.SplitN(arn, ":", fields); len(parts) == fields {
		return parts[account]
	}
	return ""
}

// String says whose session it is.
func (s Session) String() string { return fmt.Sprintf("session of %s", s.CallerARN) }
