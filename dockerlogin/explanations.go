package dockerlogin

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// table explains errors of ECR and ECR Public, apart from those that mean the same for all services. {permission} is the
// permission in the error message.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html.
func (i issuer) table() explain.Table {
	denied := []string{"AccessDeniedException", "AccessDenied"}
	means := []string{
		"The credentials are valid, but they do not allow getting a registry password. The reason can also be an organization's " +
			"policy or a permissions boundary. If AWS says which kind of policy it was, its message is above.",
	}
	allow := []string{
		"Allow ecr:GetAuthorizationToken on the resource * for the role or user: the action does not support narrower resources. " +
			"Pushing and pulling also need permissions for the repository.",
		"Or set docker_login to false.",
	}
	if i.isPublic {
		allow = []string{
			"Allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken on the resource * for the role or user: ECR Public " +
				"requires both.",
			"Or remove {registries} from ecr_registries: pulling public images does not require a login.",
		}
	}
	return explain.Table{
		{
			Codes: denied, Message: "explicit deny",
			Cause: "a policy denies {permission}, which docker_login needs",
			Means: means,
			Do:    allow,
		},
		{
			Codes: denied,
			Cause: "docker_login needs {permission}, which these credentials don't have",
			Means: means,
			Do:    allow,
		},
		{
			Codes: []string{"UnrecognizedClientException", "InvalidClientTokenId"},
			Cause: "{service} does not recognize the credentials in {region}",
			Means: []string{"STS accepted them a moment ago. Regions that are not enabled for the account return this error."},
			Do: []string{
				"Check that the Region {region} is enabled for the account: AWS console, Account, AWS Regions.",
				"Run the build again: new credentials can take a moment to propagate.",
			},
		},
	}
}

// permission returns the permission that an error says is missing, or empty if it says something else.
func (i issuer) permission(err error) string {
	var returned *awserr.Refusal
	if !errors.As(err, &returned) || !strings.HasPrefix(returned.Code, "AccessDenied") {
		return ""
	}
	permissions := []string{"ecr:GetAuthorizationToken"}
	if i.isPublic {
		permissions = []string{"ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"}
	}
	for _, permission := range permissions {
		if strings.Contains(returned.Message, permission) {
			return permission
		}
	}
	return strings.Join(permissions, " or ")
}

// explained adds what was being done to the group's error, and an explanation of what the service returned.
func (g *group) explained() error {
	var hosts []string
	for _, registry := range g.registries {
		if registry.host != "" {
			hosts = append(hosts, registry.host)
		}
	}
	where := g.issuer.service() + " in " + g.issuer.region.String()
	registries := strings.Join(hosts, ", ")
	if registries != "" {
		where += " for " + registries
	}
	return awserr.Explain(fmt.Errorf("get a login to %s: %w", where, g.err), g.issuer.table(), map[string]string{
		"region": g.issuer.region.String(), "registries": registries, "permission": g.issuer.permission(g.err),
	})
}

// failures combines the errors of the groups, with all their explanations, or returns nil if no group failed.
func failures(groups []*group) error {
	var failed []error
	var permissions []string
	for _, g := range groups {
		if g.err != nil {
			failed = append(failed, g.explained())
			permissions = appendNew(permissions, g.issuer.permission(g.err))
		}
	}
	err := errors.Join(failed...)
	if len(failed) < 2 {
		return err
	}
	x := explain.Explanation{Said: err.Error(), SaidBy: "AWS"}
	var causes []string
	for _, one := range failed {
		explanation := explain.Of(one)
		causes = appendNew(causes, explanation.Cause)
		x.Means = appendNew(x.Means, explanation.Means...)
		x.Do = appendNew(x.Do, explanation.Do...)
	}
	x.Cause = causes[0]
	if len(causes) > 1 {
		x.Cause = "missing permissions: " + strings.Join(permissions, ", ")
		if slices.Contains(permissions, "") {
			x.Cause = "logging in to several registries failed for different reasons"
		}
		x.Means = append([]string{"The reasons: " + strings.Join(causes, "; ") + "."}, x.Means...)
	}
	return &explain.Error{Err: err, Explanation: x}
}

// appendNew appends the texts that are not in the list yet.
func appendNew(list []string, texts ...string) []string {
	for _, text := range texts {
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}
