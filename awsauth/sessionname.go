package awsauth

import (
	"fmt"
	"strings"
)

// SessionName is a role session name: 2 to 64 characters of [A-Za-z0-9_+=,.@-]. It stands in the caller's ARN and in
// CloudTrail. See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
type SessionName struct{ name string }

// localSession names the sessions of runs that are no build on Bitrise and so have no build number.
const localSession = "bitrise-local"

// ParseSessionName makes a session name of s. Characters that STS refuses become hyphens. Empty, or a "bitrise-" whose
// build number is missing, becomes bitrise-local. Nothing is cut: two names that differ at the end only would become one.
func ParseSessionName(s string) (SessionName, error) {
	const shortest, longest = 2, 64

	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("_+=,.@-", r):
			return r
		default:
			return '-'
		}
	}, s)
	if name == "" || name == "bitrise-" {
		name = localSession
	}
	if n := len(name); n < shortest || n > longest {
		return SessionName{}, fmt.Errorf("%d to %d characters wanted, %d found", shortest, longest, n)
	}
	return SessionName{name: name}, nil
}

// String returns the name.
func (n SessionName) String() string { return n.name }
