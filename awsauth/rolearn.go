package awsauth

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// RoleARN is the Amazon Resource Name of an IAM role: arn:PARTITION:iam::ACCOUNT:role/PATH/NAME.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns.
type RoleARN struct {
	text, partition, account, path, name string
}

// rolePattern: a role's path has up to 512 characters from ! to ~ between slashes, and its name up to 64 of [\w+=,.@-], by
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html. The lengths are not in the pattern: compiling {1,510} adds
// a millisecond to every run, including those of the credential process.
var rolePattern = regexp.MustCompile(`^arn:([a-z][a-z0-9-]*):iam::(\d{12})?:role(/(?:[!-~]+/)?)([\w+=,.@-]+)$`)

// ParseRoleARN parses the ARN of a role. In AWS's partitions, the account has 12 digits. STS-compatible services use other
// partitions and no account (arn:minio:iam:::role/x); they are accepted. The error for an ARN that is often taken for a
// role's says what it is and what to use instead.
func ParseRoleARN(s string) (RoleARN, error) {
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
	const shortest, longest, longestPath, longestName = 20, 2048, 512, 64

	if err := otherARN(s); err != nil {
		return RoleARN{}, err
	}
	match := rolePattern.FindStringSubmatch(s)
	if match == nil {
		return RoleARN{}, fmt.Errorf("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/my-role, got %q", text.Shorten(s))
	}
	role := RoleARN{text: s, partition: match[1], account: match[2], path: match[3], name: match[4]}
	switch {
	case strings.Contains(s, ",arn:"): // a path may contain almost anything, a list too
		return RoleARN{}, fmt.Errorf("must be one ARN, got several separated by commas: %q; role_chain takes one per line", text.Shorten(s))
	case len(s) < shortest || len(s) > longest:
		return RoleARN{}, fmt.Errorf("must have %d to %d characters, got %d", shortest, longest, len(s))
	case len(role.path) > longestPath:
		return RoleARN{}, fmt.Errorf("must have a path of at most %d characters, got %d", longestPath, len(role.path))
	case len(role.name) > longestName:
		return RoleARN{}, fmt.Errorf("must have a role name of at most %d characters, got %d", longestName, len(role.name))
	case role.account == "" && IsAWSPartition(role.partition):
		return RoleARN{}, fmt.Errorf("must include the 12-digit account ID, as in arn:%s:iam::123456789012:role/%s, got %q",
			role.partition, role.name, text.Shorten(s))
	}
	return role, nil
}

// IsAWSPartition reports whether a partition is one of AWS's (aws, aws-cn, aws-us-gov, aws-eusc, aws-iso, …), not that of an
// STS-compatible service.
func IsAWSPartition(partition string) bool {
	return partition == "aws" || strings.HasPrefix(partition, "aws-")
}

// otherARN recognizes the ARNs that are often taken for a role's; it returns nil for all others.
func otherARN(s string) error {
	other, err := arn.Parse(s)
	if err != nil {
		return nil
	}
	kind, rest, _ := strings.Cut(other.Resource, "/")
	role := fmt.Sprintf("arn:%s:iam::%s:role/NAME", other.Partition, other.AccountID)
	switch other.Service + ":" + kind {
	case "iam:oidc-provider":
		return fmt.Errorf("must be the ARN of a role that trusts the OIDC provider, such as %s, got the ARN of the OIDC provider "+
			"itself (IAM console, Roles, the role, ARN)", role)
	case "iam:user":
		return fmt.Errorf("must be the ARN of a role, such as %s, got the ARN of an IAM user (to use a user's access key, set "+
			"access_key_id and secret_access_key instead)", role)
	case "sts:assumed-role":
		name, _, _ := strings.Cut(rest, "/")
		return fmt.Errorf("must be the ARN of the role itself, arn:%s:iam::%s:role/%s (with the role's path before its name, if it "+
			"has one), got the ARN of an assumed role, which is a session", other.Partition, other.AccountID, name)
	}
	return nil
}

func (r RoleARN) String() string { return r.text }

// Partition returns the ARN's partition; STS-compatible services have their own.
func (r RoleARN) Partition() string { return r.partition }

// owner names the role's account in a sentence; STS-compatible services have none.
func (r RoleARN) owner() string {
	if r.account == "" {
		return "the service"
	}
	return "account " + r.account
}

// usualAudience returns the audience that AWS's documentation uses in the role's partition.
func (r RoleARN) usualAudience() string {
	if r.partition == "aws-cn" {
		return "sts.amazonaws.com.cn"
	}
	return "sts.amazonaws.com"
}
