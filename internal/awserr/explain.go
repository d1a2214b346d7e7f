package awserr

import (
	"cmp"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// Explain explains an [*Error], and returns other errors unchanged. The kind of policy that AWS
// identifies has priority over the table, and the table over what a code means for every service.
func Explain(err error, table []explain.Explanation, call Call) error {
	var returned *Error
	if !errors.As(err, &returned) {
		return err
	}
	x, found := explain.Find(append(table, common(returned.Service)...), returned.Code, returned.Message)
	if d, isDenied := DenialOf(err); isDenied && (d.Policy != "" || d.IsExplicit || !found) {
		x, found = d.explain(call), true
	}
	switch {
	case found:
		x.Said, x.SaidBy = returned.said(cmp.Or(call.Where, returned.Service)), "AWS"
	case returned.StatusCode >= http.StatusInternalServerError:
		x.Do = []string{"Run the build again later, and check https://health.aws.amazon.com."}
	case returned.Code == unknownCode:
		x.Do = []string{
			"Check AWS_ENDPOINT_URL and similar variables, and HTTPS_PROXY, if they are set. The response doesn't look like one from AWS.",
		}
	default:
		x.Do = []string{"Look up the error code in AWS's documentation of " + returned.Service + ". AWS Support can look up the request ID."}
	}
	return &explain.Error{Err: err, Explanation: x}
}

// common explains the codes that mean the same for every service.
// See https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html.
func common(service string) []explain.Explanation {
	return []explain.Explanation{
		{
			Section: "throttled-until-the-timeout", Match: "Throttling|ThrottlingException|RequestLimitExceeded|TooManyRequestsException",
			Cause: service + " was still throttling requests when the Step's timeout expired",
			Means: []string{"AWS limits how often an account can call " + service + ". The limit includes other " +
				"builds and programs in the account."},
			Do: []string{
				"Increase timeout. The Step spreads out its attempts, so more builds succeed with a longer timeout.",
				"Start fewer builds at the same time.",
			},
		},
		{
			Section: "credentials-have-expired", Match: "ExpiredToken|ExpiredTokenException",
			Cause: "the credentials had expired when " + service + " received them",
			Do:    []string{"Increase session_duration, or use a newer temporary access key.", "Check this machine's clock."},
		},
		{
			Section: "signature-of-a-call-rejected", Match: "InvalidSignatureException|SignatureDoesNotMatch",
			Cause: service + " rejected the request's signature, most likely because this machine's clock is wrong",
			Means: []string{"A signature is valid for five minutes."},
			Do:    []string{"Check this machine's clock."},
		},
		{
			Section: "credentials-not-recognized", Match: "InvalidClientTokenId|UnrecognizedClientException|InvalidAccessKeyId",
			Cause: service + " does not recognize the credentials",
			Means: []string{"AWS has just issued them. New credentials can take seconds to propagate; the Step has already waited."},
			Do:    []string{"Run the build again. If it fails again, check that the role still exists and that its sessions weren't revoked."},
		},
	}
}

// Denial is what AWS says about an action that was not allowed. What it doesn't say is empty.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html.
type Denial struct {
	// Action is the action, such as "sts:TagSession". A call can require more actions than its own.
	Action string
	// Policy is the kind of policy that decided, such as "service control policy".
	Policy string
	// IsExplicit reports whether a statement denies the action. If not, no statement allows it.
	IsExplicit bool
}

var (
	actionPattern = regexp.MustCompile(`[Nn]ot authorized to perform:? ([\w-]+:\w+)`)
	// policyPattern matches the last policy in "in a VPC endpoint policy transitively through a service control policy".
	policyPattern = regexp.MustCompile(`(?:because no|explicit deny in (?:an?|the)) (?:.* through an? )?([A-Za-z -]*?(?:policy|boundary))\b`)
)

// DenialOf parses the message of an [*Error]. It reports whether an action was not allowed.
func DenialOf(err error) (d Denial, isDenied bool) {
	var r *Error
	if !errors.As(err, &r) || (r.Code != "AccessDenied" && r.Code != "AccessDeniedException") {
		return Denial{}, false
	}
	if match := actionPattern.FindStringSubmatch(r.Message); match != nil {
		d.Action = match[1]
	}
	if match := policyPattern.FindStringSubmatch(r.Message); match != nil {
		d.Policy = strings.Replace(match[1], "sessions", "session", 1)
	}
	d.IsExplicit = strings.Contains(r.Message, "explicit deny")
	return d, true
}

// Why says why calls require the action if it isn't their own, in one paragraph or none.
func (d Denial) Why() []string {
	switch d.Action {
	case "sts:TagSession":
		return []string{"The session has tags. They come from the identity token, from session_tags, " +
			"or from an earlier session that passes on its tags."}
	case "sts:SetSourceIdentity":
		return []string{"The session has a source identity. It comes from the identity token or from an earlier session."}
	}
	return nil
}

// Call describes a call for the explanation of its error.
type Call struct {
	// Where is shown with what the service returned. By default, it is the service.
	Where string
	// Action is the call's own action, and Resource what it is for. Policy is the policy that must
	// allow it. AWS's message can be about other actions and policies.
	Action, Resource, Policy string
	// Denied is what the caller can't do. By default, it is the action.
	Denied string
}

// explain says which policy must be changed, and who can do that.
func (d Denial) explain(call Call) explain.Explanation {
	action, article, place, admin := cmp.Or(d.Action, call.Action), "a ", call.Policy, ""
	switch strings.ToLower(d.Policy) {
	case "service control policy", "resource control policy":
		place, admin = "its "+d.Policy+". Nothing in the account can override it", "the AWS organization"
	case "permissions boundary":
		place, admin = "the permissions boundary of the caller", "the account"
	case "session policy":
		place = "the session policy, which is set in inline_session_policy or managed_session_policies, or by the issuer of the access key"
	case "vpc endpoint policy":
		place, admin = "the policy of its VPC endpoint", "this machine's network"
	case "identity-based policy":
		article = "an "
	case "role trust policy", "resource-based policy":
		place, admin = "the role's trust policy, and to check its conditions", "the role's account"
	case "":
		if d.IsExplicit {
			place = "the policies of the organization or of a role. AWS doesn't say which policy it is in"
		}
	default:
		place = "the " + d.Policy
	}
	cause, means, do := action+" is not allowed", d.Why(), "allow "+action+" on "+call.Resource
	if d.IsExplicit {
		cause, do = article+cmp.Or(d.Policy, "policy")+" denies "+action, "change the statement that denies "+action
		means = append(means, "A Deny statement overrides every Allow statement, so adding permissions doesn't help.")
	} else if d.Policy != "" {
		cause = "no " + d.Policy + " allows " + action
	}
	do += " in " + place + "."
	if admin != "" {
		do = "ask an administrator of " + admin + " to " + do
	}
	return explain.Explanation{
		Section: "a-policy-does-not-allow-the-action", Cause: cmp.Or(call.Denied, cause), Means: means,
		Do: []string{strings.ToUpper(do[:1]) + do[1:]},
	}
}
