package awsauth

import (
	"fmt"
	"regexp"
)

// SessionName is a role session name: 2 to 64 characters of [\w+=,.@-]. It is part of the caller ARN, and CloudTrail shows it.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
type SessionName struct{ name string }

var notInSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

// ParseSessionName makes a session name of s. Characters that STS rejects become hyphens. Empty, or a bare "bitrise-" (there is no
// build number in a local run), becomes bitrise-local. A long name is an error and is not truncated: two names that differ only
// at the end would become one.
func ParseSessionName(s string) (SessionName, error) {
	const shortest, longest = 2, 64

	name := notInSessionName.ReplaceAllString(s, "-")
	if name == "" || name == "bitrise-" {
		name = "bitrise-local"
	}
	if n := len(name); n < shortest || n > longest {
		return SessionName{}, fmt.Errorf("must have %d to %d characters, got %d", shortest, longest, n)
	}
	return SessionName{name: name}, nil
}

func (n SessionName) String() string { return n.name }
