package profile

import (
	"fmt"
	"regexp"
	"strings"
)

// Name is the name of a profile: ASCII letters, digits, and the punctuation _ . - / % @ : +.
//
// AWS's page on the file (https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html) mentions only letters, digits,
// hyphens, and underscores. These are the characters that every reader of the file accepts in a name. The SDKs for
// Java and Rust skip sections with others (VALID_IDENTIFIER in ProfileFileReader.java of
// https://github.com/aws/aws-sdk-java-v2).
type Name struct{ text string }

// defaultName is the profile whose section is [default], without the word profile.
const defaultName = "default"

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_.\-/%@:+]+$`)

// ParseName parses the name of a profile. Leading and trailing whitespace is trimmed.
func ParseName(s string) (Name, error) {
	s = strings.TrimSpace(s)
	if !namePattern.MatchString(s) {
		return Name{}, fmt.Errorf("must be ASCII letters, digits, and _.-/%%@:+, such as bitrise, got %q", s)
	}
	return Name{text: s}, nil
}

// String returns the name, or the empty string for the zero value.
func (n Name) String() string { return n.text }

// header returns the header of the profile's section in the configuration file.
func (n Name) header() string {
	if n.text == defaultName {
		return "[default]"
	}
	return "[profile " + n.text + "]"
}

// isSection reports whether any reader of the configuration file takes the section for the profile's.
func (n Name) isSection(section string) bool {
	name, hasPrefix := strings.CutPrefix(normalize(section), "profile ")
	return name == n.text && (hasPrefix || n.text == defaultName)
}

// normalize removes what readers treat differently in a section that this Step didn't write: quotes, backslashes, and repeated spaces.
func normalize(section string) string {
	return strings.Join(strings.Fields(strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(section)), " ")
}
