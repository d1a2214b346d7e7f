package awsauth

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// RoleARN is the Amazon Resource Name of an IAM role: arn:PARTITION:iam::ACCOUNT:role/PATH/NAME.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns.
type RoleARN struct {
	text, partition, account, path, name string
}

// rolePattern: a role's path has characters from ! to ~ between slashes, and its name has [\w+=,.@-], by
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html.
var rolePattern = regexp.MustCompile(`^arn:([a-z][a-z0-9-]*):iam::(\d{12})?:role(/(?:[!-~]+/)?)([\w+=,.@-]+)$`)

// ParseRoleARN parses the ARN of a role. In AWS's partitions, the account has 12 digits. STS-compatible services use other
// partitions and no account (arn:minio:iam:::role/x); they are accepted. The error for an ARN that is often taken for a
// role's says what it is and what to use instead.
func ParseRoleARN(s string) (RoleARN, error) {
	if err := otherARN(s); err != nil {
		return RoleARN{}, err
	}
	match := rolePattern.FindStringSubmatch(s)
	if match == nil || (match[2] == "" && isAWSPartition(match[1])) || strings.Contains(s, ",arn:") { // a path may contain a list
		return RoleARN{}, fmt.Errorf("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/my-role, got %q", s)
	}
	return RoleARN{text: s, partition: match[1], account: match[2], path: match[3], name: match[4]}, nil
}

// isAWSPartition reports whether a partition is one of AWS's (aws, aws-cn, aws-us-gov, aws-eusc, aws-iso, …), not that of an
// STS-compatible service.
func isAWSPartition(partition string) bool {
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

// Short returns the role's name and account, for a log.
func (r RoleARN) Short() string {
	if r.account == "" {
		return r.name
	}
	return r.name + " in account " + r.account
}

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
