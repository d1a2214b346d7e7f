package awsauth

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// freshness is how long an identity token has to live yet when it is sent: about what one attempt may take.
const freshness = 15 * time.Second

// IdentityToken is an OpenID Connect token for STS.
type IdentityToken struct {
	Text secret.Text
	// Expires is when it ends, by this machine's clock; zero if that is not known.
	Expires time.Time
	// Single tells that there is no other one to be had.
	Single bool
	// Issuer and Claims are what it says, for the explanation of a refusal. The claims are those that a trust policy can
	// test, in the order in which they are to be shown.
	Issuer string
	Claims []Claim
}

// Claim is a claim of an identity token.
type Claim struct {
	Name, Text string
	// List tells whether the claim is a list; Text then joins its items with commas.
	List bool
	// Altered tells whether Text is not quite what the claim says, because that does not fit a log.
	Altered bool
}

// WebIdentity is a role that is assumed with an identity token.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
type WebIdentity struct {
	// Role is the role to assume.
	Role RoleARN
	// SessionName names the session.
	SessionName SessionName
	// Settings shape the session.
	Settings SessionSettings
	// Token yields an identity token. It is called again when the last one has ended before it was exchanged, or, if another
	// can be had, is about to; it may then return an error.
	Token func(context.Context) (IdentityToken, error)
	// Retry is how the call is tried again if its fault may pass.
	Retry retry.Policy
	// Now tells the time, for the token's expiry.
	Now func() time.Time
}

// Session exchanges a token for a session's credentials. The call is not signed: config's credentials, if it has any, are
// not asked for. Whose the session is comes from the same answer.
func (w WebIdentity) Session(ctx context.Context, config aws.Config) (Session, error) {
	client := sts.NewFromConfig(config, func(o *sts.Options) { o.Credentials = aws.AnonymousCredentials{} })
	var token IdentityToken
	var session Session
	var tokenErr error
	policy := w.Retry
	// The first attempt is made with whatever token there is: whether one that is about to end still counts is for STS to
	// say, and another one would end as soon.
	policy.Prepare = func(ctx context.Context) error {
		if token.Text.IsEmpty() || w.stale(token) {
			token, tokenErr = w.Token(ctx)
		}
		return tokenErr
	}
	err := policy.Do(ctx, func(ctx context.Context) (err error) {
		session, err = w.exchange(ctx, client, token)
		return err
	})
	switch {
	case tokenErr != nil:
		return Session{}, tokenErr
	case err != nil:
		return Session{}, &RoleError{Role: w.Role, Token: token, Settings: w.Settings, Err: err}
	default:
		return session, nil
	}
}

// stale tells whether a token is not to be sent again.
func (w WebIdentity) stale(token IdentityToken) bool {
	if token.Expires.IsZero() {
		return false
	}
	if token.Single {
		return !w.Now().Before(token.Expires)
	}
	return w.Now().Add(freshness).After(token.Expires)
}

// exchange makes one attempt.
func (w WebIdentity) exchange(ctx context.Context, client *sts.Client, token IdentityToken) (Session, error) {
	answer, err := client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn:          aws.String(w.Role.String()),
		RoleSessionName:  aws.String(w.SessionName.String()),
		WebIdentityToken: aws.String(token.Text.Reveal()),
		DurationSeconds:  w.Settings.seconds(),
		Policy:           w.Settings.policy(),
		PolicyArns:       w.Settings.managed(),
	})
	if err != nil {
		return Session{}, awserr.Shorten("STS", err, token.Text)
	}
	return newSession(answer.Credentials, answer.AssumedRoleUser)
}
