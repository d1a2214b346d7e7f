package profile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// note is a comment in the Step's sections, for people.
const note = "# Written by the Bitrise Step Authenticate with AWS. It renews these credentials automatically."

// ErrForeign is the error for a profile that the Step didn't create.
var ErrForeign = errors.New("this Step didn't create it")

// section is a profile's section in one of AWS's files: its header and settings. Comments below its last setting are not a part of it.
type section struct {
	// begin and end are where the section is in the file, in bytes.
	begin, end int
	lines      []line
	// session is the session of the profile's credential process. It is nil if the process isn't the Step's, or if readers don't agree
	// on where the section begins and ends.
	session *Session
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
			s.session = nil
		}
		found = append(found, s)
	}
	return found
}

const (
	processSetting = "credential_process"
	regionSetting  = "region"
)

// find returns the section of a profile, or nil if the file has none. A section that the Step didn't create is an [ErrForeign].
func find(content []byte, name Name) (*section, error) {
	lines, err := parse(content)
	if err != nil {
		return nil, err
	}
	found := findSections(lines, name.isSection)
	if len(found) == 0 {
		return nil, nil
	}
	rival := found[0].rival()
	switch {
	case found[0].session == nil:
		return nil, fmt.Errorf("line %d: the profile %q exists, and %w", lineNumber(content, found[0].begin), name, ErrForeign)
	case rival != "":
		return nil, fmt.Errorf("line %d: the profile %q has the setting %s, which some tools use instead of the Step's credentials",
			lineNumber(content, found[0].begin), name, rival)
	case len(found) > 1:
		return nil, fmt.Errorf("line %d: the profile %q appears twice", lineNumber(content, found[1].begin), name)
	}
	return &found[0], nil
}

// rival returns a setting of the section from which some tools get credentials instead of from the credential process; empty if it has
// none.
func (s section) rival() string {
	for _, l := range s.lines {
		switch l.setting {
		case "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "role_arn", "source_profile", "credential_source",
			"web_identity_token_file", "sso_session", "sso_account_id", "login_session":
			return l.setting
		}
	}
	return ""
}

func lineNumber(content []byte, offset int) int {
	return strings.Count(string(content[:offset]), "\n") + 1
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

// withProfile returns the content of the configuration file with the profile. It replaces an earlier one, or adds the profile at the end.
func withProfile(content []byte, p Profile) ([]byte, error) {
	place, err := find(content, p.Name)
	if err != nil {
		return nil, err
	}
	text, ending := string(content), lineEnding(content)
	before, after := text, ""
	lines := []string{p.Name.header(), note}
	if place != nil {
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
	text, ending := string(content), lineEnding(content)
	for _, s := range slices.Backward(findSections(lines, func(section string) bool { return section != "" })) {
		if s.session == nil || !slices.Contains(sessions, *s.session) {
			continue
		}
		before, after := text[:s.begin], text[min(s.end, len(text)):] // shorter if the section below was removed
		// Remove the empty line that was added before the section, or the line ending that was added to the last line.
		if trimmed := strings.TrimSuffix(before, ending); strings.HasSuffix(trimmed, "\n") || after == "" {
			before = trimmed
		}
		text = before + after
		removed = append(removed, strings.TrimPrefix(normalize(s.lines[0].section), "profile "))
	}
	return []byte(text), removed, nil
}

// lineEnding returns how the first line ends.
func lineEnding(content []byte) string {
	if first, _, _ := strings.Cut(string(content), "\n"); strings.HasSuffix(first, "\r") {
		return "\r\n"
	}
	return "\n"
}
