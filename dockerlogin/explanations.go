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
func table() explain.Table {
	return explain.Table{
		{
			Section: "ecr-does-not-recognize-the-credentials", Codes: []string{"UnrecognizedClientException", "InvalidClientTokenId"},
			Cause: "{service} does not recognize the credentials in {region}",
			Means: []string{"STS has just accepted them. Regions that aren't enabled for the account return this error."},
			Do: []string{
				"Check that the Region {region} is enabled for the account: AWS console, Account, AWS Regions.",
				"Run the build again, because new credentials can take seconds to propagate.",
			},
		},
	}
}

// isDenied reports whether an error means that the credentials don't allow the call.
func isDenied(err error) bool {
	var returned *awserr.Error
	return errors.As(err, &returned) && strings.HasPrefix(returned.Code, "AccessDenied")
}

// explained adds context to the group's error, and explains what the service returned.
func (g *group) explained() error {
	where, registries := g.issuer.service()+" in "+g.issuer.region.String(), strings.Join(g.hosts, ", ")
	if registries != "" {
		where += " for " + registries
	}
	values := map[string]string{
		"where": where, "region": g.issuer.region.String(), "action": "ecr:GetAuthorizationToken", "resource": "the resource *",
		"caller": "the role or user", "place": "the policies of the role or user",
	}
	if g.issuer.isPublic {
		values["action"] = "ecr-public:GetAuthorizationToken"
	}
	if denial := awserr.DenialOf(g.err); !denial.IsExplicit && (denial.Policy == "" || denial.Policy == "identity-based policy") {
		values["denied"] = "docker_login needs " + cmp.Or(denial.Action, values["action"]) + ", which these credentials don't have"
	}
	err := awserr.Explain(fmt.Errorf("get a login to %s: %w", where, g.err), table(), values)
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
