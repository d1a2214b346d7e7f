// Package text makes text from servers and users safe to print in a log. Secrets are removed by internal/secret.
package text

import (
	"regexp"
	"strings"
	"unicode"
)

// escapeSequence matches the escape sequences of terminals (ECMA-48): control sequences such as ESC [31m, strings such as a
// window's title, and all others, which are an ESC with one or two characters.
var escapeSequence = regexp.MustCompile(
	`(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]` +
		`|(?:\x1b[\]PX^_]|[\x{90}\x{98}\x{9d}\x{9e}\x{9f}])[^\x07\x1b\x{9c}]*(?:\x07|\x1b\\|\x{9c})` +
		`|\x1b[ -/]*[0-~]`)

// Clean removes the escape sequences of terminals, and replaces every other invisible character with a space: control characters
// except for line feeds and tabs, line and paragraph separators, and characters that are ignored or change the direction of
// writing, which could make one text look like a different one.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && isInvisible(r) {
			return ' '
		}
		return r
	}, escapeSequence.ReplaceAllString(s, ""))
}

func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// IsGraphicASCII reports whether a text consists of printable ASCII characters without spaces, as all parts of AWS's keys do.
func IsGraphicASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Line returns a text as one clean line (see [Clean]).
func Line(s string) string {
	return strings.TrimSpace(strings.NewReplacer("\n", " ", "\t", " ").Replace(Clean(s)))
}
