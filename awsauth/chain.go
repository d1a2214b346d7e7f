package awsauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// Chain is a list of roles to assume in sequence, each with the credentials of the one before.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining.
type Chain struct {
	Roles []RoleARN
	// SessionName, ExternalID, and Tags are sent with every role.
	SessionName SessionName
	ExternalID  ExternalID
	Tags        []Tag
	// Settings shape the last role's session.
	Settings SessionSettings
	Retry    retry.Policy
	Now      func() time.Time // for the sessions' expiry
	// Assumed is called after every hop, which counts from 1.
	Assumed func(hop int, session Session)
}

// AssumeRoles assumes the roles of a chain, starting from working credentials, and returns the last role's session.
func (c *Client) AssumeRoles(ctx context.Context, chain Chain, from Session) (Session, error) {
	session := from
	for i, role := range chain.Roles {
		next, err := c.assumeRole(ctx, chain, i, session)
		if err != nil {
			return Session{}, chain.explain(err, i+1, session.CallerARN, role)
		}
		session = next
		chain.Assumed(i+1, session)
	}
	return session, nil
}

func (c *Client) assumeRole(ctx context.Context, chain Chain, i int, caller Session) (Session, error) {
	input := &sts.AssumeRoleInput{
		RoleArn: aws.String(chain.Roles[i].text), RoleSessionName: aws.String(chain.SessionName.name),
		ExternalId: optional(chain.ExternalID.text),
	}
	for _, tag := range chain.Tags {
		input.Tags = append(input.Tags, types.Tag{Key: aws.String(tag.key), Value: aws.String(tag.value)})
	}
	if i == len(chain.Roles)-1 {
		input.DurationSeconds, input.PolicyArns = chain.Settings.seconds(), chain.Settings.managed()
		input.Policy = optional(chain.Settings.Policy.document)
	}
	var session Session
	err := chain.Retry.Do(ctx, func(ctx context.Context) error {
		answer, err := c.sts.AssumeRole(ctx, input, as(caller.Credentials))
		if err != nil {
			return awserr.From(service, caller.Credentials, err)
		}
		session, err = newSession(answer.Credentials, answer.AssumedRoleUser, answer.ResultMetadata, chain.Now())
		return err
	})
	return session, err
}

// explain explains why a hop failed.
func (chain Chain) explain(err error, hop int, caller string, role RoleARN) error {
	err = fmt.Errorf("role_chain, hop %d of %d, %s assumes %s: %w", hop, len(chain.Roles), caller, role, err)
	values := placeholders(role, chain.Settings)
	values["hop"] = fmt.Sprint(hop)
	err = awserr.Explain(err, chainTable(), values)
	var refusal *awserr.Refusal
	var explained *explain.Error
	if !errors.As(err, &refusal) || !errors.As(err, &explained) {
		return err
	}
	if explained.Said != "" {
		which := fmt.Sprintf("Hop %d of %d of role_chain: %s assumes %s.", hop, len(chain.Roles), caller, role)
		explained.Means = append([]string{which}, explained.Means...)
	}
	if refusal.Code == "AccessDenied" {
		if len(chain.Tags) > 0 && !strings.Contains(refusal.Message, "sts:TagSession") {
			explained.Do = append(explained.Do, tagSessionAdvice)
		}
		if chain.ExternalID.text != "" {
			explained.Do = append(explained.Do, "external_id is sent: a condition on sts:ExternalId must name exactly this value.")
		} else {
			explained.Do = append(explained.Do, "If the trust policy has a condition on sts:ExternalId, set external_id to its value.")
		}
	}
	return err
}
