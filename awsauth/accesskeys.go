package awsauth

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// AccessKeys are keys that exist already.
type AccessKeys struct {
	Keys Keys
	// Retry is how the call is tried again if its fault may pass.
	Retry retry.Policy
}

// Session asks STS whose the keys are, which needs no permission, and so shows that they work before anybody relies on
// them. See https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html.
func (a AccessKeys) Session(ctx context.Context, config aws.Config) (Session, error) {
	session := Session{Keys: a.Keys}
	client := sts.NewFromConfig(config, func(o *sts.Options) { o.Credentials = session })
	err := a.Retry.Do(ctx, func(ctx context.Context) error {
		answer, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
		if err != nil {
			return awserr.Shorten("STS", err, a.Keys.AccessKeyID, a.Keys.SecretAccessKey, a.Keys.SessionToken)
		}
		arn, account := aws.ToString(answer.Arn), aws.ToString(answer.Account)
		// The SDK takes an answer that was cut off for an empty one. Who says nothing has verified nothing.
		if arn == "" && account == "" {
			return retry.Passing(errors.New("STS answered without saying whose the key is"), 0)
		}
		session.CallerARN, err = callerARN(arn, a.Keys)
		if session.AccountID = account; err == nil && account == "" {
			session.AccountID = accountOf(session.CallerARN)
		}
		return err
	})
	if err != nil {
		return Session{}, &KeyError{Err: err}
	}
	return session, nil
}
