package awserr

import (
	"cmp"
	"errors"
	"regexp"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// Denial is what AWS's message says about an action that was not allowed. Parts that the message doesn't have are empty.
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

// DenialOf parses the message of an [*Error]. For other errors, it returns the zero value.
func DenialOf(err error) Denial {
	var r *Error
	if !errors.As(err, &r) {
		return Denial{}
	}
	d := Denial{IsExplicit: strings.Contains(r.Message, "explicit deny")}
	if match := actionPattern.FindStringSubmatch(r.Message); match != nil {
		d.Action = match[1]
	}
	if match := policyPattern.FindStringSubmatch(r.Message); match != nil {
		d.Policy = strings.Replace(match[1], "sessions", "session", 1)
	}
	return d
}

// IsOfRole reports whether the role's trust policy decided, or may have. AWS calls it a role trust policy or a resource-based policy.
func (d Denial) IsOfRole() bool {
	return d.Policy == "" || d.Policy == "role trust policy" || d.Policy == "resource-based policy"
}

// reason summarizes the denial in one line.
func (d Denial) reason(action string) string {
	switch {
	case d.IsExplicit && strings.HasPrefix(d.Policy, "identity"):
		return "an " + d.Policy + " denies " + action
	case d.IsExplicit:
		return "a " + cmp.Or(d.Policy, "policy") + " denies " + action
	case d.Policy != "":
		return "no " + d.Policy + " allows " + action
	default:
		return action + " is not allowed"
	}
}

// denials explains denials in which AWS identifies the kind of policy, for every service. Callers of [Explain] provide {action} (used if
// AWS doesn't return it), {resource}, {caller}, {place} (the policy that most likely must allow the action), and, optionally, {denied}
// (what the caller can't do) and {why} (why the call requires the action).
func denials() explain.Table {
	const organization = "Ask an administrator of the AWS organization to {change} in its {policy}. Nothing in the account can override it."
	const trust = "Ask an administrator of the role's account to {change} in the role's trust policy, and to check its conditions."
	const session = "{Change} in the session policy, which is set in inline_session_policy or managed_session_policies, or by the " +
		"issuer of the access key."
	return explain.Table{
		denial("service control policy", organization),
		denial("resource control policy", organization),
		denial("permissions boundary", "Ask an administrator of the account to {change} in the permissions boundary of {caller}."),
		denial("session policy", session),
		denial("sessions policy", session),
		denial("vpc endpoint policy", "Ask an administrator of this machine's network to {change} in the policy of its VPC endpoint."),
		denial("identity-based policy", "{Change} in the policies of {caller}."),
		denial("role trust policy", trust),
		denial("resource-based policy", trust),
		denial("explicit deny", "{Change}. AWS doesn't say which policy it is in: check the policies of the organization and of each role."),
	}
}

// denial returns a row of [denials].
func denial(message, do string) explain.Row {
	return explain.Row{
		Section: "a-policy-does-not-allow-the-action", Codes: []string{"AccessDenied", "AccessDeniedException"}, Message: message,
		Cause: "{denied}", Means: []string{"{effect}", "{why}"}, Do: []string{do},
	}
}

// fill sets the values of the placeholders of [denials].
func (d Denial) fill(values map[string]string) {
	action := cmp.Or(d.Action, values["action"])
	values["action"], values["policy"] = action, d.Policy
	change := "allow " + action + " on " + values["resource"]
	if d.IsExplicit {
		change = "change the statement that denies " + action
		values["effect"] = "A Deny statement overrides every Allow statement, so adding permissions doesn't help."
	}
	values["change"], values["Change"] = change, strings.ToUpper(change[:1])+change[1:]
	values["denied"] = cmp.Or(values["denied"], d.reason(action))
}
