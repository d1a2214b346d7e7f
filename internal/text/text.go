// Package text makes texts that came from outside, a server's or a user's, fit for a log.
//
// The package imports the standard library alone. What is a secret in a text is the business of internal/secret.
package text

import (
	"strings"
	"unicode"
)

// Moves tells whether a character moves a log's cursor, or turns the direction of writing (Bidi_Control), with which a text
// looks like another one.
func Moves(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// OneLine puts a blank in the place of each character that moves something, and cuts what is longer than so many
// characters.
func OneLine(s string, longest int) string {
	s = strings.Map(func(r rune) rune {
		if Moves(r) {
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(cut(s, longest))
}

// Shorten keeps a wrong value's beginning, for an error that quotes it.
func Shorten(s string) string {
	const longest = 100
	return cut(s, longest)
}

func cut(s string, longest int) string {
	if runes := []rune(s); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return s
}
