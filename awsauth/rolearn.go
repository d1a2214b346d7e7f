package awsauth

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// RoleARN is the Amazon Resource Name of an IAM role: arn:PARTITION:iam::ACCOUNT:role/PATH/NAME.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns.
type RoleARN struct {
	text, partition, account, path, name string
}

// ParseRoleARN takes the ARN of a role. Accounts of AWS's own partitions have 12 digits; services that speak STS's
// protocol use partitions of their own and an empty account (arn:minio:iam:::role/x), which pass. What people paste
// instead of a role's ARN (that of the OIDC provider before all) is told apart in the error.
func ParseRoleARN(s string) (RoleARN, error) {
	// STS: RoleArn has 20 to 2048 characters, https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
	const shortest, longest = 20, 2048

	if strings.HasPrefix(s, "arn:") {
		if err := otherARN(s); err != nil {
			return RoleARN{}, err
		}
	}
	// A role's path has up to 512 characters from ! to ~ between slashes and its name up to 64 of [\w+=,.@-]:
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html.
	match := regexp.MustCompile(`^arn:([a-z][a-z0-9-]*):iam::(\d{12})?:role(/(?:[!-~]{1,510}/)?)([\w+=,.@-]{1,64})$`).FindStringSubmatch(s)
	if match == nil {
		return RoleARN{}, fmt.Errorf("the ARN of an IAM role wanted, such as arn:aws:iam::123456789012:role/my-role, %q found", text.Shorten(s))
	}
	role := RoleARN{text: s, partition: match[1], account: match[2], path: match[3], name: match[4]}
	if role.account == "" && IsAWSPartition(role.partition) {
		return RoleARN{}, fmt.Errorf("the ARN of an IAM role with an account of 12 digits wanted, such as arn:%s:iam::123456789012:role/%s, %q found", role.partition, role.name, text.Shorten(s))
	}
	// A path may hold almost anything, also what is meant to be a list.
	if strings.Contains(s, ",arn:") {
		return RoleARN{}, fmt.Errorf("one ARN wanted, several with commas between them found: %q; where a list is taken, it is one a line", text.Shorten(s))
	}
	if len(s) < shortest || len(s) > longest {
		return RoleARN{}, fmt.Errorf("an ARN has %d to %d characters, this one %d", shortest, longest, len(s))
	}
	return role, nil
}

// IsAWSPartition tells AWS's own partitions (aws, aws-cn, aws-us-gov, aws-eusc, aws-iso, …) from other services'.
func IsAWSPartition(partition string) bool {
	return partition == "aws" || strings.HasPrefix(partition, "aws-")
}

// otherARN recognises the ARNs that are often taken for a role's; nil if it is none of them.
func otherARN(arn string) error {
	fields := strings.SplitN(arn, ":", 6)
	if len(fields) < 6 {
		return nil
	}
	service, resource := fields[2], fields[5]
	kind, rest, _ := strings.Cut(resource, "/")
	role := fmt.Sprintf("arn:%s:iam::%s:role/NAME", fields[1], fields[4])
	switch {
	case service == "iam" && kind == "oidc-provider":
		return fmt.Errorf("this is the ARN of the OIDC provider; the ARN of a role that trusts this provider is wanted, %s: IAM console, Roles, the role, ARN", role)
	case service == "iam" && kind == "saml-provider":
		return fmt.Errorf("this is the ARN of a SAML provider; the ARN of a role that trusts Bitrise's OIDC provider is wanted, %s", role)
	case service == "iam" && kind == "user":
		return fmt.Errorf("this is the ARN of an IAM user; the ARN of a role is wanted, %s (to use a user's keys, give access_key_id and secret_access_key in place of role_arn)", role)
	case service == "sts" && kind == "assumed-role":
		name, _, _ := strings.Cut(rest, "/")
		return fmt.Errorf("this is the ARN of an assumed role, a session; the ARN of the role itself is wanted, arn:%s:iam::%s:role/%s, with the role's path before its name if it has one", fields[1], fields[4], name)
	case service == "iam" && kind == "instance-profile":
		return fmt.Errorf("this is the ARN of an instance profile; the ARN of a role is wanted, %s", role)
	case service == "iam" && kind == "policy":
		return fmt.Errorf("this is the ARN of a policy; the ARN of a role is wanted, %s", role)
	case service == "iam" && kind == "root":
		return errors.New("this is the ARN of an account; the ARN of a role is wanted, " + role)
	}
	return nil
}

// String returns the ARN.
func (r RoleARN) String() string { return r.text }

// Partition returns the ARN's partition; services that only speak STS's protocol have their own.
func (r RoleARN) Partition() string { return r.partition }

// owner names the role's account in a sentence. Services that speak STS's protocol have none.
func (r RoleARN) owner() string {
	if r.account == "" {
		return "the service"
	}
	return "account " + r.account
}
