package awsauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// AssumedRole is a role that is assumed with a session's credentials: one hop of a role chain.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining.
type AssumedRole struct {
	Role        RoleARN
	SessionName SessionName
	ExternalID  ExternalID
	Tags        []Tag
	Settings    SessionSettings
	// Hop is the role's place in a chain of Hops roles, from 1. Errors say it.
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
		session, err = c.newSession(response.Credentials, response.AssumedRoleUser, response.ResultMetadata)
		return err
	})
	if err != nil {
		return Session{}, r.explain(err)
	}
	return session, nil
}

// explain explains why the role could not be assumed.
func (r AssumedRole) explain(err error) error {
	deed := fmt.Sprintf("%s assumes %s", r.Caller.CallerARN, r.Role)
	err = fmt.Errorf("role_chain, hop %d of %d, %s: %w", r.Hop, r.Hops, deed, err)
	values := placeholders(r.Role, r.Settings)
	values["hop"] = fmt.Sprint(r.Hop)
	err = awserr.Explain(err, r.table(), values)
	var explained *explain.Error
	if errors.As(err, &explained) && explained.Said != "" {
		which := fmt.Sprintf("Hop %d of %d of role_chain: %s.", r.Hop, r.Hops, deed)
		explained.Means = append([]string{which}, explained.Means...)
	}
	return err
}
