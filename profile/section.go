package profile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
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

// header returns the header of the profile's section.
func (f awsFile) header(n Name) string {
	if n.text == defaultName || f.isCredentials {
		return "[" + n.text + "]"
	}
	return "[profile " + n.text + "]"
}

// isSection reports whether any reader of the file takes the section for the profile's.
func (f awsFile) isSection(n Name, section string) bool {
	if f.isCredentials {
		return normalize(section) == n.text
	}
	name, hasPrefix := strings.CutPrefix(normalize(section), "profile ")
	return name == n.text && (hasPrefix || n.text == defaultName)
}

// normalize removes what readers treat differently in a section that this Step didn't write: quotes, backslashes, and repeated spaces.
func normalize(section string) string {
	return strings.Join(strings.Fields(strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(section)), " ")
}

// note is a comment in the Step's sections, for people.
const note = "# Written by the Bitrise Step Authenticate with AWS. It renews these credentials automatically."

// ErrForeign is the error for a profile that the Step didn't create.
var ErrForeign = errors.New("this Step didn't create it")

// section is a profile's section in one of AWS's files: its header and settings. Comments below its last setting are not a part of it.
type section struct {
	// begin and end are where the section is in the file, in bytes.
	begin, end int
	lines      []line
	// session is the session of the profile's credential process, or none if the process isn't the Step's, or if readers don't agree
	// on where the section begins and ends.
	session Session
}

// findSections returns the sections of a parsed file whose names are accepted.
func findSections(lines []line, isAccepted func(section string) bool) []section {
	var found []section
	for i := 0; i < len(lines); i++ {
		if !isAccepted(lines[i].section) {
			continue
		}
		s := section{begin: lines[i].begin, end: lines[i].end, lines: lines[i : i+1]}
		isClear := !lines[i].isContinuation
		for j := i + 1; j < len(lines); j++ {
			if lines[j].section != "" {
				isClear = isClear && !lines[j].isContinuation
				break
			}
			if !lines[j].isComment() {
				s.end, s.lines = lines[j].end, lines[i:j+1]
			}
			if lines[j].setting == processSetting {
				s.session = parseCommand(lines[j].value)
			}
		}
		if !isClear {
			s.session = ""
		}
		found = append(found, s)
	}
	return found
}

const (
	processSetting = "credential_process"
	regionSetting  = "region"
)

// find returns the section of a profile, which has no lines if the file has none. A section that the Step didn't create
// is an error: in the configuration file, an [ErrForeign].
func (f awsFile) find(content []byte, name Name) (section, error) {
	lines, err := parse(content)
	if err != nil {
		return section{}, err
	}
	found := findSections(lines, func(section string) bool { return f.isSection(name, section) })
	if len(found) == 0 {
		return section{}, nil
	}
	rival, number := found[0].rival(), found[0].lines[0].number
	switch {
	case f.isCredentials && rival.setting == "aws_access_key_id" && rival.value == "":
		err = fmt.Errorf("the profile %q has an empty aws_access_key_id, and AWS's tools would sign their calls with it", name)
	case f.isCredentials && found[0].session == "":
		err = fmt.Errorf("there are keys for the profile %q, which AWS's tools would use instead of credentials that are renewed", name)
	case found[0].session == "":
		err = fmt.Errorf("the profile %q exists, and %w", name, ErrForeign)
	case rival.setting != "":
		err = fmt.Errorf("the profile %q has the setting %s, which some tools use instead of the Step's credentials", name, rival.setting)
	case len(found) > 1:
		number, err = found[1].lines[0].number, fmt.Errorf("the profile %q appears twice", name)
	default:
		return found[0], nil
	}
	return section{}, fmt.Errorf("line %d: %w", number, err)
}

// rival returns a setting of the section from which some tools get credentials instead of from the credential process, if any.
func (s section) rival() line {
	for _, l := range s.lines {
		switch l.setting {
		case "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "role_arn", "source_profile", "credential_source",
			"web_identity_token_file", "sso_session", "sso_account_id", "login_session":
			return l
		}
	}
	return line{}
}

// others returns the settings of a section that the Step didn't write, and the comments between them. They are kept.
func (s section) others() []string {
	var kept []string
	isOurs := false
	for _, l := range s.lines[1:] {
		if l.setting != "" {
			isOurs = slices.Contains([]string{processSetting, regionSetting}, l.setting)
		}
		if l.isComment() && l.text != note || !l.isComment() && !isOurs {
			kept = append(kept, l.raw)
		}
	}
	return kept
}

// withProfile returns the content of the file with the profile. It replaces an earlier one, or adds the profile at the
// end of the configuration file. In the credentials file, it only replaces a copy.
func (f awsFile) withProfile(content []byte, p Profile) ([]byte, error) {
	place, err := f.find(content, p.Name)
	isNew := len(place.lines) == 0
	if err != nil || isNew && f.isCredentials {
		return content, err
	}
	text, ending := string(content), lineEnding(content)
	before, after := text, ""
	lines := []string{f.header(p.Name), note}
	if !isNew {
		before, after = text[:place.begin], text[place.end:]
		lines = append(lines, place.others()...)
	} else if text != "" { // add an empty line, or end the last line
		before += ending
	}
	// Last, because a following indented setting would be read as a part of the one above.
	lines = append(lines, regionSetting+" = "+p.Region.String(), processSetting+" = "+p.Command.text, "")
	return []byte(before + strings.Join(lines, ending) + after), nil
}

// withoutSessions returns the content of one of AWS's files without the profiles of some sessions, and their names.
func withoutSessions(content []byte, sessions []Session) (rest []byte, removed []string, err error) {
	lines, err := parse(content)
	if err != nil {
		return nil, nil, err
	}
	ending := lineEnding(content)
	for _, s := range slices.Backward(findSections(lines, func(section string) bool { return section != "" })) {
		if s.session == "" || !slices.Contains(sessions, s.session) {
			continue
		}
		text := string(content)
		before, after := text[:s.begin], text[min(s.end, len(text)):] // shorter if the section below was removed
		// Remove the empty line that was added before the section, or the line ending that was added to the last line.
		if trimmed := strings.TrimSuffix(before, ending); strings.HasSuffix(trimmed, "\n") || after == "" {
			before = trimmed
		}
		content = []byte(before + after)
		removed = append(removed, strings.TrimPrefix(normalize(s.lines[0].section), "profile "))
	}
	return content, removed, nil
}

// lineEnding returns how the first line ends.
func lineEnding(content []byte) string {
	if first, _, _ := strings.Cut(string(content), "\n"); strings.HasSuffix(first, "\r") {
		return "\r\n"
	}
	return "\n"
}
