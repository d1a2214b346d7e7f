package step_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/step"
)

// Any list results either in a Config or in problems.
func FuzzParseInputs(f *testing.F) {
	f.Add("arn:aws:iam::123456789012:role/a\r\n\n arn:aws:iam::123456789012:role/b", "a=b\nc=", "000000000001,,123456789012", "123456789012\npublic.ecr.aws", "arn:aws:iam::aws:policy/x", "profile")
	f.Add(",", "=", "\x00", "https://", "\u2028", "ü b")
	f.Add(strings.Repeat("x\n", 3000), strings.Repeat("k=v\n", 60), strings.Repeat("1,", 100), "ghcr.io", "", "]")
	f.Fuzz(func(t *testing.T, chain, tags, accounts, registries, policies, profile string) {
		in := webIdentity()
		in.RoleChain, in.SessionTags, in.AllowedAccountIDs, in.ECRRegistries, in.ManagedSessionPolicies, in.AWSProfile = chain, tags, accounts, registries, policies, profile
		in.DockerLogin = "true"
		config, err := step.ParseInputs(in, now())
		var problems *step.InputError
		if err != nil && (!errors.As(err, &problems) || len(problems.Problems) == 0) {
			t.Errorf("got an error without problems: %v", err)
		}
		if err == nil {
			last := awsauth.AssumedRole{Settings: config.WebIdentity.Settings}
			if n := len(config.Chain); n > 0 {
				last = config.Chain[n-1]
			}
			lines := strings.Count(chain, "\n") + strings.Count(chain, "\r") + 1
			if len(config.Chain) > lines || len(last.Tags) > 50 || len(last.Settings.ManagedPolicies) > 10 {
				t.Errorf("got %d roles, %d tags, %d policies", len(config.Chain), len(last.Tags), len(last.Settings.ManagedPolicies))
			}
		}
	})
}
