package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"regexp"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Settings determine a session, so they are all that is needed to obtain its credentials again, apart from the build's API
// token, which must never be among them. Their meaning is the caller's business. They may be secrets.
type Settings map[string]secret.Text

// Get returns a value; empty if there is none.
func (s Settings) Get(name string) string { return s[name].Reveal() }

// Key identifies a session: settings that differ in any value have different keys. It is safe in file names and on command
// lines.
type Key struct{ digest string }

var keyPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ParseKey parses the text that [Key.String] returns.
func ParseKey(s string) (Key, error) {
	if !keyPattern.MatchString(s) {
		return Key{}, errors.New("the key of a session must have 64 hexadecimal digits")
	}
	return Key{digest: s}, nil
}

func (k Key) String() string { return k.digest }

// Key returns the key of the settings.
func (s Settings) Key() Key {
	digest := sha256.Sum256(s.encode())
	return Key{digest: hex.EncodeToString(digest[:])}
}

// encode returns the content of the settings file: JSON, whose keys are sorted.
func (s Settings) encode() []byte {
	values := map[string]string{}
	for name, value := range s {
		if !value.IsEmpty() {
			values[name] = value.Reveal()
		}
	}
	content, _ := json.MarshalIndent(values, "", "  ") // cannot fail for strings
	return append(content, '\n')
}
