package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// The calls that a run makes, in the form that [count] takes.
const (
	idToken = "bitrise:id_token"
	assume  = "sts:AssumeRoleWithWebIdentity"
	hop     = "sts:AssumeRole"
	login   = "ecr:GetAuthorizationToken"
	caller  = "sts:GetCallerIdentity"
)

// calls is the number of calls of each kind.
type calls struct{ idToken, assume, login int }

// fault is a row of the matrix: what the sandbox does wrong, how the Step must react, and how many calls it must make.
type fault struct {
	name string
	// script is parsed by [sandbox.ParseFaults].
	script string
	// failure is a regular expression that the log must match if the Step must fail. If empty, the Step must succeed.
	failure string
	// calls are exact: the Step neither gives up early nor retries permanent errors.
	calls calls
	// log and silent are regular expressions that the log must match and must not match.
	log, silent string
}

func faultMatrix() []fault {
	once := calls{1, 1, 1}
	return []fault{
		{name: "no fault", calls: once},

		// Transient errors of each call.
		{name: "token: connection reset", script: idToken + " 1 reset", calls: calls{2, 1, 1}, log: `Fetching an identity token failed \(attempt 1\): .*; retrying in \d+\.\d s`},
		{name: "token: connection closed", script: idToken + " 1-2 close", calls: calls{3, 1, 1}},
		{name: "token: connection closed midway", script: idToken + " 1 midway", calls: calls{2, 1, 1}},
		{name: "token: response cut short", script: idToken + " 1 truncate", calls: calls{2, 1, 1}},
		{name: "token: response is a web page", script: idToken + " 1 garbage", calls: calls{2, 1, 1}},
		{name: "token: response is empty", script: idToken + " 1 empty", calls: calls{2, 1, 1}},
		{name: "token: no response", script: idToken + " 1 silence", calls: calls{2, 1, 1}, log: "no response within 10 seconds"},
		{name: "token: 500", script: idToken + " 1 status 500", calls: calls{2, 1, 1}},
		{name: "token: 503 with Retry-After", script: idToken + " 1 status 503 1", calls: calls{2, 1, 1}, log: `retrying in 1\.\d s`},
		{name: "token: 429", script: idToken + " 1-3 status 429", calls: calls{4, 1, 1}},
		{name: "token: not a JWT", script: idToken + " 1 nojwt", calls: calls{2, 1, 1}},

		{name: "STS: connection reset", script: assume + " 1 reset", calls: calls{1, 2, 1}},
		{name: "STS: connection closed midway", script: assume + " 1 midway", calls: calls{1, 2, 1}},
		{name: "STS: response cut short", script: assume + " 1 truncate", calls: calls{1, 2, 1}},
		{name: "STS: response is a web page", script: assume + " 1 garbage", calls: calls{1, 2, 1}},
		{name: "STS: response is empty", script: assume + " 1 empty", calls: calls{1, 2, 1}},
		{name: "STS: no response", script: assume + " 1 silence", calls: calls{1, 2, 1}, log: "no response within 10 seconds"},
		{name: "STS: 500", script: assume + " 1 status 500", calls: calls{1, 2, 1}},
		{name: "STS: load balancer's page with 503", script: assume + " 1 page 503", calls: calls{1, 2, 1}},
		{name: "ECR: load balancer's page with 503", script: login + " 1 page 503", calls: calls{1, 1, 2}},
		{name: "STS: 503 with Retry-After", script: assume + " 1 status 503 1", calls: calls{1, 2, 1}, log: `retrying in 1\.\d s`},
		{name: "STS: throttled", script: assume + ` 1-3 error Throttling "Rate exceeded"`, calls: calls{1, 4, 1}, log: "STS returned Throttling: Rate exceeded"},
		{name: "STS: provider does not respond", script: assume + ` 1-2 error IDPCommunicationError "Connection to the identity provider timed out"`, calls: calls{1, 3, 1}},
		{name: "STS: provider's keys not fetched", script: assume + ` 1 error InvalidIdentityToken "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"`, calls: calls{1, 2, 1}},

		{name: "ECR: connection reset", script: login + " 1 reset", calls: calls{1, 1, 2}},
		{name: "ECR: connection closed midway", script: login + " 1 midway", calls: calls{1, 1, 2}},
		{name: "ECR: response cut short", script: login + " 1 truncate", calls: calls{1, 1, 2}},
		{name: "ECR: response is a web page", script: login + " 1 garbage", calls: calls{1, 1, 2}},
		{name: "ECR: response is empty", script: login + " 1 empty", calls: calls{1, 1, 2}},
		{name: "ECR: no response", script: login + " 1 silence", calls: calls{1, 1, 2}, log: "no response within 10 seconds"},
		{name: "ECR: 502", script: login + " 1 status 502", calls: calls{1, 1, 2}},
		{name: "ECR: throttled", script: login + ` 1-2 error ThrottlingException "Rate exceeded"`, calls: calls{1, 1, 3}},
		{name: "ECR: credentials not propagated yet", script: login + ` 1-2 error UnrecognizedClientException "The security token included in the request is invalid."`, calls: calls{1, 1, 3}},

		{name: "one error per call", script: idToken + " 1 reset\n" + assume + " 1 status 500\n" + login + " 1 truncate", calls: calls{2, 2, 2}},

		// Permanent errors. The Step fails immediately.
		{name: "token: 401", script: idToken + " * status 401", failure: "the token endpoint rejected the build's API token", calls: calls{1, 0, 0}},
		{name: "token: 404", script: idToken + " * status 404", failure: "the token endpoint returned 404", calls: calls{1, 0, 0}},
		{name: "token: other audience", script: idToken + " * audience someone-else", failure: `the token in the response must be for the audience "sts.amazonaws.com", got "someone-else"`, calls: calls{1, 0, 0}},
		{name: "token: expired", script: idToken + " * expired", failure: "the token in the response expired at ", calls: calls{1, 0, 0}},
		{name: "token: too large", script: idToken + " * huge 2000000", failure: "larger than 1 MiB", calls: calls{1, 0, 0}},
		{name: "token: Retry-After beyond the timeout", script: idToken + " * status 503 4000", failure: "the token endpoint returned 503 .*still failing when the Step's timeout expired", calls: calls{1, 0, 0}},
		{name: "STS: access denied", script: assume + ` * error AccessDenied "Not authorized to perform sts:AssumeRoleWithWebIdentity"`, failure: `AccessDenied \(STS`, calls: calls{2, 1, 0}},
		{name: "STS: wrong audience", script: assume + ` * error InvalidIdentityToken "Incorrect token audience"`, failure: `InvalidIdentityToken \(STS`, calls: calls{1, 1, 0}},
		{name: "STS: policy malformed", script: assume + ` * error MalformedPolicyDocument "Syntax error"`, failure: `MalformedPolicyDocument \(STS`, calls: calls{1, 1, 0}},
		{name: "STS: Region disabled", script: assume + ` * error RegionDisabledException "STS is not activated in this region"`, failure: `RegionDisabledException \(STS`, calls: calls{1, 1, 0}},
		{name: "STS: token expired", script: assume + ` * error ExpiredTokenException "Token expired"`, failure: `ExpiredTokenException \(STS`, calls: calls{1, 1, 0}},
		{name: "STS: other 4xx", script: assume + " * status 418", failure: "STS returned 418", calls: calls{1, 1, 0}},
		{name: "STS: too large", script: assume + " * huge 2000000", failure: "larger than 1 MiB", calls: calls{1, 1, 0}},
		{name: "ECR: access denied", script: login + ` * error AccessDeniedException "not authorized to perform: ecr:GetAuthorizationToken"`, failure: `AccessDeniedException \(ECR`, calls: calls{1, 1, 1}},
		{name: "ECR: other 4xx", script: login + " * status 403", failure: "ECR returned 403 Forbidden", calls: calls{1, 1, 1}},

		// If a server repeats the secrets that were sent to it, they do not show up anywhere: every log is searched for them.
		{name: "token: the error repeats the build's token", script: idToken + " * echo -", failure: `the token endpoint returned 403 Forbidden: \[REDACTED\] and \[REDACTED\]`, calls: calls{1, 0, 0}},
		{name: "STS: the error repeats the identity token", script: assume + " * echo AccessDenied", failure: `AccessDenied \(STS[^)]*\) \[REDACTED\] and \[REDACTED\]`, calls: calls{2, 1, 0}},
		{name: "ECR: the error repeats the session token", script: login + " * echo InvalidSignatureException", failure: `InvalidSignatureException \(ECR[^)]*\) \[REDACTED\] and \[REDACTED\]`, calls: calls{1, 1, 1}},
		{name: "token: a broken header repeats the build's token", script: idToken + " 1 header", calls: calls{2, 1, 1}},
		{name: "STS: a broken header repeats the identity token", script: assume + " 1 header", calls: calls{1, 2, 1}},
		{name: "ECR: a broken header repeats the session token", script: login + " 1 header", calls: calls{1, 1, 2}},
		{name: "token: a broken trailer repeats the build's token", script: idToken + " 1 trailer", calls: calls{2, 1, 1}},
		{name: "STS: a broken trailer repeats the identity token", script: assume + " 1 trailer", calls: once},
		{name: "STS: an error with a broken trailer", script: assume + " * trailer AccessDenied", failure: "STS returned 403 Forbidden", calls: calls{1, 1, 0}},
		{name: "ECR: a broken trailer repeats the session token", script: login + " 1 trailer", calls: calls{1, 1, 2}},
		{name: "ECR: an error with a broken trailer", script: login + " * trailer AccessDeniedException", failure: "ECR returned 400 Bad Request", calls: calls{1, 1, 1}},

		// A wrong clock gets a warning, but is not an error.
		{name: "clock almost right", script: idToken + " * date 30", calls: once, silent: "machine.s clock"},
		{name: "clock of this machine behind", script: idToken + " * date 300", calls: once, log: `This machine's clock is [1-5]m\d+s behind Bitrise's`},
		{name: "clock of this machine ahead", script: idToken + " * date -7200", calls: once, log: `This machine's clock is 2h\d+m\d+s ahead of Bitrise's`},
	}
}

func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	for _, row := range faultMatrix() {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			faults, err := sandbox.ParseFaults(strings.NewReader(row.script))
			if err != nil {
				t.Fatal(err)
			}
			cloud := startSandbox(t, sandbox.Options{Faults: faults})
			r := newRun(t, cloud)
			output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true", "verbose": "true"})

			if row.failure == "" {
				if err != nil {
					t.Errorf("the Step failed: %v\n%s", err, output)
				} else if r.exported()["AWS_SECRET_ACCESS_KEY"] == "" || r.exported()["ECR_REGISTRY"] == "" {
					t.Error("the Step succeeded but did not export everything")
				}
			} else {
				if err == nil {
					t.Errorf("the Step succeeded:\n%s", output)
				}
				if !regexp.MustCompile(row.failure).MatchString(flat(output)) {
					t.Errorf("the log does not match %q:\n%s", row.failure, output)
				}
				r.mustHaveExportedNothing()
			}
			if row.log != "" && !regexp.MustCompile(row.log).MatchString(flat(output)) {
				t.Errorf("the log does not match %q:\n%s", row.log, output)
			}
			if row.silent != "" && regexp.MustCompile(row.silent).MatchString(flat(output)) {
				t.Errorf("the log matches %q:\n%s", row.silent, output)
			}
			if got := (calls{count(cloud, idToken), count(cloud, assume), count(cloud, login)}); got != row.calls {
				t.Errorf("got calls %+v, want %+v; the log:\n%s", got, row.calls, output)
			}
		})
	}
}
