// Package secret holds the type of every value that opens something: the build's API token, identity tokens, secret
// keys, session tokens and registry passwords.
//
// A [Text] prints as [Redacted] under every fmt verb, in JSON, in text encodings and in slog, whether it is printed
// itself or as a field, exported or not, of something else. The one way to what it holds is [Text.Reveal], so that
// `grep -rn Reveal` lists every place where a secret leaves the type.
//
// The package imports the standard library alone and knows nothing of what the secrets are for.
package secret

import (
	"encoding/json"
	"fmt"
	"io"
)

// Redacted is what is printed in place of a secret.
const Redacted = "[REDACTED]"

// Text is a secret string. The zero value is the empty secret. Texts are not comparable with == in a useful way,
// because that compares addresses: see [Text.Equal].
type Text struct {
	// A pointer, because fmt does not call the methods of unexported fields: it would walk into a plain string there
	// and print it. Behind a pointer it finds an address.
	text *string
}

// New makes a secret of s. It does not trim: that is the business of whoever knows where s came from.
func New(s string) Text {
	return Text{text: &s}
}

// Reveal returns the secret's text. Call it where the text goes onto the wire, into a pipe or into a file, and nowhere
// else.
func (t Text) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// IsEmpty tells whether there is no secret at all.
func (t Text) IsEmpty() bool {
	return t.Reveal() == ""
}

// Equal tells whether both hold the same text. It is not meant for comparing against what an attacker sent.
func (t Text) Equal(other Text) bool {
	return t.Reveal() == other.Reveal()
}

// String returns [Redacted].
func (Text) String() string { return Redacted }

// Format writes [Redacted] under every verb and flag.
func (Text) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, Redacted)
}

// MarshalText returns [Redacted]; encoders of text formats use it, JSON's map keys and slog's text handler among them.
func (Text) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalJSON returns [Redacted] as a JSON string, to slog's JSON handler too. That is why Text needs no LogValue, which
// would bring slog into the build.
func (Text) MarshalJSON() ([]byte, error) { return json.Marshal(Redacted) }

// UnmarshalJSON reads a JSON string, so that an answer's secret is never a plain string on its way in. Its error does
// not quote the data.
func (t *Text) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a JSON string wanted, something else of %d bytes found", len(data))
	}
	t.text = text
	return nil
}
