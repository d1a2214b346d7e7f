// Package secret contains the type of every secret value: the build's API token, identity tokens, secret access keys, session
// tokens and registry passwords. It also removes secrets from texts; see [Redactor].
//
// A [Text] prints as [Redacted] with every fmt verb, in JSON, in text encodings and in slog, whether it is printed directly or as
// an exported or unexported field of another value. [Text.Reveal] is the only way to get its content, so that `grep -rn Reveal`
// lists every place where a secret leaves the type.
package secret

import (
	"fmt"
	"io"
)

// Redacted is what is printed in place of a secret.
const Redacted = "[REDACTED]"

// Text is a secret string. The zero value is the empty string. The operator == compares addresses.
type Text struct {
	// fmt does not call the methods of unexported fields: it would print a string, but prints only the address of a pointer.
	text *string
}

// New returns s as a secret. It does not trim s.
func New(s string) Text { return Text{text: &s} }

// Reveal returns the secret. Call it only where it is written to the network, a pipe, or a file.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// IsEmpty reports whether the secret is the empty string.
func (t Text) IsEmpty() bool { return t.Reveal() == "" }

// Format writes [Redacted] for every verb and flag.
func (Text) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, Redacted) }

// MarshalText returns [Redacted]. It is used for JSON, and by slog.
func (Text) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// UnmarshalText sets the secret to data. It is used for JSON, where any other type is an error that doesn't contain the data.
func (t *Text) UnmarshalText(data []byte) error {
	*t = New(string(data))
	return nil
}
