package awsauth

import (
	"fmt"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

// explainDenial adds to the explanation of AccessDenied what the role and the token say about the cause. AWS gives the same answer for
// a role that does not exist, another provider in the trust policy, a condition that does not hold, and a policy above the role
// that denies the request.
func explainDenial(x *explain.Explanation, role RoleARN, token idtoken.Token) {
	x.ConditionKeys = ConditionKeys(token)
	if audience, usual := token.Claim("aud").Value, role.usualAudience(); audience != usual {
		x.Do = append(x.Do, fmt.Sprintf(
			"Likely cause: the audience is %s instead of the usual %s. Name it in the condition on %s:aud, or change audience.",
			audience, usual, providerHost(token.Issuer)))
	}
	where := fmt.Sprintf("Check that %s has a role with exactly this name. Names are case-sensitive. "+
		"If the IAM console shows an ARN with a path, role_arn needs the path, too.", role.owner())
	if role.path != "/" {
		where = fmt.Sprintf("Check that %s has a role with exactly this name and the path %s. Both are case-sensitive.", role.owner(), role.path)
	}
	x.Do = append(x.Do, where,
		fmt.Sprintf("Check that the role's trust policy has the principal %s and the action sts:AssumeRoleWithWebIdentity.",
			role.provider(token)),
		"Compare every condition of the trust policy with the claims below. Values must match exactly, and a condition on a claim "+
			"that the token does not have fails.",
		"If the trust policy has a condition on a claim without *, that may be the cause. To find out, replace it with a condition "+
			"on sub, whose value is below, in a test role without permissions.")
	if narrow := present(token, "branch", "git_branch", "workflow", "pipeline", "ref"); len(narrow) > 0 {
		x.Do = append(x.Do, fmt.Sprintf("If other builds of this app can assume the role, check the conditions on %s first: these "+
			"claims differ between builds.", strings.Join(narrow, " and ")))
	}
	if suggested := suggestPolicy(role, token); suggested.Policy != "" {
		x.Policy, x.PolicyAdmits = suggested.Policy, suggested.PolicyAdmits
		x.Do = append(x.Do, "Or use the trust policy below, which admits "+suggested.PolicyAdmits+".")
		x.Do = append(x.Do, suggested.Do...)
	}
}

// usualAudience returns the audience that AWS's documentation uses in the role's partition.
func (r RoleARN) usualAudience() string {
	if r.partition == "aws-cn" {
		return "sts.amazonaws.com.cn"
	}
	return "sts.amazonaws.com"
}
