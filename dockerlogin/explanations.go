package dockerlogin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// table explains errors of ECR and ECR Public, except those that mean the same for all services.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html.
func (i issuer) table() []explain.Explanation {
	region := i.region.String()
	return []explain.Explanation{
		{
			Section: "ecr-does-not-recognize-the-credentials", Match: "UnrecognizedClientException|InvalidClientTokenId",
			Cause: i.service() + " does not recognize the credentials in " + region,
			Means: []string{"STS has just accepted them. Regions that aren't enabled for the account return this error."},
			Do: []string{
				"Check that the Region " + region + " is enabled for the account: AWS console, Account, AWS Regions.",
				"Run the build again, because new credentials can take seconds to propagate.",
			},
		},
	}
}

// isDenied reports whether an error means that the credentials don't allow the call.
func isDenied(err error) bool {
	_, denied := awserr.DenialOf(err)
	return denied
}

// explained adds context to the group's error, and explains what the service returned.
func (g *group) explained() error {
	where, registries := g.issuer.service()+" in "+g.issuer.region.String(), strings.Join(g.hosts, ", ")
	if registries != "" {
		where += " for " + registries
	}
	call := awserr.Call{
		Where: where, Action: "ecr:GetAuthorizationToken", Resource: "the resource *", Policy: "the policies of the role or user",
	}
	if g.issuer.isPublic {
		call.Action = "ecr-public:GetAuthorizationToken"
	}
	if denial, _ := awserr.DenialOf(g.err); !denial.IsExplicit && (denial.Policy == "" || denial.Policy == "identity-based policy") {
		call.Denied = "docker_login needs " + cmp.Or(denial.Action, call.Action) + ", which these credentials don't have"
	}
	err := awserr.Explain(fmt.Errorf("get a login to %s: %w", where, g.err), g.issuer.table(), call)
	var x *explain.Error
	if g.issuer.isPublic && isDenied(err) && errors.As(err, &x) {
		x.Do = append(x.Do, "Make sure that both ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken are allowed.",
			"Or remove "+registries+" from ecr_registries. Pulling public images doesn't require a login.")
	}
	return err
}

// failures combines the errors of the groups and their explanations. It returns nil if there are none.
func failures(groups []*group) error {
	var failed []error
	var causes []string
	var x explain.Explanation
	for _, g := range groups {
		if g.err == nil {
			continue
		}
		err := g.explained()
		failed = append(failed, err)
		if errors.Is(err, context.Canceled) {
			continue // stopped because a different group failed
		}
		one := explain.Of(err)
		causes = appendNew(causes, one.Cause)
		x.Said, x.SaidBy = strings.TrimSpace(x.Said+"\n"+one.Said), cmp.Or(x.SaidBy, one.SaidBy)
		x.Section = cmp.Or(x.Section, one.Section)
		x.Means, x.Do = appendNew(x.Means, one.Means...), appendNew(x.Do, one.Do...)
	}
	if len(failed) == 0 {
		return nil
	}
	x.Cause = strings.Join(causes, "; ")
	if slices.ContainsFunc(failed, isDenied) {
		x.Do = append(x.Do, "Or set docker_login to false.")
	}
	return &explain.Error{Err: errors.Join(failed...), Explanation: x}
}

// appendNew appends the texts that aren't in the list yet.
func appendNew(list []string, texts ...string) []string {
	for _, text := range texts {
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}
