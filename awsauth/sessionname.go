package awsauth

import (
	"fmt"
	"regexp"
)

// SessionName is a role session name: 2 to 64 characters of [\w+=,.@-]. It is part of the caller ARN, and CloudTrail shows it.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
type SessionName struct{ name string }

var notInSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

// ParseSessionName converts s to a session name. It replaces characters that STS rejects with hyphens. If s is empty, or is only
// "bitrise-" because a local run has no build number, it returns bitrise-local. A long name is an error and isn't truncated, because
// names that differ only at the end would become the same.
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
