package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// The logs of whole runs are golden files that a person has read: the inputs with secrets redacted, one line per stage with its
// duration, what was exported, and nothing else unless verbose.
func TestLogs(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		given  map[string]string
		keys   bool
		script string
		fails  bool
	}{
		"web identity":             {given: map[string]string{"role_arn": role}},
		"access key":               {keys: true},
		"everything":               {given: map[string]string{"role_arn": role, "role_chain": targetRole, "session_tags": "team=mobile\nstage=test", "docker_login": "true", "ecr_registries": "123456789012.dkr.ecr.eu-west-1.amazonaws.com, public.ecr.aws", "aws_profile": "bitrise"}},
		"verbose":                  {given: map[string]string{"role_arn": role, "docker_login": "true", "verbose": "true"}},
		"a retry":                  {given: map[string]string{"role_arn": role}, script: assume + " 1 status 503 1"},
		"invalid inputs":           {given: map[string]string{"region": "us_east_1", "role_arn": "arn:aws:iam::123456789012:oidc-provider/token.builds.bitrise.io", "timeout": "5"}, fails: true},
		"a service that is silent": {given: map[string]string{"role_arn": role, "timeout": "10"}, script: assume + " * silence", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, row.script)})
			r := newRun(t, cloud)
			given := map[string]string{}
			if row.keys {
				key := cloud.User("ci")
				given = map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret}
			}
			for key, value := range row.given {
				given[key] = value
			}
			output, err := r.step(given)
			if (err != nil) != row.fails {
				t.Fatalf("%v\n%s", err, output)
			}
			log := strings.ReplaceAll(output, filepath.Dir(r.docker), "/home/user")
			log = regexp.MustCompile(`retrying in \d+\.\d s`).ReplaceAllString(normalize(log, cloud), "retrying in N.N s")
			log = regexp.MustCompile(`(new|open) connection`).ReplaceAllString(log, "NEW OR OPEN connection")
			checkGolden(t, filepath.Join("testdata", "log", strings.ReplaceAll(name, " ", "-")+".txt"), log)
		})
	}
}
