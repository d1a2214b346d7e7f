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

// AccessKey is an existing access key. It may be temporary.
type AccessKey credentials.Credentials

// Session looks up the owner of the access key, and so verifies the key. It needs no permissions.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html.
func (k AccessKey) Session(ctx context.Context, c *Client, policy retry.Policy) (Session, error) {
	session := Session{Credentials: credentials.Credentials(k)}
	err := policy.Do(ctx, func(ctx context.Context) error {
		response, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}, as(session.Credentials))
		if err != nil {
			return awserr.From(service, session.Credentials, err)
		}
		arn := aws.ToString(response.Arn)
		if arn == "" { // The SDK treats a truncated response like an empty one.
			return transport.Garbled("STS did not return the owner of the access key")
		}
		return session.identify(arn)
	})
	if err != nil {
		return Session{}, awserr.Explain(fmt.Errorf("verify the access key: %w", err), accessKeyTable(), awserr.Call{})
	}
	return session, nil
}
