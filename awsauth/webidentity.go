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

// WebIdentity is a role that is assumed with an identity token.
type WebIdentity struct {
	Role        RoleARN
	SessionName SessionName
	Settings    SessionSettings
	Token       idtoken.Token
}

// ErrTokenExpired means that the token expired, or is about to, before it could be exchanged.
var ErrTokenExpired = errors.New("the identity token expired before it could be exchanged")

// Session exchanges the token for the role's credentials. The call is not signed.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
func (w WebIdentity) Session(ctx context.Context, c *Client, policy retry.Policy) (Session, error) {
	// stillValid is how long a token must be valid to be sent again: longer than an attempt may take.
	const stillValid = 15 * time.Second

	input := &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(w.Role.text), RoleSessionName: aws.String(w.SessionName.name),
		WebIdentityToken: aws.String(w.Token.Text.Reveal()), DurationSeconds: w.Settings.seconds(),
		Policy: optional(w.Settings.Policy.document), PolicyArns: w.Settings.managed(),
	}
	var session Session
	isRetry := false
	err := policy.Do(ctx, func(ctx context.Context) error {
		// The first attempt is made with any token: STS decides whether it is still valid.
		if isRetry && !w.Token.Expires.IsZero() && c.now().Add(stillValid).After(w.Token.Expires) {
			return ErrTokenExpired
		}
		isRetry = true
		response, err := c.sts.AssumeRoleWithWebIdentity(ctx, input)
		if err != nil {
			return awserr.From(service, credentials.Credentials{}, err)
		}
		session, err = c.newSession(response.Credentials, response.AssumedRoleUser, response.ResultMetadata)
		return err
	})
	if err != nil {
		return Session{}, w.explain(err)
	}
	return session, nil
}

// explain explains why the role could not be assumed.
func (w WebIdentity) explain(err error) error {
	values := placeholders(w.Role, w.Settings)
	values["issuer"], values["provider"] = w.Token.Issuer, providerHost(w.Token.Issuer)
	values["audience"] = w.Token.Claim("aud").Value
	err = awserr.Explain(fmt.Errorf("assume role %s: %w", w.Role, err), webIdentityTable(), values)
	var refusal *awserr.Refusal
	var explained *explain.Error
	if errors.As(err, &refusal) && refusal.Code == "AccessDenied" && errors.As(err, &explained) {
		explainDenial(&explained.Explanation, w.Role, w.Token)
	}
	return err
}
