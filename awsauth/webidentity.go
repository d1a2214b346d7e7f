package awsauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// WebIdentity is a role to assume with an identity token.
type WebIdentity struct {
	Role        RoleARN
	SessionName SessionName
	Settings    SessionSettings
	// Token returns an identity token. It is called again when the last one has expired, or is about to, before it could be
	// exchanged. If it has no other token, it returns an error.
	Token func(context.Context) (idtoken.Token, error)
	// IsOnlyToken reports that Token has one token only, which is then used until it expires.
	IsOnlyToken bool
	Retry       retry.Policy
	Now         func() time.Time // for the token's expiry
}

// AssumeRoleWithWebIdentity exchanges an identity token for a role's credentials. The call is not signed, and its answer says
// whose the credentials are.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
func (c *Client) AssumeRoleWithWebIdentity(ctx context.Context, w WebIdentity) (Session, error) {
	var session Session
	var token idtoken.Token
	var tokenErr error
	policy := w.Retry
	// The first attempt is made with whatever token there is: STS decides whether it is still valid.
	policy.Prepare = func(ctx context.Context) error {
		if token.Text.IsEmpty() || w.isStale(token) {
			token, tokenErr = w.Token(ctx)
		}
		return tokenErr
	}
	err := policy.Do(ctx, func(ctx context.Context) error {
		answer, err := c.sts.AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
			RoleArn:          aws.String(w.Role.String()),
			RoleSessionName:  aws.String(w.SessionName.String()),
			WebIdentityToken: aws.String(token.Text.Reveal()),
			DurationSeconds:  w.Settings.seconds(),
			Policy:           optional(w.Settings.Policy.document),
			PolicyArns:       w.Settings.managed(),
		})
		if err != nil {
			return awserr.From(service, credentials.Credentials{}, err)
		}
		session, err = newSession(answer.Credentials, answer.AssumedRoleUser, answer.ResultMetadata, w.Now())
		return err
	})
	switch {
	case tokenErr != nil:
		return Session{}, tokenErr
	case err != nil:
		return Session{}, w.explain(err, token)
	default:
		return session, nil
	}
}

// isStale reports whether another token is needed for the next attempt.
func (w WebIdentity) isStale(token idtoken.Token) bool {
	// attempt is about how long a token must still be valid when it is sent.
	const attempt = 15 * time.Second

	if token.Expires.IsZero() {
		return false
	}
	if w.IsOnlyToken {
		return !w.Now().Before(token.Expires)
	}
	return w.Now().Add(attempt).After(token.Expires)
}

// explain explains why the role could not be assumed.
func (w WebIdentity) explain(err error, token idtoken.Token) error {
	values := placeholders(w.Role, w.Settings)
	values["issuer"], values["provider"], values["audience"] = token.Issuer, providerHost(token.Issuer), token.Claim("aud").Value
	err = awserr.Explain(fmt.Errorf("assume role %s: %w", w.Role, err), webIdentityTable(), values)
	var refusal *awserr.Refusal
	var explained *explain.Error
	if errors.As(err, &refusal) && refusal.Code == "AccessDenied" && errors.As(err, &explained) {
		explainDenial(&explained.Explanation, w.Role, token)
	}
	return err
}
