package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Key identifies a session: other settings have another key. It is safe in file names and on command lines.
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

// KeyOf returns the key of a session's settings.
func KeyOf(settings secret.Text) Key {
	digest := sha256.Sum256([]byte(settings.Reveal()))
	return Key{digest: hex.EncodeToString(digest[:])}
}
