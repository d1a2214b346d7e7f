package e2e

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// Transient errors of the calls that TestFaultMatrix does not cover are retried too.
func TestFaultsOfTheOtherCalls(t *testing.T) {
	t.Parallel()
	const public = "ecr-public:GetAuthorizationToken"
	for _, row := range []struct {
		call   string
		faults []string
	}{
		{caller, []string{"reset", "midway", "truncate", "garbage", "empty", "header", "status 500", "status 429", "page 503", `error Throttling "Rate exceeded"`}},
		{hop, []string{"reset", "midway", "truncate", "garbage", "empty", "header", "status 500", "status 429", "page 503", `error Throttling "Rate exceeded"`,
			`error InvalidClientTokenId "The security token included in the request is invalid."`}},
		{public, []string{"reset", "midway", "truncate", "garbage", "empty", "header", "status 500", "status 429", "page 503", `error ThrottlingException "Rate exceeded"`,
			`error UnrecognizedClientException "The security token included in the request is invalid."`}},
	} {
		for _, fault := range row.faults {
			t.Run(row.call+" "+fault, func(t *testing.T) {
				t.Parallel()
				cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, row.call+" 1 "+fault)})
				given := map[string]string{"role_arn": role}
				switch row.call {
				case caller:
					key := cloud.User("ci")
					given = map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret}
				case hop:
					given["role_chain"] = targetRole
				case public:
					maps.Copy(given, map[string]string{"docker_login": "true", "ecr_registries": "public.ecr.aws"})
				}
				output, err := newRun(t, cloud).step(given)
				if err != nil || count(cloud, row.call) != 2 || !strings.Contains(output, "failed (attempt 1)") {
					t.Errorf("got %d calls, want 2; %v\n%s", count(cloud, row.call), err, output)
				}
			})
		}
	}
	// Permanent errors, and errors that repeat the secrets that were sent.
	for name, script := range map[string]string{
		"unknown key":        caller + ` * error InvalidClientTokenId "The security token included in the request is invalid."`,
		"echo to a hop":      hop + " * echo AccessDenied",
		"trailer to a hop":   hop + " * trailer AccessDenied",
		"hop is denied":      hop + ` * error AccessDenied "no"`,
		"echo to ECR Public": public + " * echo AccessDeniedException",
		"trailer, public":    public + " * trailer AccessDeniedException",
		"no such permission": public + ` * error AccessDeniedException "no"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, script)})
			given := map[string]string{"role_arn": role, "role_chain": targetRole, "docker_login": "true", "ecr_registries": "public.ecr.aws"}
			if strings.HasPrefix(script, caller) {
				key := cloud.User("ci")
				given = map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret}
			}
			r := newRun(t, cloud)
			output, err := r.step(given)
			call, _, _ := strings.Cut(script, " ")
			if err == nil || count(cloud, call) != 1 {
				t.Errorf("got %d calls, want 1; %v\n%s", count(cloud, call), err, output)
			}
			r.mustHaveExportedNothing()
		})
	}
}

// The three parts of a temporary access key are verified together.
func TestTemporaryAccessKey(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	first := newRun(t, cloud)
	first.mustStep(map[string]string{"role_arn": role})
	values := first.exported()
	given := map[string]string{"access_key_id": values["AWS_ACCESS_KEY_ID"], "secret_access_key": values["AWS_SECRET_ACCESS_KEY"], "session_token": values["AWS_SESSION_TOKEN"]}
	second := newRun(t, cloud)
	second.mustStep(given)
	if got := second.exported(); count(cloud, caller) != 1 || got["AWS_SESSION_TOKEN"] != values["AWS_SESSION_TOKEN"] || got["AWS_CALLER_ARN"] != values["AWS_CALLER_ARN"] {
		t.Errorf("got %d calls; exported %s in %s", count(cloud, caller), got["AWS_CALLER_ARN"], got["AWS_ACCOUNT_ID"])
	}
	given["session_token"] = "one-that-is-not-its"
	third := newRun(t, cloud)
	if output, err := third.step(given); err == nil || !strings.Contains(flat(output), "AWS does not recognize the access key") {
		t.Errorf("%v\n%s", err, output)
	}
	third.mustHaveExportedNothing()
}

// A machine's clock that is an hour off does not make the Step fail, because AWS's responses contain the time.
func TestClockThatIsAnHourOff(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{Clock: func() time.Time { return time.Now().Add(time.Hour) }})
	key := cloud.User("ci")
	r := newRun(t, cloud)
	r.mustStep(map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret, "role_chain": targetRole, "docker_login": "true"})
	if got := [3]int{count(cloud, caller), count(cloud, "sts:AssumeRole"), count(cloud, login)}; got[0] > 2 || got[1] > 2 || got[2] > 2 {
		t.Errorf("got calls %v, want at most 2 of each", got)
	}
}
