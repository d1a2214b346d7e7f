package awsauth

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// RoleARN is the Amazon Resource Name of an IAM role: arn:PARTITION:iam::ACCOUNT:role/PATH/NAME.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns.
type RoleARN struct {
	text, partition, account, name string
}

// rolePattern is for role ARNs. A path has characters from ! to ~ between slashes, and a name has [\w+=,.@-]; see
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html.
var rolePattern = regexp.MustCompile(`^arn:([a-z][a-z0-9-]*):iam::(\d{12})?:role/(?:[!-~]+/)?([\w+=,.@-]+)$`)

// ParseRoleARN parses the ARN of a role. In AWS's partitions, the account has 12 digits.
// STS-compatible services use other partitions and no account, such as arn:minio:iam:::role/x.
func ParseRoleARN(s string) (RoleARN, error) {
	match := rolePattern.FindStringSubmatch(s)
	if match == nil || (match[2] == "" && strings.HasPrefix(match[1], "aws")) || strings.Contains(s, ",arn:") { // a list matches as a path
		return RoleARN{}, fmt.Errorf("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/my-role, got %s", described(s))
	}
	return RoleARN{text: s, partition: match[1], account: match[2], name: match[3]}, nil
}

// described returns a value that is not a role's ARN, for an error, with a hint if it is often confused with one.
func described(s string) string {
	switch {
	case strings.Contains(s, ":oidc-provider/"):
		return "the ARN of the OIDC provider; use the ARN of a role that trusts it"
	case strings.Contains(s, ":user/"):
		return "the ARN of an IAM user; to use the user's access key, set access_key_id and secret_access_key instead"
	case strings.Contains(s, ":assumed-role/"):
		return "the ARN of an assumed role, which is a session; use the role's own ARN, which the IAM console shows"
	default:
		return strconv.Quote(s)
	}
}

func (r RoleARN) String() string { return r.text }

// Short returns the role's name and account, for a log.
func (r RoleARN) Short() string {
	if r.account == "" {
		return r.name
	}
	return r.name + " in account " + r.account
}

// owner returns the role's account for a sentence. STS-compatible services have none.
func (r RoleARN) owner() string {
	if r.account == "" {
		return "the service"
	}
	return "account " + r.account
}

// SessionName is a role session name: 2 to 64 characters of [\w+=,.@-]. It is part of the caller ARN, and CloudTrail shows it.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
type SessionName struct{ name string }

var notInSessionName = regexp.MustCompile(`[^\w+=,.@-]`)

// ParseSessionName converts s to a session name. It replaces characters that STS rejects with hyphens. If s is empty, or is only
// "bitrise-" because a local run has no build number, it returns bitrise-local. A long name is an error and isn't truncated, because
// names that differ only at the end would become the same.
func ParseSessionName(s string) (SessionName, error) {
	name := notInSessionName.ReplaceAllString(s, "-")
	if name == "" || name == "bitrise-" {
		name = "bitrise-local"
	}
	if n := len(name); n < 2 || n > 64 {
		return SessionName{}, fmt.Errorf("must have 2 to 64 characters, got %d", n)
	}
	return SessionName{name: name}, nil
}

func (n SessionName) String() string { return n.name }
