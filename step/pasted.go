package step

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// This file recognizes secrets that were pasted into the wrong input, and common mistakes.

var (
	// tokenPattern matches a JSON Web Token, or the beginning of one.
	tokenPattern = regexp.MustCompile(`eyJ[\w-]{8,}(\.[\w-]*){0,2}`)
	// credentialURLPattern matches a URL up to the @ after its password.
	credentialURLPattern = regexp.MustCompile(`(?i)(\b(?:https?|ftp|ssh|git|s3):/{0,3}|[a-z][a-z0-9+.-]*:/{1,3})[^\s"]*@`)
	// keyPattern matches a possible secret access key or session token, and a colon or a quoted line break before it.
	keyPattern      = regexp.MustCompile(`(:|\\[nrt])?[A-Za-z0-9/+]{40,}`)
	resourcePattern = regexp.MustCompile(`^:[a-z-]+/`) // the end of an ARN
)

// redactPasted redacts what looks like a token, a secret key, or a credential in a URL, in the list of inputs and in problems
// with them.
func redactPasted(s string) string {
	s = tokenPattern.ReplaceAllString(s, secret.Redacted)
	s = credentialURLPattern.ReplaceAllString(s, "${1}"+secret.Redacted+"@")
	return keyPattern.ReplaceAllStringFunc(s, func(match string) string {
		before := keyPattern.FindStringSubmatch(match)[1]
		if resourcePattern.MatchString(match) || !looksLikeKey(strings.TrimPrefix(match, before)) {
			return match
		}
		return before + secret.Redacted
	})
}

// looksLikeKey reports whether a text can be a secret access key, which has 40 characters, or a session token, which is longer than
// names and digests. A commit hash has 40 characters, too, but no capital letters.
func looksLikeKey(s string) bool {
	const secretKey, longestDigest = 40, 64

	isMixed := strings.ContainsFunc(s, unicode.IsUpper) && strings.ContainsFunc(s, unicode.IsLower)
	return len(s) > longestDigest || (len(s) == secretKey && isMixed)
}

// emptyVariable is why an input can be empty although it is set.
const emptyVariable = `; if it is set to a variable, the variable is empty, as Secrets are in pull-request builds unless their setting ` +
	`"Expose for Pull Requests" is on`

var (
	pathPattern   = regexp.MustCompile(`[/\\]|\.(jwt|json|token|txt)$`)
	dashedAccount = regexp.MustCompile(`\b\d{4}-\d{4}-\d{4}\b`)
)

// nearMiss returns a hint in parentheses for a value with a common mistake, or empty for others.
func nearMiss(input, value string) string {
	isToken := input == "identity_token"
	switch {
	case isToken && strings.HasPrefix(strings.ToLower(value), "bearer "):
		return " (leave out the word Bearer)"
	case isToken && strings.HasPrefix(value, "{"):
		return " (it looks like JSON: set only the value of its key id_token)"
	case isToken && pathPattern.MatchString(value):
		return " (it looks like a path: set the content of the file)"
	case dashedAccount.MatchString(value):
		return " (write account IDs without dashes)"
	case strings.Contains(value, ",") && (input == "role_chain" || input == "session_tags"):
		return " (write one per line, without commas between them)"
	default:
		return ""
	}
}
