package awsauth

import (
	"context"
	"errors"
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
	// Token yields an identity token. It is called again when the last one has ended, or is about to, before it was
	// exchanged; it may then return an error.
	Token func(context.Context) (IdentityToken, error)
	// Retry is how the call is tried again if its fault may pass.
	Retry retry.Policy
	// Now tells the time, for the token's expiry.
	Now func() time.Time
}

// errStale ends the attempts with a token that would not outlive the next one.
var errStale = errors.New("the identity token has expired")

// Session exchanges the token for a session's credentials. The call is not signed: config's credentials, if it has any,
// are not asked for. Whose the session is comes from the same answer.
func (w WebIdentity) Session(ctx context.Context, config aws.Config) (Session, error) {
	client := sts.NewFromConfig(config, func(o *sts.Options) { o.Credentials = aws.AnonymousCredentials{} })
	for {
		token, err := w.Token(ctx)
		if err != nil {
			return Session{}, err
		}
		session, err := w.exchange(ctx, client, token)
		if errors.Is(err, errStale) {
			continue
		}
		if err != nil {
			return Session{}, &RoleError{Role: w.Role, Token: token, Settings: w.Settings, Err: err}
		}
		return session, nil
	}
}

// exchange tries with one token for as long as that lives. The first attempt is made in any case: whether a token that is
// about to end still counts is for STS to say, and one that ends so soon would be followed by another of its kind.
func (w WebIdentity) exchange(ctx context.Context, client *sts.Client, token IdentityToken) (Session, error) {
	var session Session
	first := true
	err := w.Retry.Do(ctx, func(ctx context.Context) error {
		if !first && !token.Expires.IsZero() && w.Now().Add(freshness).After(token.Expires) {
			return errStale
		}
		first = false
		answer, err := client.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn:          aws.String(w.Role.String()),
			RoleSessionName:  aws.String(w.SessionName.String()),
			WebIdentityToken: aws.String(token.Text.Reveal()),
			DurationSeconds:  w.Settings.seconds(),
			Policy:           w.Settings.policy(),
			PolicyArns:       w.Settings.managed(),
		})
		if err != nil {
			return awserr.Shorten("STS", err, token.Text)
		}
		session, err = newSession(answer.Credentials, answer.AssumedRoleUser)
		return err
	})
	return session, err
}
