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
	place := fmt.Sprintf("role %d of %d in role_chain", r.Hop, r.Hops)
	err = fmt.Errorf("%s, %s assumes %s: %w", place, r.Caller.CallerARN, r.Role, err)
	denial, values := awserr.DenialOf(err), placeholders(r.Role, r.Settings)
	values["action"], values["resource"] = "sts:AssumeRole", r.Role.text
	values["caller"] = nameOf(r.Caller.CallerARN)
	values["denied"] = values["caller"] + " may not assume " + r.Role.name
	why := companion(denial.Action)
	if why != "" && denial.Policy == "" {
		values["denied"] += ": " + denial.Action + " is not allowed"
	}
	err = awserr.Explain(err, r.table(), values)
	var explained *explain.Error
	if errors.As(err, &explained) && explained.Cause != "" {
		explained.Cause = place + ": " + explained.Cause
		switch {
		case why != "":
			explained.Means = append(explained.Means, why)
		case !denial.IsExplicit && denial.IsOfRole() && (denial.Policy != "" || explained.Section == nextRole):
			explained.Do = append(explained.Do, r.conditions()...)
		}
	}
	return err
}

// conditions returns what to check about conditions of the role's trust policy.
func (r AssumedRole) conditions() []string {
	advice := []string{"If the trust policy has a condition on sts:ExternalId, set external_id to its value."}
	if r.ExternalID.text != "" {
		advice[0] = "external_id is sent: a condition on sts:ExternalId must name exactly this value."
	}
	if len(r.Tags) > 0 {
		advice = append(advice, "session_tags are sent: both sides must also allow sts:TagSession, and conditions on aws:RequestTag must be met.")
	}
	return advice
}
