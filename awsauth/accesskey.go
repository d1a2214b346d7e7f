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

// AccessKey is an access key that exists already. It may be temporary.
type AccessKey credentials.Credentials

// Session asks STS who owns the access key. The call needs no permission, and shows that the key works
// before anything relies on it.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html.
func (k AccessKey) Session(ctx context.Context, c *Client, policy retry.Policy) (Session, error) {
	session := Session{Credentials: credentials.Credentials(k)}
	err := policy.Do(ctx, func(ctx context.Context) error {
		response, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, as(session.Credentials))
		if err != nil {
			return awserr.From(service, session.Credentials, err)
		}
		arn, account := aws.ToString(response.Arn), aws.ToString(response.Account)
		// The SDK takes a response that was cut off for an empty one.
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
