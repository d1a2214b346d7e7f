package dockerlogin

import (
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

func TestExplanations(t *testing.T) {
	const private, public = "123456789012", "public.ecr.aws"
	const both = "both ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken are allowed"
	for name, row := range map[string]struct {
		registry, body string
		cause          string
		means, do      []string // a part of each text
	}{
		"permission missing": {
			private, denied("ecr:GetAuthorizationToken", "because no identity-based policy allows it"),
			"docker_login needs ecr:GetAuthorizationToken, which these credentials don't have",
			nil, []string{"Allow ecr:GetAuthorizationToken on the resource *", "set docker_login to false"},
		},
		"without a message": {
			private, `{"__type":"AccessDenied"}`, "docker_login needs ecr:GetAuthorizationToken, which these credentials don't have",
			nil, []string{"Allow ecr:GetAuthorizationToken on the resource *", "set docker_login to false"},
		},
		"denied": {
			private, denied("ecr:GetAuthorizationToken", "with an explicit deny in a service control policy"),
			"a service control policy denies ecr:GetAuthorizationToken",
			[]string{"overrides every Allow statement"}, []string{"Ask an administrator of the AWS organization", "set docker_login to false"},
		},
		"session policy": {
			private, denied("ecr:GetAuthorizationToken", "because no session policy allows the ecr:GetAuthorizationToken action"),
			"no session policy allows ecr:GetAuthorizationToken", nil, []string{"in inline_session_policy or", "set docker_login to false"},
		},
		"permission missing, public": {
			public, denied("ecr-public:GetAuthorizationToken", ""), "docker_login needs ecr-public:GetAuthorizationToken, which these credentials don't have", nil,
			[]string{"Allow ecr-public:GetAuthorizationToken on", both, "remove public.ecr.aws from ecr_registries", "docker_login"},
		},
		"bearer token permission missing, public": {
			public, denied("sts:GetServiceBearerToken", "because no identity-based policy allows the action"),
			"docker_login needs sts:GetServiceBearerToken, which these credentials don't have", nil,
			[]string{"Allow sts:GetServiceBearerToken on", both, "remove public.ecr.aws from ecr_registries", "docker_login"},
		},
		"Region not enabled": {
			private, `{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}`,
			"ECR does not recognize the credentials in eu-west-1",
			[]string{"Regions that aren't enabled"}, []string{"Check that the Region eu-west-1 is enabled", "Run the build again"},
		},
		"the same for all services": {
			private, `{"__type":"ExpiredTokenException","message":"expired"}`,
			"the credentials had expired when ECR received them", nil, []string{"session_duration", "clock"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := obtain(t, always(400, row.body).client(t), 1, newRequest(registries(t, row.registry)...))
			x := explain.Of(err)
			if x.Cause != row.cause || !strings.Contains(x.Said, " in ") || x.SaidBy != "AWS" {
				t.Errorf("got %+v", x)
			}
			contains := func(text, part string) bool { return strings.Contains(text, part) && !strings.Contains(text, "{") }
			if !slices.EqualFunc(x.Means, row.means, contains) || !slices.EqualFunc(x.Do, row.do, contains) {
				t.Errorf("got %+v", x)
			}
		})
	}
}

// Failures are explained together, each text once, grouped by service. That the login is optional comes last.
func TestSeveralFailuresAreExplainedTogether(t *testing.T) {
	const missing, public = "docker_login needs ecr:GetAuthorizationToken, which these credentials don't have", "docker_login needs sts:GetServiceBearerToken, which these credentials don't have"
	private := denied("ecr:GetAuthorizationToken", "")
	for name, row := range map[string]struct {
		euWest1, public string
		cause           string
		means           int
		do              []string // a part of each text
	}{
		"the same": {private, "", missing, 0, []string{"Allow ecr:", "Or set docker_login to false."}},
		"missing permissions": {
			private, denied("sts:GetServiceBearerToken", ""), missing + "; " + public, 0,
			[]string{"Allow ecr:", "Allow sts:", "Make sure that both", "Or remove public.ecr.aws", "Or set docker_login to false."},
		},
		"different reasons": {
			`{"__type":"UnrecognizedClientException","message":"invalid"}`, denied("sts:GetServiceBearerToken", ""),
			missing + "; ECR does not recognize the credentials in eu-west-1; " + public, 1,
			[]string{"Allow ecr:", "Check that", "Run the", "Allow sts:", "Make sure that both", "Or remove", "Or set docker_login to false."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := always(400, private)
			fake.handlers["eu-west-1/ecr"] = reply(400, row.euWest1)
			fake.handlers["us-east-1/ecr-public"] = reply(400, row.public)
			items := registries(t, host, "123456789012")
			if row.public != "" {
				items = append(registries(t, "public.ecr.aws"), items...)
			}
			_, err := obtain(t, fake.client(t), 1, newRequest(items...))
			if lines := strings.Split(err.Error(), "\n"); len(lines) != len(items) {
				t.Errorf("got %q, want one line per failure", lines)
			}
			x := explain.Of(err)
			if x.Cause != row.cause || strings.Count(x.Said, "\n") != 2*len(items)-1 || x.SaidBy != "AWS" || len(x.Means) != row.means ||
				!slices.EqualFunc(x.Do, row.do, strings.Contains) {
				t.Errorf("got %+v", x)
			}
		})
	}
}
