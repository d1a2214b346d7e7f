package dockerlogin

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// FetchError is logins that were not given. There are none at all then.
type FetchError struct {
	// Failures are all that failed, in the order in which the registries were named.
	Failures []Failure
	// Registries is how many logins were wanted.
	Registries int
}

// Failure is the registries of one Region, or of ECR Public, that gave no login.
type Failure struct {
	Registries []Registry
	// Service is ECR or ECR Public, Region where it was asked.
	Service, Region string
	Err             error
}

// failures lists the groups that failed; nil if none did.
func failures(groups []*tokenGroup) error {
	var failed FetchError
	for _, g := range groups {
		failed.Registries += len(g.registries)
		if g.err != nil {
			failed.Failures = append(failed.Failures, Failure{Registries: g.registries, Service: g.service.name, Region: g.region.String(), Err: g.err})
		}
	}
	if len(failed.Failures) == 0 {
		return nil
	}
	return &failed
}

// Error lists every registry that gave no login, and why it did not.
func (e *FetchError) Error() string {
	lines := make([]string, 0, len(e.Failures))
	for _, failure := range e.Failures {
		lines = append(lines, failure.String())
	}
	return strings.Join(lines, "\n")
}

// String says where, for which registries, and why not.
func (f Failure) String() string {
	where := f.Service + " in " + f.Region
	if names := f.names(); names != "" {
		where += " for " + names
	}
	return fmt.Sprintf("get a login to %s: %s", where, f.Err)
}

// names lists the registries; empty where none was named.
func (f Failure) names() string {
	var names []string
	for _, registry := range f.Registries {
		if registry.host != "" {
			names = append(names, registry.host)
		}
	}
	return strings.Join(names, ", ")
}

// Unwrap returns the causes.
func (e *FetchError) Unwrap() []error {
	causes := make([]error, 0, len(e.Failures))
	for _, failure := range e.Failures {
		causes = append(causes, failure.Err)
	}
	return causes
}

// Explain tells what the refusals mean. Of one that has no explanation the error itself is told; if that is all there is,
// there is nothing to add.
func (e *FetchError) Explain() (explain.Explanation, bool) {
	var x explain.Explanation
	var causes []string
	explained := false
	for _, failure := range e.Failures {
		one, found := failure.explain()
		explained = explained || found
		if !found {
			one.Cause = failure.Err.Error()
		}
		causes = append(causes, one.Cause)
		for _, means := range one.Means {
			if !slices.Contains(x.Means, means) {
				x.Means = append(x.Means, means)
			}
		}
		for _, do := range one.Do {
			if !slices.Contains(x.Do, do) {
				x.Do = append(x.Do, do)
			}
		}
	}
	if !explained {
		return explain.Explanation{}, false
	}
	x.Said = e.Error()
	x.Cause = causes[0]
	if len(slices.Compact(slices.Sorted(slices.Values(causes)))) > 1 {
		x.Cause = e.cause()
		for i, failure := range e.Failures {
			x.Means = append(x.Means, fmt.Sprintf("%s in %s: %s.", failure.Service, failure.Region, causes[i]))
		}
	}
	return x, true
}

// cause is one line for failures that differ.
func (e *FetchError) cause() string {
	var missing []string
	for _, failure := range e.Failures {
		if permission := failure.missing(); !slices.Contains(missing, permission) {
			missing = append(missing, permission)
		}
	}
	if slices.Contains(missing, "") {
		return "no login in several Regions, for different reasons; none was stored"
	}
	return "missing permissions: " + strings.Join(missing, ", ")
}

// explain tells what one refusal means.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html.
func (f Failure) explain() (explain.Explanation, bool) {
	var refusal *awserr.Refusal
	if !errors.As(f.Err, &refusal) {
		return explain.Explanation{}, false
	}
	switch refusal.Code {
	case "AccessDeniedException", "AccessDenied":
		return f.accessDenied(), true
	case "UnrecognizedClientException", "InvalidClientTokenId":
		return explain.Explanation{
			Cause: f.Service + " does not know the credentials in " + f.Region,
			Means: []string{"STS took them a moment ago. A Region that has to be switched on for an account, and is not, answers like this."},
			Do:    []string{"Check that the Region " + f.Region + " is enabled for the account: Account, AWS Regions.", "Run the build again: new credentials can take a moment to be known everywhere."},
		}, true
	case "ExpiredTokenException", "ExpiredToken":
		return explain.Explanation{
			Cause: "the credentials had expired when " + f.Service + " received them",
			Do:    []string{"Give the session a longer duration, or temporary access keys that are fresh.", "Check this machine's clock."},
		}, true
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		return explain.Explanation{
			Cause: f.Service + " does not accept the signature, likely because of the clock",
			Means: []string{"A signature is good for five minutes. The credentials worked a moment ago."},
			Do:    []string{"Check this machine's clock."},
		}, true
	case "ThrottlingException", "Throttling":
		return explain.Explanation{
			Cause: f.Service + " turned the call away as one too many, until the Step's timeout",
			Do:    []string{"Raise timeout, or start fewer builds at the same moment."},
		}, true
	default:
		return explain.Explanation{}, false
	}
}

// missing is the permission that was missing, which AWS says if it says anything; empty if it was something else.
func (f Failure) missing() string {
	var refusal *awserr.Refusal
	if !errors.As(f.Err, &refusal) || !strings.HasPrefix(refusal.Code, "AccessDenied") {
		return ""
	}
	if match := regexp.MustCompile(`perform: ([a-z-]+:[A-Za-z]+)`).FindStringSubmatch(refusal.Message); match != nil {
		return match[1]
	}
	if f.Service == ecrPublic().name {
		return "ecr-public:GetAuthorizationToken or sts:GetServiceBearerToken"
	}
	return "ecr:GetAuthorizationToken"
}

func (f Failure) accessDenied() explain.Explanation {
	cause := "the permission " + f.missing() + " is missing, which docker_login needs"
	if strings.Contains(f.Err.Error(), "explicit deny") {
		cause = "a policy denies " + f.missing() + ", which docker_login needs"
	}
	x := explain.Explanation{
		Cause: cause,
		Means: []string{"The credentials work; what they may do does not include to ask ECR for a password. A policy of the organization or a permissions boundary can be the reason too: AWS said above which kind of policy it was, if it says so."},
	}
	if f.Service == ecrPublic().name {
		x.Do = []string{"Allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken on the resource * for the role or user: ECR Public asks for both.", "Or take " + f.names() + " out of ecr_registries: public images can be pulled without a login."}
		return x
	}
	x.Do = []string{"Allow ecr:GetAuthorizationToken on the resource * for the role or user: AWS knows no narrower resource for it. To push and pull, the repository's own permissions are needed besides.", "Or set docker_login to false."}
	return x
}
