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
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
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

// explainDenial explains AccessDenied, with advice about the role and the token, and a trust policy.
func (w WebIdentity) explainDenial(x *explain.Explanation, subject Subject, perBuild []string) {
	x.Section, x.Cause = "role-does-not-trust-the-build", "role "+w.Role.name+" does not trust this build or does not exist"
	x.Means = []string{"This error means that the role doesn't exist, its trust policy names a different provider, or a condition isn't met."}
	x.Do = []string{
		"Compare the conditions of the trust policy with the claims below. Values must match exactly. " +
			"A condition on a claim that the token doesn't have isn't met.",
		"Check that " + w.Role.owner() + " has a role with exactly the ARN in role_arn, and that the principal of its trust policy is " +
			w.principal() + ".",
	}
	suggested := suggest(w.Token, subject, perBuild)
	if x.Policy = w.policy(suggested.claims); x.Policy != "" {
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
	app, sub := token.Claims["app_slug"].Value, token.Claims["sub"].Value
	if app == "" {
		if subject == SubjectChosen || subject == SubjectUnknown && token.Issuer == "https://token.builds.bitrise.io" {
			return suggestion{advice: []string{"The token has no app_slug, so no trust policy can keep out the builds of other apps.", neverRely}}
		}
		// GitHub and GitLab let users choose what sub consists of. Other issuers don't have these claims.
		repository := values(token, "repository", "repository_id", "project_path", "project_id")
		if len(repository) > 0 && !contains(sub, repository) {
			return suggestion{advice: []string{"The token's sub doesn't identify the repository, so builds of other repositories can have the " +
				"same sub. Include the repository in sub before you use a condition on it."}}
		}
		return suggestion{claims: map[string][]string{"StringEquals": {"aud", "sub"}}, letsIn: "this subject only"}
	}
	claims, letsIn := []string{"app_slug"}, "builds of this app only"
	if token.Claims["workflow"].Value != "" {
		claims, letsIn = append(claims, "workflow"), "builds of this app and workflow only"
	}
	perBuild = append(perBuild, values(token, "build_slug", "build_number", "commit", "commit_hash", "commit_sha", "git_commit")...)
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
	case appAt >= 0 && !contains(sub[:appAt], append(perBuild, values(token)...)): // else, another app can have this slug there
		advice = append(advice, "If AWS rejects the build even with this policy, you can use a condition StringLike on sub, because Bitrise "+
			"decides what sub says. Replace the parts that change with every build with *, and keep the app's slug before the first *.")
	}
	byClaims := map[string][]string{"StringEquals": append([]string{"aud"}, claims...)}
	return suggestion{claims: byClaims, letsIn: letsIn, caveat: caveat, advice: advice}
}

// values returns the values of the claims with some names, or of all claims.
func values(token idtoken.Token, names ...string) (all []string) {
	for name, claim := range token.Claims {
		if claim.Value != "" && (len(names) == 0 || slices.Contains(names, name)) {
			all = append(all, claim.Value)
		}
	}
	return all
}

// contains reports whether one of the words is in a text, as a whole word.
func contains(s string, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return findWord(s, word, "") >= 0 })
}

// findWord returns the index of a whole word in a text, or -1. Words consist of letters, digits, and the given characters.
func findWord(s, word, characters string) int {
	end := `[^\pL\pN` + characters + `]`
	found := regexp.MustCompile(`(?:^|` + end + `)(` + regexp.QuoteMeta(word) + `)(?:` + end + `|$)`).FindStringSubmatchIndex(s)
	if found == nil {
		return -1
	}
	return found[2]
}

// policy returns a trust policy in JSON that requires claims, by operator. It is empty if its principal isn't
// known, or if a condition would not match exactly the claim. IAM replaces ${…} with a value from the request
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
func (w WebIdentity) policy(claims map[string][]string) string {
	if len(claims) == 0 || w.Role.account == "" || w.Token.Provider() == "" {
		return ""
	}
	conditions := map[string]map[string]string{}
	for operator, names := range claims {
		conditions[operator] = map[string]string{}
		for _, name := range names {
			claim := w.Token.Claims[name]
			if claim.Value == "" || claim.IsAltered || strings.Contains(claim.Value, "${") {
				return ""
			}
			conditions[operator][w.Token.Provider()+":"+name] = claim.Value
		}
	}
	type statement struct {
		Effect    string
		Principal map[string]string
		Action    string
		Condition map[string]map[string]string
	}
	document, _ := json.MarshalIndent(struct { // cannot fail for strings
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{{"Allow", map[string]string{"Federated": w.principal()}, exchange, conditions}}}, "", "  ")
	return string(document)
}

// principal returns the ARN of the token's issuer in the role's account.
func (w WebIdentity) principal() string {
	return fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", w.Role.partition, w.Role.account, w.Token.Provider())
}

// ConditionKeys returns a table of the token's claims as condition keys of a trust policy. Those that AWS documents for every OIDC
// provider come first: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif.
func ConditionKeys(t idtoken.Token) []string {
	documented := []string{"aud", "sub", "amr", "email", "oaud"}
	names, width := slices.Clone(documented), 0
	for _, name := range slices.Sorted(maps.Keys(t.Claims)) {
		if width = max(width, len(name)); !slices.Contains(documented, name) {
			names = append(names, name)
		}
	}
	var rows []string
	for i, name := range names {
		mark := "*"
		if i >= len(documented) {
			mark = " "
		}
		if claim, found := t.Claims[name]; found {
			row := fmt.Sprintf("%s %s:%-*s  %s", mark, t.Provider(), width, text.Line(name), claim.Value)
			rows = append(rows, strings.TrimRight(row, " "))
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return append(rows, "* AWS documents that IAM evaluates this key; it may not evaluate the others.")
}
