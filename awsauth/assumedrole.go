package awsauth

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// AssumedRole is a role of a role chain. It is assumed with the credentials of an earlier session.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining.
type AssumedRole struct {
	Role        RoleARN
	SessionName SessionName
	ExternalID  ExternalID
	Tags        []Tag
	Settings    SessionSettings
	// Hop is the role's position in a chain of Hops roles, starting at 1.
	Hop, Hops int
	// Caller is the session that assumes the role.
	Caller Session
}

// Session assumes the role.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
func (r AssumedRole) Session(ctx context.Context, c *Client, policy retry.Policy) (Session, error) {
	input := &sts.AssumeRoleInput{
		RoleArn: aws.String(r.Role.text), RoleSessionName: aws.String(r.SessionName.name),
		ExternalId: optional(r.ExternalID.text), DurationSeconds: r.Settings.seconds(),
		Policy: optional(r.Settings.Policy.document), PolicyArns: r.Settings.managed(),
	}
	for _, tag := range r.Tags {
		input.Tags = append(input.Tags, types.Tag{Key: aws.String(tag.key), Value: aws.String(tag.value)})
	}
	var session Session
	err := policy.Do(ctx, func(ctx context.Context) error {
		response, err := c.sts.AssumeRole(ctx, input, as(r.Caller.Credentials))
		if err != nil {
			return awserr.From(service, r.Caller.Credentials, err)
		}
		session, err = c.session(response.Credentials, response.AssumedRoleUser, response.ResultMetadata)
		return err
	})
	if err != nil {
		return Session{}, r.explain(err)
	}
	return session, nil
}
