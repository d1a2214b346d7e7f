package profile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Name is the name of a profile: letters, digits and marks of any script, the punctuation _ . - / % @ : +, and blanks in
// between.
//
// AWS's page on the file (https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html) speaks of letters, digits, hyphens
// and underscores, in ASCII. The AWS CLI, boto3 and the SDK for Go read more, and this is what all three do; see
// [Name.Portable] for what others read. Left out is what one of the three reads otherwise: quotes, backslashes, # and ; end
// or change a section's name, brackets close it, and control characters end the line. Blanks need a section of their own for
// each kind of reader; see headers.
type Name struct{ text string }

// defaultName is the profile whose section is [default], without the word profile.
const defaultName = "default"

// ParseName takes the name of a profile. Blanks around it are not part of it.
func ParseName(s string) (Name, error) {
	const punctuation = " _.-/%@:+"

	s = strings.TrimSpace(s)
	if s == "" {
		return Name{}, fmt.Errorf("the name of a profile wanted, such as bitrise")
	}
	if !utf8.ValidString(s) {
		return Name{}, fmt.Errorf("the name of a profile in UTF-8 wanted")
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune(punctuation, r) {
			return Name{}, fmt.Errorf("letters, digits, blanks and _.-/%%@:+ wanted, %q found, which the AWS CLI or an SDK would not read as part of a profile's name", r)
		}
	}
	return Name{text: s}, nil
}

// String returns the name; it is empty for the zero value only.
func (n Name) String() string { return n.text }

// Portable tells whether every SDK reads the name. Those for Java and Rust pass over sections whose names have other
// characters than these: VALID_IDENTIFIER in
// https://github.com/aws/aws-sdk-java-v2/blob/master/core/profiles/src/main/java/software/amazon/awssdk/profiles/internal/ProfileFileReader.java.
func (n Name) Portable() bool {
	return !strings.ContainsFunc(n.text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_.-/%@:+", r)
	})
}

// headers returns the lines that open the profile's section, so that each reader takes one of them for it. Where the name
// has a blank, botocore (the AWS CLI, boto3) wants it in quotes and passes over a section without them; AWS's SDK for Go
// takes quotes for a part of the name. With one section for each, every reader finds one, and the other one is a profile
// that nobody asks for.
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
