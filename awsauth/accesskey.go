package awsauth

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// VerifyAccessKey asks STS who owns an access key, which may be temporary. The policy determines how transient failures are retried. The
// call needs no permission, and shows that the key works before anything relies on it.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html.
func (c *Client) VerifyAccessKey(ctx context.Context, key credentials.Credentials, policy retry.Policy) (Session, error) {
	session := Session{Credentials: key}
	err := policy.Do(ctx, func(ctx context.Context) error {
		answer, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, as(key))
		if err != nil {
			return awserr.From(service, key, err)
		}
		arn, account := aws.ToString(answer.Arn), aws.ToString(answer.Account)
		// The SDK takes an answer that was cut off for an empty one.
		if arn == "" && account == "" {
			return transport.Garbled("STS did not say whose the access key is")
		}
		return session.identify(arn, account)
	})
	if err != nil {
		return Session{}, awserr.Explain(fmt.Errorf("verify the access key: %w", err), accessKeyTable(), nil)
	}
	return session, nil
}
