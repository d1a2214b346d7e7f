package awsauth

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

// Subject states who decides what sub says in Bitrise's tokens. If callers do, a token of any app can have any sub.
type Subject int

const (
	// SubjectUnknown counts as SubjectChosen.
	SubjectUnknown Subject = iota
	// SubjectChosen means that callers do.
	SubjectChosen
	// SubjectFixed means that Bitrise does.
	SubjectFixed
)

// explainDenial adds to the explanation of AccessDenied what the role and the token say about the cause, and a trust policy.
func explainDenial(x *explain.Explanation, role RoleARN, token idtoken.Token, subject Subject, perBuild []string) {
	if audience, usual := token.Claim("aud").Value, role.usualAudience(); audience != usual {
		x.Do = append(x.Do, fmt.Sprintf(
			"Likely cause: the audience is %s instead of the usual %s. Name it in the condition on %s:aud, or change audience.",
			audience, usual, providerHost(token.Issuer)))
	}
	x.Do = append(x.Do,
		"Check that "+role.owner()+" has a role with exactly the ARN "+role.text+". Its path and name are case-sensitive.",
		"Check that the role's trust policy has the principal "+role.provider(token)+" and the action sts:AssumeRoleWithWebIdentity.",
		"Compare every condition of the trust policy with the claims below. Values must match exactly, and a condition on a claim "+
			"that the token does not have is not met.")
	narrow := slices.DeleteFunc([]string{"branch", "git_branch", "workflow", "pipeline", "ref"}, func(name string) bool {
		return token.Claim(name).Value == ""
	})
	if len(narrow) > 0 {
		x.Do = append(x.Do, "If other builds of this app can assume the role, check the conditions on "+strings.Join(narrow, " and ")+
			" first. These claims differ between builds.")
	}
	suggested := suggest(token, subject, perBuild)
	if x.Policy = suggested.policy(role, token); x.Policy != "" {
		x.PolicyLetsIn = suggested.letsIn
		x.Do = append(x.Do, "Or use the trust policy below, which lets in "+suggested.letsIn+".")
	}
	x.Do = append(x.Do, suggested.advice...)
}

// suggestion is a trust policy that lets in a token.
type suggestion struct {
	// claims are the claims, by operator, that must have the token's values.
	claims map[string][]string
	// letsIn says what the policy lets in, and advice what to know before using it.
	letsIn string
	advice []string
}

// suggest returns a policy that lets in the app's builds of this workflow. perBuild has values that change with every build.
//
//   - By default, the policy requires app_slug and workflow. It lets no one in where IAM does not evaluate these claims.
//   - If sub is fixed, names the app, and does not name the build, the policy requires sub.
//   - If there is no app_slug, the token is from another issuer, and the policy requires sub. For a token of Bitrise's, it does so
//     only if sub is fixed.
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
	appAt := findWord(sub, app, "_.~%+-") // which can be part of a longer slug
	if subject == SubjectFixed && appAt >= 0 && !contains(sub, perBuild) {
		bySub := map[string][]string{"StringEquals": {"aud", "sub"}, "StringEqualsIfExists": claims}
		return suggestion{claims: bySub, letsIn: "builds of this app with this sub only"}
	}
	advice := []string{
		"AWS's documentation does not list app_slug and workflow as condition keys for Bitrise. If AWS rejects the build although the " +
			"conditions on them are met, use the strict setup: https://github.com/bitrise-steplib/" +
			"bitrise-step-authenticate-with-aws/blob/main/docs/trust-policies.md#strict-setup",
		"Never use a trust policy without a condition that names the app. Otherwise, every Bitrise user's builds could assume the role.",
	}
	switch {
	case subject != SubjectFixed:
		advice = append(advice, neverRely)
	case appAt >= 0 && !contains(sub[:appAt], others): // else, another app's build may have this app's slug there
		advice = append(advice, "Bitrise decides what sub says. So if AWS rejects the build even with this policy, you can also use a "+
			"condition StringLike on sub, with * in place of the parts that change with every build. Keep the app's slug in front of the first *.")
	}
	return suggestion{claims: map[string][]string{"StringEquals": append(claims, "aud")}, letsIn: letsIn, advice: advice}
}

// findWord returns where a text has a word, or -1. Words consist of letters, digits, and the given characters.
func findWord(text, word, characters string) int {
	end := `[^\pL\pN` + characters + `]`
	found := regexp.MustCompile(`(?:^|` + end + `)(` + regexp.QuoteMeta(word) + `)(?:` + end + `|$)`).FindStringSubmatchIndex(text)
	if word == "" || found == nil {
		return -1
	}
	return found[2]
}

// policy returns the suggested policy in JSON. It is empty if there is no provider that it could have as its principal, or if a
// condition would not mean exactly the claim. IAM replaces ${…} in a condition with a value from the request
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
func (s suggestion) policy(role RoleARN, token idtoken.Token) string {
	host, provider := providerHost(token.Issuer), role.provider(token)
	if len(s.claims) == 0 || role.account == "" || host == "" || provider == host {
		return ""
	}
	conditions := map[string]map[string]string{}
	for operator, names := range s.claims {
		conditions[operator] = map[string]string{}
		for _, name := range names {
			claim := token.Claim(name)
			if claim.Value == "" || claim.IsList || claim.IsAltered || strings.Contains(claim.Value, "${") {
				return ""
			}
			conditions[operator][host+":"+name] = claim.Value
		}
	}
	// Texts can always be written as JSON.
	principal, _ := json.Marshal(provider)
	condition, _ := json.MarshalIndent(conditions, "      ", "  ")
	return fmt.Sprintf(`{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Principal": {
        "Federated": %s
      },
      "Action": "sts:AssumeRoleWithWebIdentity",
      "Condition": %s
    }
  ]
}`, principal, condition)
}

// provider returns the principal for the token's issuer in a trust policy: the ARN of the provider in the role's account, or
// for the providers that are built into IAM, their name
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-federated-web-identity).
func (r RoleARN) provider(token idtoken.Token) string {
	host := providerHost(token.Issuer)
	builtIn := []string{"accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com"}
	if slices.Contains(builtIn, host) {
		return host
	}
	return fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", r.partition, r.account, host)
}

// ConditionKeys returns the token's claims as condition keys of a trust policy. Those that AWS documents for every OIDC provider
// come first: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif.
func ConditionKeys(t idtoken.Token) []explain.ConditionKey {
	var documented, others []explain.ConditionKey
	for _, claim := range t.Claims {
		key := explain.ConditionKey{Key: providerHost(t.Issuer) + ":" + claim.Name, Value: claim.Value}
		if key.IsDocumented = slices.Contains([]string{"aud", "sub", "amr", "email", "oaud"}, claim.Name); key.IsDocumented {
			documented = append(documented, key)
		} else {
			others = append(others, key)
		}
	}
	return append(documented, others...)
}
