package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// settingsVersion is that of the settings file; another one gives other keys.
const settingsVersion = 1

// Settings are all that shapes a session, and so all that is needed to get it again, but for the build's API token, which
// is never among them. What the values mean is the business of whoever gets the session. They may be secrets.
type Settings map[string]secret.Text

// Get returns a value; empty if there is none.
func (s Settings) Get(name string) string { return s[name].Reveal() }

// Key names a session: two settings that differ in anything have different keys. It is safe in a file's name and on a
// command line.
type Key struct{ digest string }

// ParseKey takes a key as [Key.String] gives it.
func ParseKey(s string) (Key, error) {
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(s) {
		return Key{}, errors.New("not the key of a session, which has 64 hexadecimal digits")
	}
	return Key{digest: s}, nil
}

// String returns the key's 64 hexadecimal digits.
func (k Key) String() string { return k.digest }

// Key returns the settings' key.
func (s Settings) Key() Key {
	digest := sha256.Sum256(s.encode())
	return Key{digest: hex.EncodeToString(digest[:])}
}

type settingsFile struct {
	Version int               `json:"version"`
	Values  map[string]string `json:"values"`
}

// encode writes the settings as their file holds them: JSON, whose keys are sorted.
func (s Settings) encode() []byte {
	file := settingsFile{Version: settingsVersion, Values: map[string]string{}}
	for name, value := range s {
		if !value.IsEmpty() {
			file.Values[name] = value.Reveal()
		}
	}
	content, _ := json.MarshalIndent(file, "", "  ") // texts always can
	return append(content, '\n')
}

// decodeSettings reads the file. Its errors do not quote it.
func decodeSettings(content []byte) (Settings, error) {
	var file struct {
		Version int      `json:"version"`
		Values  Settings `json:"values"`
	}
	if err := json.Unmarshal(content, &file); err != nil || file.Version != settingsVersion {
		return nil, fmt.Errorf("not the settings of a session that this version of the Step knows")
	}
	return file.Values, nil
}
