package awsauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// ErrTokenExpired means that the token expired, or was about to, before it could be exchanged.
var ErrTokenExpired = errors.New("the identity token expired before it could be exchanged")

// Session exchanges the token for the role's credentials. [WebIdentity.Explain] explains errors.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
func (w WebIdentity) Session(ctx context.Context, c *Client, policy retry.Policy) (Session, error) {
	// stillValid is how long a token must be valid for another attempt, which takes less time.
	const stillValid = 15 * time.Second

	input := &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(w.Role.text), RoleSessionName: aws.String(w.SessionName.name),
		WebIdentityToken: aws.String(w.Token.Text.Reveal()), DurationSeconds: w.Settings.seconds(),
		Policy: optional(w.Settings.Policy.document), PolicyArns: w.Settings.managed(),
	}
	var session Session
	isRetry := false
	err := policy.Do(ctx, func(ctx context.Context) error {
		// The first attempt is made with any token, because STS decides whether it is valid.
		if isRetry && !w.Token.Expires.IsZero() && c.now().Add(stillValid).After(w.Token.Expires) {
			return ErrTokenExpired
		}
		isRetry = true
		response, err := c.sts.AssumeRoleWithWebIdentity(ctx, input)
		if err != nil {
			return awserr.From(service, credentials.Credentials{}, err)
		}
		session, err = c.session(response.Credentials, response.AssumedRoleUser, response.ResultMetadata)
		return err
	})
	if err != nil {
		return Session{}, fmt.Errorf("assume role %s: %w", w.Role, err)
	}
	return session, nil
}

// exchange is the action of a call with an identity token.
const exchange = "sts:AssumeRoleWithWebIdentity"

// IsDenied reports whether an error of [WebIdentity.Session] means that a different trust policy would help.
func IsDenied(err error) bool {
	d, isDenied := awserr.DenialOf(err)
	ofRole := []string{"", "role trust policy", "resource-based policy"} // AWS's names of the trust policy
	return isDenied && !d.IsExplicit && slices.Contains(ofRole, d.Policy) && (d.Action == "" || d.Action == exchange)
}

// Explain explains an error of [WebIdentity.Session]. perBuild are values that change with every build.
func (w WebIdentity) Explain(err error, subject Subject, perBuild []string) error {
	err = awserr.Explain(err, w.table(), awserr.Call{
		Action: exchange, Resource: w.Role.text, Policy: "the trust policy of role " + w.Role.name,
	})
	var returned *awserr.Error
	var explained *explain.Error
	if !errors.As(err, &returned) || !errors.As(err, &explained) {
		return err
	}
	ofToken := []string{"InvalidIdentityToken", "ExpiredTokenException", "IDPRejectedClaim", "IDPCommunicationError"}
	if _, isDenial := awserr.DenialOf(err); isDenial || slices.Contains(ofToken, returned.Code) {
		explained.ConditionKeys = ConditionKeys(w.Token)
	}
	if IsDenied(err) {
		w.explainDenial(&explained.Explanation, subject, perBuild)
	}
	return err
}
