package awsauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

// Subject states who decides what sub says in Bitrise's tokens. If callers decide, a token of any app can have any sub.
type Subject int

const (
	// SubjectUnknown is treated like SubjectChosen.
	SubjectUnknown Subject = iota
	// SubjectChosen means that callers decide.
	SubjectChosen
	// SubjectFixed means that Bitrise decides.
	SubjectFixed
)

// explainDenial adds advice about the role and the token, and a trust policy, to the explanation of AccessDenied.
func explainDenial(x *explain.Explanation, role RoleARN, token idtoken.Token, subject Subject, perBuild []string) {
	x.Means = []string{"This error means that the role doesn't exist, its trust policy names a different provider, or a condition isn't met."}
	x.Do = []string{
		"Compare the conditions of the trust policy with the claims below. Values must match exactly. A condition on a claim that " +
			"the token doesn't have isn't met.",
		"Check that " + role.owner() + " has a role with exactly the ARN in role_arn, and that the principal of its trust policy is " +
			role.provider(token) + ".",
	}
	suggested := suggest(token, subject, perBuild)
	if x.Policy = suggested.policy(role, token); x.Policy != "" {
		x.PolicyLetsIn = suggested.letsIn
		x.Do = append(x.Do, strings.TrimSpace("Or use the trust policy below, which lets in "+suggested.letsIn+". "+suggested.caveat))
	}
	x.Do = append(x.Do, suggested.advice...)
}

// suggestion is a suggested trust policy.
type suggestion struct {
	// claims are the claims, by operator, that must have the token's values.
	claims map[string][]string
	// letsIn says which builds the policy lets in, caveat what to do if AWS still rejects them, and advice what not to do instead.
	letsIn, caveat string
	advice         []string
}

// suggest returns a policy that lets in the app's builds of this workflow. perBuild are values that change with every build.
//
//   - By default, the policy requires app_slug and workflow. It lets no one in if IAM doesn't evaluate these claims.
//   - If sub is fixed, contains the app's slug, and doesn't change with every build, the policy requires sub.
//   - Without an app_slug, the token is usually from a different issuer, and the policy requires sub. If it is from Bitrise, the
//     policy does so only if sub is fixed.
func suggest(token idtoken.Token, subject Subject, perBuild []string) suggestion {
	neverRely := "Never rely on sub for Bitrise. It is not known whether callers can choose it."
	if subject == SubjectChosen {
		neverRely = "Never rely on sub for Bitrise. Its token endpoint lets callers choose it, so any app's token can have the same sub."
	}
	app, sub := token.Claim("app_slug").Value, token.Claim("sub").Value
	if app == "" {
		if subject == SubjectChosen || subject == SubjectUnknown && token.Issuer == "https://token.builds.bitrise.io" {
			return suggestion{advice: []string{"The token has no app_slug, so no trust policy can keep out the builds of other apps.", neverRely}}
		}
		if !namesRepository(token) {
			return suggestion{advice: []string{"The token's sub doesn't identify the repository, so builds of other repositories can have the " +
				"same sub. Include the repository in sub before you use a condition on it."}}
		}
		return suggestion{claims: map[string][]string{"StringEquals": {"aud", "sub"}}, letsIn: "this subject only"}
	}
	claims, letsIn := []string{"app_slug"}, "builds of this app only"
	if token.Claim("workflow").Value != "" {
		claims, letsIn = append(claims, "workflow"), "builds of this app and workflow only"
	}
	others := slices.Clone(perBuild)
	for _, claim := range token.Claims {
		if claim.Name != "app_slug" {
			others = append(others, claim.Value)
		}
		if slices.Contains([]string{"build_slug", "build_number", "commit_hash", "commit_sha", "git_commit", "commit"}, claim.Name) {
			perBuild = append(perBuild, claim.Value)
		}
	}
	contains := func(text string, values []string) bool {
		return slices.ContainsFunc(values, func(value string) bool { return findWord(text, value, "") >= 0 })
	}
	appAt := findWord(sub, app, "_.~%+-") // with these characters, it can be part of a longer slug
	if subject == SubjectFixed && appAt >= 0 && !contains(sub, perBuild) {
		bySub := map[string][]string{"StringEquals": {"aud", "sub"}, "StringEqualsIfExists": claims}
		return suggestion{claims: bySub, letsIn: "builds of this app with this sub only"}
	}
	const caveat = "AWS's documentation does not list app_slug and workflow as condition keys. If AWS rejects the build even with this " +
		"policy, use the strict setup: https://github.com/bitrise-steplib/" +
		"bitrise-step-authenticate-with-aws/blob/main/docs/trust-policies.md#strict-setup"
	advice := []string{"Never use a trust policy without a condition on the app. Without it, any Bitrise user's builds could assume the role."}
	switch {
	case subject != SubjectFixed:
		advice[0] += " " + neverRely
	case appAt >= 0 && !contains(sub[:appAt], others): // otherwise, another app's build can have this slug there
		advice = append(advice, "If AWS rejects the build even with this policy, you can use a condition StringLike on sub, because Bitrise "+
			"decides what sub says. Replace the parts that change with every build with *, and keep the app's slug before the first *.")
	}
	byClaims := map[string][]string{"StringEquals": append([]string{"aud"}, claims...)}
	return suggestion{claims: byClaims, letsIn: letsIn, caveat: caveat, advice: advice}
}

// namesRepository reports whether the sub of a token from GitHub or GitLab contains the repository. Other tokens don't have these claims.
func namesRepository(token idtoken.Token) bool {
	hasClaim := false
	for _, name := range []string{"repository", "repository_id", "project_path", "project_id"} {
		value := token.Claim(name).Value
		if findWord(token.Claim("sub").Value, value, "") >= 0 {
			return true
		}
		hasClaim = hasClaim || value != ""
	}
	return !hasClaim
}

// findWord returns the index of a whole word in a text, or -1. Words consist of letters, digits, and the given characters.
func findWord(text, word, characters string) int {
	end := `[^\pL\pN` + characters + `]`
	found := regexp.MustCompile(`(?:^|` + end + `)(` + regexp.QuoteMeta(word) + `)(?:` + end + `|$)`).FindStringSubmatchIndex(text)
	if word == "" || found == nil {
		return -1
	}
	return found[2]
}

// policy returns the suggested policy in JSON. It is empty if its principal isn't known, or if a condition would not match exactly the
// claim. IAM replaces ${…} in a condition with a value from the request
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
func (s suggestion) policy(role RoleARN, token idtoken.Token) string {
	host := providerHost(token.Issuer)
	if len(s.claims) == 0 || role.account == "" || host == "" {
		return ""
	}
	quote := func(text string) string {
		quoted, _ := json.Marshal(text) // strings have no encoding errors
		return string(quoted)
	}
	var conditions []string
	for _, operator := range slices.Sorted(maps.Keys(s.claims)) {
		var keys []string
		for _, name := range s.claims[operator] {
			claim := token.Claim(name)
			if claim.Value == "" || claim.IsList || claim.IsAltered || strings.Contains(claim.Value, "${") {
				return ""
			}
			keys = append(keys, "\n      "+quote(host+":"+name)+": "+quote(claim.Value))
		}
		conditions = append(conditions, quote(operator)+": {"+strings.Join(keys, ",")+"\n    }")
	}
	return fmt.Sprintf(`{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": {"Federated": %s},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {%s}
  }]
}`, quote(role.provider(token)), strings.Join(conditions, ", "))
}

// provider returns the ARN of the token's issuer in the role's account, which is the principal in a trust policy.
func (r RoleARN) provider(token idtoken.Token) string {
	return fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", r.partition, r.account, providerHost(token.Issuer))
}

// ConditionKeys returns the token's claims as condition keys of a trust policy. Those that AWS documents for every OIDC provider
// come first: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif.
func ConditionKeys(t idtoken.Token) []explain.ConditionKey {
	var keys []explain.ConditionKey
	for _, isDocumented := range []bool{true, false} {
		for _, claim := range t.Claims {
			if slices.Contains([]string{"aud", "sub", "amr", "email", "oaud"}, claim.Name) == isDocumented {
				key := providerHost(t.Issuer) + ":" + claim.Name
				keys = append(keys, explain.ConditionKey{Key: key, Value: claim.Value, IsDocumented: isDocumented})
			}
		}
	}
	return keys
}
