package awsauth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

// suggestPolicy returns a trust policy that admits the app's builds in the token's workflow, and as little else as possible.
// It is right both where IAM sees only the claims that AWS documents and where it sees every claim:
//
//   - If sub names the app, sub keeps other apps out. app_slug and workflow must match as well, but only where IAM sees them.
//   - If it does not, only app_slug can keep other apps out, so it is required. This policy admits no build where IAM does not
//     see app_slug.
//   - A token without app_slug is another issuer's, and its whole sub is required.
//
// The result has the policy, what it admits, and what to know before using it. There is none if a claim cannot be written into a
// condition that means exactly this claim.
func suggestPolicy(role RoleARN, token idtoken.Token) explain.Explanation {
	// How IAM writes an issuer with a trailing slash, and which claims the built-in providers have, is not settled here.
	if role.account == "" || token.Issuer == "" || strings.HasSuffix(token.Issuer, "/") || isBuiltIn(token) {
		return explain.Explanation{}
	}
	conditions := conditionBuilder{token: token, conditions: map[string]map[string]string{}}
	conditions.equals("StringEquals", "aud")
	result := explain.Explanation{PolicyAdmits: "builds of this app only"}
	app := token.Claim("app_slug").Value
	operator := "StringEquals"
	switch {
	case app == "":
		conditions.equals("StringEquals", "sub")
		result.PolicyAdmits = "this subject only"
	case identifies(token, "app_slug", token.Claim("sub").Value):
		conditions.subject(app)
		operator = "StringEqualsIfExists"
	default:
		result.Do = []string{
			"The policy relies on condition keys that AWS's documentation does not list for Bitrise, so AWS may refuse the build even " +
				"with this policy. In that case, ask Bitrise's support how to get a sub claim that names the app.",
			"Never remove the condition on app_slug: without it, the builds of every Bitrise user could assume the role.",
		}
	}
	if app != "" {
		conditions.equals(operator, "app_slug")
		if token.Claim("workflow").Value != "" {
			conditions.equals(operator, "workflow")
			result.PolicyAdmits = "builds of this app and workflow only"
			if operator == "StringEqualsIfExists" && !identifies(token, "workflow", conditions.fixedSubject) {
				result.PolicyAdmits = "builds of this app only, and of this workflow only where the service evaluates that claim"
			}
		}
	}
	if conditions.unsafe {
		return explain.Explanation{}
	}
	document, _ := json.MarshalIndent(policyDocument{
		Version: "2012-10-17",
		Statement: []statement{{
			Effect:    "Allow",
			Principal: map[string]string{"Federated": role.provider(token)},
			Action:    "sts:AssumeRoleWithWebIdentity",
			Condition: conditions.conditions,
		}},
	}, "", "  ") // cannot fail for strings
	result.Policy = string(document)
	return result
}

// policyDocument is a policy with its elements in the order that AWS's documentation uses.
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

// perBuild returns the claims whose values change with every build.
func perBuild() []string {
	return []string{"build_slug", "build_number", "commit_hash", "commit_sha", "git_commit", "commit"}
}

// conditionBuilder collects the conditions of a statement.
type conditionBuilder struct {
	token        idtoken.Token
	conditions   map[string]map[string]string // by operator and condition key
	fixedSubject string                       // the part of sub before the first wildcard
	unsafe       bool                         // a claim could not be written
}

func (b *conditionBuilder) add(operator, claim, value string) {
	if b.conditions[operator] == nil {
		b.conditions[operator] = map[string]string{}
	}
	b.conditions[operator][providerHost(b.token.Issuer)+":"+claim] = value
}

// equals adds a condition that a claim has the token's value.
func (b *conditionBuilder) equals(operator, claim string) {
	value, ok := literal(b.token, claim)
	if !ok {
		b.unsafe = true
		return
	}
	b.add(operator, claim, value)
}

// subject adds a condition on sub, which contains app as a word. Values that change with every build become *.
//
// A * matches any text, including delimiters. The pattern still admits no other app because everything before the first *,
// including app and the delimiter after it, must match exactly, and no part of the text before app is one that another app's
// owner could choose.
func (b *conditionBuilder) subject(app string) {
	sub, ok := literal(b.token, "sub")
	if !ok || strings.ContainsFunc(app, isDelimiter) {
		b.unsafe = true
		return
	}
	pattern := sub
	for _, name := range perBuild() {
		value := b.token.Claim(name).Value
		if !containsWord(pattern, value) {
			continue
		}
		if !identifies(b.token, name, sub) {
			b.unsafe = true
			return
		}
		pattern = replaceWord(pattern, value, "*")
	}
	if pattern == sub {
		b.fixedSubject = sub
		b.add("StringEquals", "sub", sub)
		return
	}
	fixed, _, _ := strings.Cut(pattern, "*")
	before, _, found := cutWord(fixed, app)
	if !found || strings.ContainsAny(sub, "*?") || !b.isLabel(before) {
		b.unsafe = true
		return
	}
	b.fixedSubject = fixed
	b.add("StringLike", "sub", pattern)
}

// isLabel reports whether the beginning of a sub claim consists of fixed words such as app, none of which is a claim's value.
func (b *conditionBuilder) isLabel(text string) bool {
	for _, word := range strings.FieldsFunc(text, isDelimiter) {
		isValue := slices.ContainsFunc(b.token.Claims, func(c idtoken.Claim) bool { return c.Value == word })
		if isValue || !slices.Contains([]string{"app", "app_slug", "bitrise"}, word) {
			return false
		}
	}
	return true
}

// isDelimiter reports whether a character separates the words of a sub claim. Characters that slugs and UUIDs contain do not.
func isDelimiter(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.~%+", r)
}

// cutWord cuts text around the first occurrence of word between delimiters or the ends of text.
func cutWord(text, word string) (before, after string, found bool) {
	if word == "" {
		return text, "", false
	}
	for start := 0; ; {
		i := strings.Index(text[start:], word)
		if i < 0 {
			return text, "", false
		}
		before, after = text[:start+i], text[start+i+len(word):]
		// TrimRightFunc and TrimLeftFunc change a text only if it ends, or starts, with a delimiter.
		atStart := before == "" || strings.TrimRightFunc(before, isDelimiter) != before
		atEnd := after == "" || strings.TrimLeftFunc(after, isDelimiter) != after
		if atStart && atEnd {
			return before, after, true
		}
		start += i + 1
	}
}

func containsWord(text, word string) bool {
	_, _, found := cutWord(text, word)
	return found
}

func replaceWord(text, word, replacement string) string {
	before, after, found := cutWord(text, word)
	if !found {
		return text
	}
	return before + replacement + replaceWord(after, word, replacement)
}

// provider returns the principal for the token's issuer in a trust policy: the ARN of the provider in the role's account, or
// for the providers that are built into IAM, their name
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-federated-web-identity).
func (r RoleARN) provider(token idtoken.Token) string {
	if isBuiltIn(token) {
		return providerHost(token.Issuer)
	}
	return fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", r.partition, r.account, providerHost(token.Issuer))
}

// isBuiltIn reports whether IAM knows the issuer without a provider in the account.
func isBuiltIn(t idtoken.Token) bool {
	switch providerHost(t.Issuer) {
	case "accounts.google.com", "cognito-identity.amazonaws.com", "graph.facebook.com", "www.amazon.com":
		return true
	default:
		return false
	}
}

// identifies reports whether text, which is (part of) the sub claim, contains the value of a claim as a word that can only be
// this claim. If the value is also (part of) another claim's value in text, such as a branch named after a build number, it
// is unknown which of them the word is.
func identifies(t idtoken.Token, name, text string) bool {
	isSameThing := func(other string) bool {
		return other == name || (strings.HasPrefix(name, "app") && strings.HasPrefix(other, "app")) ||
			(slices.Contains(perBuild(), name) && slices.Contains(perBuild(), other))
	}
	value := t.Claim(name).Value
	return containsWord(text, value) && !slices.ContainsFunc(t.Claims, func(c idtoken.Claim) bool {
		return c.Name != "sub" && !isSameThing(c.Name) && containsWord(text, c.Value) && containsWord(c.Value, value)
	})
}

// literal returns the value of a claim if a condition with StringEquals on it means exactly this value: a single string that
// is complete, without a policy variable. IAM would replace ${…} with a value from the request, so that the condition could
// hold for other tokens, too (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html).
func literal(t idtoken.Token, name string) (string, bool) {
	claim := t.Claim(name)
	return claim.Value, claim.Value != "" && !claim.IsList && !claim.IsAltered && !strings.Contains(claim.Value, "${")
}

// present returns the names of the claims among names that the token has with a value.
func present(t idtoken.Token, names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return t.Claim(name).Value == "" })
}

// documentedKeys returns the claims that AWS documents as condition keys for every OIDC provider.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif.
func documentedKeys() []string { return []string{"aud", "sub", "amr", "email", "oaud"} }

// ConditionKeys returns the token's claims as condition keys of a trust policy. Those that AWS documents come first.
func ConditionKeys(t idtoken.Token) []explain.ConditionKey {
	var documented, others []explain.ConditionKey
	for _, claim := range t.Claims {
		key := explain.ConditionKey{Key: providerHost(t.Issuer) + ":" + claim.Name, Value: claim.Value}
		if key.IsDocumented = slices.Contains(documentedKeys(), claim.Name); key.IsDocumented {
			documented = append(documented, key)
		} else {
			others = append(others, key)
		}
	}
	return append(documented, others...)
}
