package awsauth

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// accessDenied explains AWS's one sentence for four causes: no such role, another provider in the trust policy, a
// condition that does not hold, a policy above the role that denies. Which it is, AWS tells nobody; what speaks for one of
// them is known here.
func (e *RoleError) accessDenied() explain.Explanation {
	x := explain.Explanation{
		Cause:         fmt.Sprintf("role %s does not trust this build, or there is no such role", e.Role.name),
		Means:         []string{fmt.Sprintf("AWS says the same whether there is no role %s in %s, its trust policy names another provider, or a condition in it does not hold for this build. That AWS did not call the token invalid makes it likely that provider and audience are set up.", e.Role.name, e.Role.owner())},
		ConditionKeys: e.Token.conditionKeys(),
	}
	x.Policy, x.PolicyAdmits = e.trustPolicy()
	if audience := e.Token.audience(); audience != defaultAudience(e.Role.partition) {
		x.Do = append(x.Do, fmt.Sprintf("Likely: the audience is %s, not the usual %s. A condition on %s:aud has to name it, or audience has to be changed.", audience, defaultAudience(e.Role.partition), host(e.Token.Issuer)))
	}
	where := "Check that " + e.Role.owner() + " has a role of exactly this name; upper and lower case count."
	if e.Role.path != "/" {
		where = fmt.Sprintf("The role has the path %s. Check that %s has it under exactly this path and name; upper and lower case count.", e.Role.path, e.Role.owner())
	} else {
		where += " If the IAM console shows its ARN with a path, role_arn needs the path too."
	}
	x.Do = append(x.Do, where,
		fmt.Sprintf("Check that the role's trust policy has the principal %s and the action sts:AssumeRoleWithWebIdentity.", e.providerARN()),
		"Compare every condition of the trust policy with the claims below. Names and values have to be equal to the letter; a claim that the token does not have fails.")
	if narrow := e.Token.present("branch", "git_branch", "workflow", "pipeline", "ref"); len(narrow) > 0 {
		x.Do = append(x.Do, fmt.Sprintf("If it works for other builds of this app, look at the conditions on %s first: they differ from build to build.", strings.Join(narrow, " and ")))
	}
	if x.Policy != "" {
		x.Do = append(x.Do, "Or use the trust policy below, which admits "+x.PolicyAdmits+".")
	}
	return x
}

// defaultAudience is the audience that AWS's documents use for a partition.
func defaultAudience(partition string) string {
	if partition == "aws-cn" {
		return "sts.amazonaws.com.cn"
	}
	return "sts.amazonaws.com"
}

// providerARN is the principal that stands for the token's issuer: the ARN of the provider in the role's account, or for
// the few that IAM knows by itself, their name
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-federated-web-identity).
func (e *RoleError) providerARN() string {
	if e.Token.builtIn() {
		return host(e.Token.Issuer)
	}
	return fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", e.Role.partition, e.Role.account, host(e.Token.Issuer))
}

// trustPolicy is a policy that admits this build and not much more, and what it admits: its audience, its app and its
// workflow, or where the token names no app, its subject. Without anything that tells builds apart there is none: a
// condition on the audience alone would admit every build of every user of the issuer.
func (e *RoleError) trustPolicy() (policy, admits string) {
	keys, admits := []string{"sub"}, "this subject only"
	if len(e.Token.present("app_slug")) > 0 {
		keys, admits = []string{"app_slug"}, "builds of this app only"
		if len(e.Token.present("workflow")) > 0 {
			keys, admits = []string{"app_slug", "workflow"}, "builds of this app and workflow only"
		}
	}
	// How IAM writes an issuer that ends with a slash, and which claims the built-in ones are tested by, is another matter.
	if e.Role.account == "" || e.Token.Issuer == "" || strings.HasSuffix(e.Token.Issuer, "/") || e.Token.builtIn() {
		return "", ""
	}
	conditions := map[string]string{}
	for _, key := range append(keys, "aud") {
		value, usable := e.Token.literal(key)
		if !usable {
			return "", ""
		}
		conditions[host(e.Token.Issuer)+":"+key] = value
	}
	document, err := json.MarshalIndent(policyDocument{
		Version: "2012-10-17",
		Statement: []statement{{
			Effect:    "Allow",
			Principal: map[string]string{"Federated": e.providerARN()},
			Action:    "sts:AssumeRoleWithWebIdentity",
			Condition: map[string]map[string]string{"StringEquals": conditions},
		}},
	}, "", "  ")
	if err != nil {
		return "", ""
	}
	return string(document), admits
}

// literal returns a claim as a condition can name it: a single text that is shown as it is. One with a policy variable,
// ${…}, is left out: IAM would put in a value of the request, and the condition would hold for others too
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
func (t IdentityToken) literal(name string) (string, bool) {
	for _, claim := range t.Claims {
		if claim.Name == name {
			return claim.Text, claim.Text != "" && !claim.List && !claim.Altered && !strings.Contains(claim.Text, "${")
		}
	}
	return "", false
}

// policyDocument is a policy in the order in which AWS's documents write one.
type policyDocument struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect    string
	Principal map[string]string
	Action    string
	Condition map[string]map[string]string
}

// builtIn tells whether IAM knows the issuer without a provider in the account.
func (t IdentityToken) builtIn() bool {
	switch host(t.Issuer) {
	case "accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com":
		return true
	default:
		return false
	}
}

// audience is the token's aud.
func (t IdentityToken) audience() string {
	for _, claim := range t.Claims {
		if claim.Name == "aud" {
			return claim.Text
		}
	}
	return ""
}

// present returns those of the names that are claims of the token with a value.
func (t IdentityToken) present(names ...string) []string {
	var found []string
	for _, claim := range t.Claims {
		for _, name := range names {
			if claim.Name == name && claim.Text != "" {
				found = append(found, name)
			}
		}
	}
	return found
}

// conditionKeys lists the claims as a trust policy names them.
func (t IdentityToken) conditionKeys() []explain.ConditionKey {
	var keys []explain.ConditionKey
	for _, claim := range t.Claims {
		keys = append(keys, explain.ConditionKey{Key: host(t.Issuer) + ":" + claim.Name, Value: claim.Text})
	}
	return keys
}
