package awserr

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// Denial is what AWS's message says about an action that was not allowed. Parts that it does not say are empty.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html.
type Denial struct {
	// Action is the action, such as "sts:TagSession". A call can require more actions than the one it is named after.
	Action string
	// Policy is the kind of policy that decided, such as "service control policy".
	Policy string
	// IsExplicit reports whether a statement denies the action. Otherwise, no statement allows it.
	IsExplicit bool
}

var (
	actionPattern = regexp.MustCompile(`[Nn]ot authorized to perform:? ([\w-]+:\w+)`)
	// policyPattern: the last policy counts in "in a VPC endpoint policy transitively through a service control policy".
	policyPattern = regexp.MustCompile(`(?:because no|explicit deny in (?:an?|the)) (?:.* through an? )?([A-Za-z -]*?(?:policy|boundary))\b`)
)

// DenialOf parses the message of a [*Refusal]. Of other errors, it returns the zero value.
func DenialOf(err error) Denial {
	var r *Refusal
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

// IsOfRole reports whether the role's trust policy decided, or may have: AWS calls it a role trust policy or a resource-based one.
func (d Denial) IsOfRole() bool {
	return d.Policy == "" || d.Policy == "role trust policy" || d.Policy == "resource-based policy"
}

// reason returns what AWS says about the action on one line.
func (d Denial) reason(action string) string {
	switch {
	case !d.IsExplicit:
		return fmt.Sprintf("no %s allows %s", d.Policy, action)
	case d.Policy == "":
		return "a policy denies " + action
	case d.Policy == "role trust policy":
		return "the role's trust policy denies " + action
	case strings.HasPrefix(d.Policy, "identity"):
		return fmt.Sprintf("an %s denies %s", d.Policy, action)
	default:
		return fmt.Sprintf("a %s denies %s", d.Policy, action)
	}
}

// denials explains what AWS says about policies, for every service. Callers give {action}, if AWS does not say it; {resource}, what the
// action is on; {caller}; and {denied}, what the caller may not do, unless it is the action alone.
func denials() explain.Table {
	const organization = "Ask an administrator of the AWS organization to {change} in its {policy}. Nothing in the account can override it."
	const trust = "Ask an administrator of the role's account to {change} in the role's trust policy."
	row := func(message, do string) explain.Row {
		return explain.Row{
			Section: "a-policy-does-not-allow-the-action", Codes: []string{"AccessDenied", "AccessDeniedException"}, Message: message,
			Cause: "{denied}", Means: []string{"{effect}"}, Do: []string{do},
		}
	}
	const session = "{Change} in the session policy: in inline_session_policy or managed_session_policies, or where the credentials " +
		"come from."
	return explain.Table{
		row("service control policy", organization),
		row("resource control policy", organization),
		row("permissions boundary", "Ask an administrator of the account to {change} in the permissions boundary of {caller}."),
		row("session policy", session),
		row("sessions policy", session),
		row("vpc endpoint policy", "Ask an administrator of this machine's network to {change} in the policy of its VPC endpoint."),
		row("identity-based policy", "{Change} in the policies of {caller}."),
		row("explicit deny in the role trust policy", trust),
		row("explicit deny in a resource-based policy", trust),
		row("explicit deny", "{Change}. AWS does not say where it is: check the policies of the organization, and those of each role."),
	}
}

// fill adds what the placeholders of [denials] stand for.
func (d Denial) fill(values map[string]string) {
	action := cmp.Or(d.Action, values["action"])
	values["action"], values["policy"] = action, d.Policy
	verb, object := "allow", action+" on "+values["resource"]
	if d.IsExplicit {
		verb, object = "change", "the statement that denies "+action
		values["effect"] = "A statement with the effect Deny overrides every Allow, so adding permissions elsewhere does not help."
	}
	values["change"], values["Change"] = verb+" "+object, strings.ToUpper(verb[:1])+verb[1:]+" "+object
	values["denied"] = cmp.Or(values["denied"], d.reason(action))
}
