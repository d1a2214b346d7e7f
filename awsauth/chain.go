package awsauth

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// Chain is roles that are assumed one after another, each with the credentials of the one before.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining.
type Chain struct {
	// Roles are the roles to assume, in this order.
	Roles []RoleARN
	// SessionName names every session.
	SessionName SessionName
	// ExternalID and Tags go with every hop.
	ExternalID ExternalID
	Tags       []Tag
	// Settings shape the last role's session.
	Settings SessionSettings
	// Retry is how a call is tried again if its fault may pass.
	Retry retry.Policy
	// Assumed is told of every session; nil: nobody is.
	Assumed func(hop int, session Session)
}

// Session walks the chain from credentials that work, and returns the last role's session. All hops share config's
// connections.
func (c Chain) Session(ctx context.Context, config aws.Config, from Session) (Session, error) {
	session := from
	for i, role := range c.Roles {
		next, err := c.hop(ctx, config, session, role, i == len(c.Roles)-1)
		if err != nil {
			return Session{}, &HopError{Hop: i + 1, Hops: len(c.Roles), Caller: session.CallerARN, Role: role, ExternalID: c.ExternalID.text != "", Tags: len(c.Tags) > 0, Settings: c.Settings, Err: err}
		}
		session = next
		if c.Assumed != nil {
			c.Assumed(i+1, session)
		}
	}
	return session, nil
}

func (c Chain) hop(ctx context.Context, config aws.Config, caller Session, role RoleARN, last bool) (Session, error) {
	input := &sts.AssumeRoleInput{RoleArn: aws.String(role.text), RoleSessionName: aws.String(c.SessionName.name)}
	if c.ExternalID.text != "" {
		input.ExternalId = aws.String(c.ExternalID.text)
	}
	for _, tag := range c.Tags {
		input.Tags = append(input.Tags, types.Tag{Key: aws.String(tag.key), Value: aws.String(tag.value)})
	}
	if last {
		input.DurationSeconds, input.Policy, input.PolicyArns = c.Settings.seconds(), c.Settings.policy(), c.Settings.managed()
	}
	client := sts.NewFromConfig(config, func(o *sts.Options) { o.Credentials = caller })
	var session Session
	fresh := awserr.Fresh{Credentials: !caller.Expires.IsZero()} // a session that STS has handed out a moment ago
	err := c.Retry.Do(ctx, func(ctx context.Context) error {
		answer, err := client.AssumeRole(ctx, input)
		if err != nil {
			return fresh.Mark(awserr.Shorten("STS", err, caller.SecretAccessKey, caller.SessionToken))
		}
		session, err = newSession(answer.Credentials, answer.AssumedRoleUser)
		return err
	})
	return session, err
}

// HopError is a role of a chain that could not be assumed.
type HopError struct {
	// Hop is its place in the chain of Hops roles, from 1.
	Hop, Hops int
	// Caller is who asked.
	Caller string
	Role   RoleARN
	// ExternalID and Tags tell whether they were sent.
	ExternalID, Tags bool
	// Settings are those of the last hop.
	Settings SessionSettings
	Err      error
}

// Error says which hop, who asked, for which role, and why not.
func (e *HopError) Error() string {
	return fmt.Sprintf("role_chain, hop %d of %d, %s asking for %s: %s", e.Hop, e.Hops, e.Caller, e.Role, e.Err)
}

// Unwrap returns the cause.
func (e *HopError) Unwrap() error { return e.Err }

// Explain tells what STS's refusal means.
func (e *HopError) Explain() (explain.Explanation, bool) {
	x, found := explained(e.Err, e.meaning)
	if found {
		x.Means = append([]string{fmt.Sprintf("Hop %d of %d of role_chain: %s asked for %s.", e.Hop, e.Hops, e.Caller, e.Role)}, x.Means...)
	}
	return x, found
}

func (e *HopError) meaning(refusal *awserr.Refusal) explain.Explanation {
	switch refusal.Code {
	case "AccessDenied":
		return e.accessDenied(refusal.Message)
	case "ValidationError":
		return validation(e.Role, e.Settings, refusal.Message)
	case "RegionDisabledException":
		return regionDisabled(e.Role)
	case "InvalidClientTokenId", "UnrecognizedClientException":
		return explain.Explanation{
			Cause: "STS does not know the credentials of the hop before",
			Means: []string{"They were good a moment ago, and new ones can take seconds to be known everywhere; the Step has waited for that."},
			Do:    []string{"Run the build again. If it stays so, check that the role of the hop before was not deleted or its sessions revoked."},
		}
	case "ExpiredToken", "ExpiredTokenException":
		return explain.Explanation{Cause: "the credentials of the hop before have expired", Do: []string{"Give role_chain fewer hops, or give the session before a longer duration."}}
	default:
		return common(refusal)
	}
}

func (e *HopError) accessDenied(message string) explain.Explanation {
	x := explain.Explanation{
		Cause: fmt.Sprintf("hop %d of role_chain: the caller may not assume role %s", e.Hop, e.Role.name),
		Means: []string{"Both sides have to allow it: the caller's policies, and the trust policy of the role. Within one account the trust policy alone can do. AWS does not say which of them it was, nor whether the role is there at all."},
		Do: []string{
			fmt.Sprintf("Check that the trust policy of %s has a statement with the action sts:AssumeRole whose principal is the caller's role or user, or its account.", e.Role),
			fmt.Sprintf("Check that the caller's policies allow sts:AssumeRole on %s.", e.Role),
		},
	}
	if strings.Contains(message, "explicit deny") || strings.Contains(message, "because no ") {
		x.Means = []string{"AWS said above which kind of policy it was. Both sides have to allow it, the caller's policies and the trust policy of the role, and nothing may deny it."}
	}
	if strings.Contains(message, "sts:TagSession") || e.Tags {
		x.Do = append(x.Do, "session_tags are sent: both sides have to allow sts:TagSession too, and conditions on aws:RequestTag have to hold.")
	}
	if e.ExternalID {
		x.Do = append(x.Do, "external_id is sent: a condition on sts:ExternalId has to name the same one, to the letter.")
	} else {
		x.Do = append(x.Do, "If the trust policy has a condition on sts:ExternalId, set external_id to what it names.")
	}
	return x
}
