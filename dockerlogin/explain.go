package dockerlogin

import (
	"errors"
	"fmt"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// FetchError is a login that ECR did not give.
type FetchError struct {
	Region string
	Err    error
}

// Error says where, and why not.
func (e *FetchError) Error() string {
	return fmt.Sprintf("get a login to ECR in %s: %s", e.Region, e.Err)
}

// Unwrap returns the cause.
func (e *FetchError) Unwrap() error { return e.Err }

// Explain tells what ECR's refusal means.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html.
func (e *FetchError) Explain() (explain.Explanation, bool) {
	var refusal *awserr.Refusal
	if !errors.As(e.Err, &refusal) {
		return explain.Explanation{}, false
	}
	var x explain.Explanation
	switch refusal.Code {
	case "AccessDeniedException", "AccessDenied":
		x = explain.Explanation{
			Cause: "the permission ecr:GetAuthorizationToken is missing, which docker_login needs",
			Means: []string{"The credentials work; what they may do does not include to ask ECR for a password. A policy of the organization or a permissions boundary can be the reason too: AWS said above which kind of policy it was, if it says so."},
			Do:    []string{"Allow ecr:GetAuthorizationToken on the resource * for the role or user: AWS knows no narrower resource for it. To push and pull, the repository's own permissions are needed besides.", "Or set docker_login to false."},
		}
	case "UnrecognizedClientException", "InvalidClientTokenId":
		x = explain.Explanation{
			Cause: "ECR does not know the credentials in " + e.Region,
			Means: []string{"STS took them a moment ago. A Region that has to be switched on for an account, and is not, answers like this."},
			Do:    []string{"Check that the Region " + e.Region + " is enabled for the account: Account, AWS Regions.", "Run the build again: new credentials can take a moment to be known everywhere."},
		}
	case "ThrottlingException", "Throttling":
		x = explain.Explanation{
			Cause: "ECR turned the call away as one too many, until the Step's timeout",
			Do:    []string{"Raise timeout, or start fewer builds at the same moment."},
		}
	default:
		return x, false
	}
	x.Said = e.Err.Error()
	return x, true
}
