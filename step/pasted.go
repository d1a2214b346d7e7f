package step

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// This file recognizes values that were pasted into the wrong input, or in the wrong form.

var (
	// tokenPattern matches a JSON Web Token, or the beginning of one.
	tokenPattern = regexp.MustCompile(`eyJ[\w-]{8,}(\.[\w-]*){0,2}`)
	// credentialURLPattern matches a URL up to the @ after its password.
	credentialURLPattern = regexp.MustCompile(`(?i)(\b(?:https?|ftp|ssh|git|s3):/{0,3}|[a-z][a-z0-9+.-]*:/{1,3})[^\s"]*@`)
	// secretKeyPattern matches a secret access key: 40 characters.
	secretKeyPattern = regexp.MustCompile(`^[A-Za-z0-9/+=]{40}$`)
	secretKeyInText  = regexp.MustCompile(`"[A-Za-z0-9/+=]{40}"`)
	// keyPattern matches what may be a secret access key or a session token in a text, and a colon or a quoted line break in front of it.
	keyPattern        = regexp.MustCompile(`(:|\\[nrt])?[A-Za-z0-9/+]{40,}`)
	resourcePattern   = regexp.MustCompile(`^:[a-z-]+/`) // the end of an ARN
	accessKeyPattern  = regexp.MustCompile(`^(AKIA|ASIA)[A-Z0-9]{12,}$`)
	assignmentPattern = regexp.MustCompile(`^(export\s+)?[A-Za-z_]\w*\s*=`)
	variablePattern   = regexp.MustCompile(`^\$\{?[A-Za-z_]\w*\}?$`)
)

// redactPasted removes from a text what looks like a token, or like a credential in a URL. It is the one function that
// decides that, for the list of inputs and for the problems with them.
func redactPasted(s string) string {
	s = tokenPattern.ReplaceAllString(s, secret.Redacted)
	s = credentialURLPattern.ReplaceAllString(s, "${1}"+secret.Redacted+"@")
	if secretKeyPattern.MatchString(s) {
		return secret.Redacted
	}
	s = secretKeyInText.ReplaceAllString(s, `"`+secret.Redacted+`"`)
	return keyPattern.ReplaceAllStringFunc(s, func(match string) string {
		before := keyPattern.FindStringSubmatch(match)[1]
		if resourcePattern.MatchString(match) || !looksLikeKey(strings.TrimPrefix(match, before)) {
			return match
		}
		return before + secret.Redacted
	})
}

// looksLikeKey reports whether letters, digits, slashes, and plus signs may be a secret access key, which has 40 characters, or a
// session token, which is longer than any name and digest. A commit hash has 40 characters, too.
func looksLikeKey(s string) bool {
	const secretKey, longestDigest = 40, 64

	isMixed := strings.ContainsFunc(s, unicode.IsUpper) && strings.ContainsFunc(s, unicode.IsLower) && strings.ContainsFunc(s, unicode.IsDigit)
	return len(s) > longestDigest || (len(s) == secretKey && isMixed)
}

// pastedKey says what is wrong with the form of a part of an access key; empty if nothing is.
func pastedKey(input, value string) string {
	switch {
	case strings.Trim(value, `"'`) != value:
		return "must not be in quotation marks"
	case assignmentPattern.MatchString(value) && !secretKeyPattern.MatchString(value):
		return "must be the value alone, got NAME=value"
	case variablePattern.MatchString(value):
		return fmt.Sprintf("must be the value of a variable, got the variable's name; check that %s is set, and that the input does "+
			"not turn off is_expand", value)
	case input == "access_key_id" && secretKeyPattern.MatchString(value):
		return "must be the access key ID, such as AKIAIOSFODNN7EXAMPLE, got what looks like a secret access key"
	case input == "secret_access_key" && accessKeyPattern.MatchString(value):
		return "must be the secret access key, got what looks like an access key ID"
	default:
		return ""
	}
}

var (
	yamlNumber     = regexp.MustCompile(`^\d(\.\d+)?e[+-]?\d+$`)
	yamlCollection = regexp.MustCompile(`(?s)^(map\[.*\]|\[.*\])$`)
	shortAccount   = regexp.MustCompile(`^\d{1,11}$`)
)

// yamlHint explains a value that YAML has changed because it was not in quotation marks; empty if it does not look like one.
func yamlHint(input, value string) string {
	isAccount := input == "allowed_account_ids" || input == "ecr_registries"
	switch {
	case yamlNumber.MatchString(value), isAccount && shortAccount.MatchString(value):
		return fmt.Sprintf(`YAML changes numbers that are not in quotation marks; write %s: "012345678901"`, input)
	case yamlCollection.MatchString(value) && !strings.HasPrefix(value, "[{"):
		return fmt.Sprintf("YAML parsed the value; write it as a block: %s: |- and the value indented on the next lines", input)
	default:
		return ""
	}
}
