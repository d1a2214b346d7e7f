package dockerlogin

import (
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

func TestExplanations(t *testing.T) {
	const private, public = "123456789012", "public.ecr.aws"
	for name, row := range map[string]struct {
		registry, body string
		cause          string
		means, do      []string // a part of each text
	}{
		"permission missing": {
			private, denied("ecr:GetAuthorizationToken", "because no identity-based policy allows it"),
			"docker_login needs ecr:GetAuthorizationToken, which these credentials don't have",
			[]string{"getting a registry password."}, []string{"Allow ecr:GetAuthorizationToken", "set docker_login to false"},
		},
		"without a message": {
			private, `{"__type":"AccessDenied"}`,
			"docker_login needs ecr:GetAuthorizationToken, which these credentials don't have",
			[]string{"getting a registry password."}, []string{"Allow ecr:GetAuthorizationToken", "set docker_login to false"},
		},
		"denied": {
			private, denied("ecr:GetAuthorizationToken", "with an explicit deny in a service control policy"),
			"a policy denies ecr:GetAuthorizationToken, which docker_login needs",
			[]string{"getting a registry password."}, []string{"Allow ecr:GetAuthorizationToken", "set docker_login to false"},
		},
		"permission missing, public": {
			public, denied("ecr-public:GetAuthorizationToken", ""),
			"docker_login needs ecr-public:GetAuthorizationToken, which these credentials don't have",
			[]string{"getting a registry password."},
			[]string{"Allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken", "remove public.ecr.aws from ecr_registries"},
		},
		"bearer token permission missing, public": {
			public, denied("sts:GetServiceBearerToken", ""),
			"docker_login needs sts:GetServiceBearerToken, which these credentials don't have",
			[]string{"getting a registry password."},
			[]string{"Allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken", "remove public.ecr.aws from ecr_registries"},
		},
		"without a message, public": {
			public, `{"__type":"AccessDenied"}`,
			"docker_login needs ecr-public:GetAuthorizationToken or sts:GetServiceBearerToken, which these credentials don't have",
			[]string{"getting a registry password."},
			[]string{"Allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken", "remove public.ecr.aws from ecr_registries"},
		},
		"Region not enabled": {
			private, `{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}`,
			"ECR does not recognize the credentials in eu-west-1",
			[]string{"Regions that are not enabled"}, []string{"Check that the Region eu-west-1 is enabled", "Run the build again"},
		},
		"the same for all services": {
			private, `{"__type":"ExpiredTokenException","message":"expired"}`,
			"the credentials had expired when ECR received them", nil, []string{"session_duration", "clock"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := obtain(t, always(400, row.body).client(t), 1, newRequest(registries(t, row.registry)...))
			x := explain.Of(err)
			if x.Cause != row.cause || x.Said != err.Error() || x.SaidBy != "AWS" {
				t.Errorf("got %+v", x)
			}
			contains := func(text, part string) bool { return strings.Contains(text, part) && !strings.Contains(text, "{") }
			if !slices.EqualFunc(x.Means, row.means, contains) || !slices.EqualFunc(x.Do, row.do, contains) {
				t.Errorf("got %+v", x)
			}
		})
	}
}

// Failures are explained together, each text once.
func TestSeveralFailuresAreExplainedTogether(t *testing.T) {
	const lacks = "docker_login needs ecr:GetAuthorizationToken, which these credentials don't have"
	private := denied("ecr:GetAuthorizationToken", "")
	for name, row := range map[string]struct {
		euWest1, public string
		cause, reasons  string // reasons: the first paragraph, if the failures differ
		means, do       int
	}{
		"the same": {private, "", lacks, "", 1, 2},
		"missing permissions": {
			private, denied("sts:GetServiceBearerToken", ""), "missing permissions: ecr:GetAuthorizationToken, sts:GetServiceBearerToken",
			"The reasons: " + lacks + "; docker_login needs sts:GetServiceBearerToken, which these credentials don't have.", 2, 4,
		},
		"different reasons": {
			`{"__type":"UnrecognizedClientException","message":"invalid"}`, denied("sts:GetServiceBearerToken", ""),
			"logging in to several registries failed for different reasons",
			"The reasons: " + lacks + "; ECR does not recognize the credentials in eu-west-1; docker_login needs sts:", 3, 6,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := always(400, private)
			fake.handlers["eu-west-1/ecr"] = reply(400, row.euWest1)
			fake.handlers["us-east-1/ecr-public"] = reply(400, row.public)
			items := registries(t, host, "123456789012")
			if row.public != "" {
				items = append(items, registries(t, "public.ecr.aws")...)
			}
			_, err := obtain(t, fake.client(t), 1, newRequest(items...))
			if lines := strings.Split(err.Error(), "\n"); len(lines) != len(items) {
				t.Errorf("got %q, want one line per failure", lines)
			}
			x := explain.Of(err)
			if x.Cause != row.cause || x.Said != err.Error() || x.SaidBy != "AWS" || len(x.Means) != row.means ||
				len(x.Do) != row.do || !strings.HasPrefix(x.Means[0], row.reasons) {
				t.Errorf("got %+v", x)
			}
		})
	}
}
