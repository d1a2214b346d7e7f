package profile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Name is the name of a profile: letters, digits and combining marks of any script, the punctuation _ . - / % @ : +, and
// spaces in between.
//
// AWS's page on the file (https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html) mentions only letters, digits,
// hyphens and underscores. The AWS CLI, boto3 and the SDK for Go accept more, and Name holds what all three accept; see
// [Name.IsPortable] for the others. Characters that one of the three reads differently are left out: quotes, backslashes, #
// and ; end or change a section's name, brackets close it, and control characters end the line.
type Name struct{ text string }

// defaultName is the profile whose section is [default], without the word profile.
const defaultName = "default"

// ParseName parses the name of a profile. Leading and trailing whitespace is trimmed.
func ParseName(s string) (Name, error) {
	const punctuation = "_.-/%@:+"

	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return Name{}, errors.New("must be the name of a profile, such as bitrise, got an empty text")
	case !utf8.ValidString(s):
		return Name{}, errors.New("must be UTF-8")
	}
	for _, r := range s {
		if r != ' ' && !isWordRune(r) && !strings.ContainsRune(punctuation, r) {
			return Name{}, fmt.Errorf("must consist of letters, digits, spaces and %s, got %q; the AWS CLI or an SDK would read another name",
				punctuation, r)
		}
	}
	return Name{text: s}, nil
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// String returns the name; it is empty only for the zero value.
func (n Name) String() string { return n.text }

// IsPortable reports whether every SDK finds the profile. Those for Java and Rust skip sections whose names have other
// characters than these: VALID_IDENTIFIER in
// ProfileFileReader.java of https://github.com/aws/aws-sdk-java-v2.
func (n Name) IsPortable() bool { return portablePattern.MatchString(n.text) }

var portablePattern = regexp.MustCompile(`^[A-Za-z0-9_.\-/%@:+]+$`)

// headers returns the section headers of the profile, such that every reader finds one. For a name with a space, botocore (the
// AWS CLI, boto3) needs quotes, while the SDK for Go takes quotes for a part of the name: it gets a section for each.
func (n Name) headers() []string {
	switch {
	case n.text == defaultName:
		return []string{"[default]"}
	case strings.Contains(n.text, " "):
		return []string{`[profile "` + n.text + `"]`, "[profile " + n.text + "]"}
	default:
		return []string{"[profile " + n.text + "]"}
	}
}

// isSection reports whether a reader of the configuration file takes the section for the profile.
func (n Name) isSection(section string) bool {
	section = normalize(section)
	if rest, found := strings.CutPrefix(section, "profile "); found {
		return rest == normalize(n.text)
	}
	return section == defaultName && n.text == defaultName
}

// normalize removes what readers treat differently: quotes, backslashes, and repeated spaces. No name has quotes or
// backslashes.
func normalize(s string) string {
	return strings.Join(strings.Fields(quotingPattern.ReplaceAllString(s, "")), " ")
}

var quotingPattern = regexp.MustCompile(`["'\\]`)
