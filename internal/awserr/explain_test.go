package awserr_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// AWS's messages as its documentation and users quote them: what they say, and what the Step says about them. The documentation is
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html.
func TestDenials(t *testing.T) {
	const user, scp, rcp = "User: arn:aws:iam::123456789012:user/JohnDoe is ", "service control policy", "resource control policy"
	const list = "ecr:ListImages"
	for _, row := range []struct {
		message       string
		want          awserr.Denial
		cause, advice string // "" if another table explains it
	}{
		{"Not authorized to perform sts:AssumeRoleWithWebIdentity", awserr.Denial{Action: "sts:AssumeRoleWithWebIdentity"}, "", ""},
		{"Not authorized", awserr.Denial{}, "", ""},
		{"Access denied", awserr.Denial{}, "", ""},
		{
			user + "not authorized to perform: sts:TagSession on resource: arn:aws:iam::123456789012:role/x",
			awserr.Denial{Action: "sts:TagSession"}, "", "",
		},
		{
			user + "not authorized to perform: sts:SetSourceIdentity on resource: arn:aws:iam::123456789012:role/x",
			awserr.Denial{Action: "sts:SetSourceIdentity"}, "", "",
		},
		{
			user + "not authorized to perform: ecr-public:GetAuthorizationToken on resource: * because no " +
				"identity-based policy allows the ecr-public:GetAuthorizationToken action",
			awserr.Denial{Action: "ecr-public:GetAuthorizationToken", Policy: "identity-based policy"},
			"no identity-based policy allows ecr-public:GetAuthorizationToken",
			"Allow ecr-public:GetAuthorizationToken on the resource * in the policies of the caller.",
		},
		{
			user + "not authorized to perform: ecr:ListImages with an explicit deny in an identity-based " +
				"policy: arn:aws:iam::123456789012:policy/no-lists",
			awserr.Denial{Action: list, Policy: "identity-based policy", IsExplicit: true},
			"an identity-based policy denies ecr:ListImages",
			"Change the statement that denies ecr:ListImages in the policies of the caller.",
		},
		{
			user + "not authorized to perform: ecr:ListImages with an explicit deny in a service control policy",
			awserr.Denial{Action: list, Policy: scp, IsExplicit: true}, "a service control policy denies ecr:ListImages",
			"Ask an administrator of the AWS organization to change the statement that denies ecr:ListImages in its service control policy.",
		},
		{
			user + "not authorized to perform: ecr:ListImages on resource: * with an explicit deny in a service control policy: " +
				"arn:aws:organizations::987654321098:policy/o-qv5af4abcd/service_control_policy/p-2kgnabcd",
			awserr.Denial{Action: list, Policy: scp, IsExplicit: true}, "a service control policy denies ecr:ListImages", "AWS organization",
		},
		{
			user + "not authorized to perform: ecr:ListImages because no service control policy allows the ecr:ListImages action",
			awserr.Denial{Action: list, Policy: scp}, "no service control policy allows ecr:ListImages",
			"Ask an administrator of the AWS organization to allow ecr:ListImages on the resource * in its service control policy.",
		},
		{
			user + "not authorized to perform: ecr:ListImages on resource: * with an explicit deny in a resource control policy",
			awserr.Denial{Action: list, Policy: rcp, IsExplicit: true}, "a resource control policy denies ecr:ListImages", "AWS organization",
		},
		{
			user + "not authorized to perform: ecr:ListImages because no VPC endpoint policy allows the ecr:ListImages action",
			awserr.Denial{Action: list, Policy: "VPC endpoint policy"}, "no VPC endpoint policy allows ecr:ListImages",
			"Ask an administrator of this machine's network to allow ecr:ListImages on the resource * in the policy of its VPC endpoint.",
		},
		{
			user + "not authorized to perform: ecr:ListImages on resource: * with an explicit deny in a VPC endpoint policy",
			awserr.Denial{Action: list, Policy: "VPC endpoint policy", IsExplicit: true}, "a VPC endpoint policy denies ecr:ListImages", "network",
		},
		{
			user + "not authorized to perform: ecr:ListImages on resource: * with an explicit deny in a " +
				"VPC endpoint policy transitively through a service control policy",
			awserr.Denial{Action: list, Policy: scp, IsExplicit: true}, "a service control policy denies ecr:ListImages", "AWS organization",
		},
		{
			user + "not authorized to perform: ecr:ListImages on resource: * because no permissions boundary allows the ecr:ListImages action",
			awserr.Denial{Action: list, Policy: "permissions boundary"}, "no permissions boundary allows ecr:ListImages",
			"Ask an administrator of the account to allow ecr:ListImages on the resource * in the permissions boundary of the caller.",
		},
		{
			user + "not authorized to perform: ecr:ListImages with an explicit deny in a permissions boundary",
			awserr.Denial{Action: list, Policy: "permissions boundary", IsExplicit: true},
			"a permissions boundary denies ecr:ListImages", "permissions boundary of the caller",
		},
		{
			user + "not authorized to perform: ecr:ListImages because no session policy allows the ecr:ListImages action",
			awserr.Denial{Action: list, Policy: "session policy"}, "no session policy allows ecr:ListImages",
			"Allow ecr:ListImages on the resource * in the session policy, which is set in inline_session_policy or managed_session_policies",
		},
		{
			user + "not authorized to perform: ecr:ListImages with an explicit deny in a sessions policy",
			awserr.Denial{Action: list, Policy: "session policy", IsExplicit: true}, "a session policy denies ecr:ListImages",
			"Change the statement that denies ecr:ListImages in the session policy",
		},
		{
			user + "not authorized to perform: sts:AssumeRole because no role trust policy allows the sts:AssumeRole action",
			awserr.Denial{Action: "sts:AssumeRole", Policy: "role trust policy"}, "no role trust policy allows sts:AssumeRole",
			"Ask an administrator of the role's account to allow sts:AssumeRole on the resource * in the role's trust policy, and to check its conditions.",
		},
		{
			user + "not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/x because no resource-based policy " +
				"allows the sts:AssumeRole action",
			awserr.Denial{Action: "sts:AssumeRole", Policy: "resource-based policy"}, "no resource-based policy allows sts:AssumeRole",
			"in the role's trust policy, and to check its conditions.",
		},
		{
			user + "not authorized to perform: sts:AssumeRole with an explicit deny in the role trust policy",
			awserr.Denial{Action: "sts:AssumeRole", Policy: "role trust policy", IsExplicit: true},
			"a role trust policy denies sts:AssumeRole", "in the role's trust policy, and to check its conditions.",
		},
		{
			user + "not authorized to perform: sts:AssumeRole with an explicit deny in a resource-based policy",
			awserr.Denial{Action: "sts:AssumeRole", Policy: "resource-based policy", IsExplicit: true},
			"a resource-based policy denies sts:AssumeRole", "in the role's trust policy, and to check its conditions.",
		},
		{
			user + "not authorized to perform: ecr:ListImages on resource: * with an explicit deny",
			awserr.Denial{Action: list, IsExplicit: true}, "a policy denies ecr:ListImages", "AWS doesn't say which policy it is in",
		},
	} {
		t.Run(row.message, func(t *testing.T) {
			err := fmt.Errorf("call: %w", &awserr.Error{Service: "ECR", Code: "AccessDeniedException", Message: row.message, RequestID: "0a1b2c"})
			if got, isDenied := awserr.DenialOf(err); got != row.want || !isDenied {
				t.Errorf("got %+v, %t; want %+v", got, isDenied, row.want)
			}
			x := explain.Of(awserr.Explain(err, []explain.Explanation{{Match: "AccessDeniedException", Cause: "another table"}}, awserr.Call{
				Action: list, Resource: "the resource *", Policy: "the policies of the caller",
			}))
			if want := "AccessDeniedException (ECR, request ID 0a1b2c)\n" + row.message; x.Said != want {
				t.Errorf("got said %q, want %q", x.Said, want)
			}
			if row.cause == "" {
				row.cause = "another table"
			}
			if x.Cause != row.cause || !strings.Contains(strings.Join(x.Do, ""), row.advice) || strings.ContainsAny(strings.Join(x.Do, ""), "{}") {
				t.Errorf("got %+v", x)
			}
			// Adding an Allow is not suggested if a statement denies the action.
			denies := strings.Contains(strings.Join(x.Means, ""), "overrides every Allow")
			if denies != (row.want.IsExplicit) || denies && strings.Contains(strings.Join(x.Do, ""), "llow ecr:") {
				t.Errorf("got %+v", x)
			}
		})
	}
}
