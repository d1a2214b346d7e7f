package e2e

import (
	"bytes"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// suggestedPolicy returns the trust policy that a log suggests.
func suggestedPolicy(t *testing.T, log string) []byte {
	t.Helper()
	policy := regexp.MustCompile(`(?ms)^\{$.*?^\}$`).FindString(log)
	if policy == "" {
		t.Fatalf("the log suggests no policy:\n%s", log)
	}
	return []byte(policy)
}

// checkSuggestedPolicy runs the Step again with the policy, in the world in which it should work.
func checkSuggestedPolicy(t *testing.T, f failure, policy []byte) {
	t.Helper()
	config := sandbox.DefaultConfig()
	if f.world != nil {
		f.world(&config)
	}
	config.EveryClaim = config.EveryClaim || !bytes.Contains(policy, []byte(`:sub"`))
	config.Accounts[0].Roles[0].TrustPolicy = policy
	cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
	newRun(t, cloud).mustStep(f.given(t, cloud))
	for claim, value := range map[string]string{"app_slug": "fedcba9876543210", "workflow": "another"} {
		before := config.Build[claim]
		if err := cloud.SetConfig(func(c *sandbox.Config) { c.Build[claim] = value }); err != nil {
			t.Fatal(err)
		}
		if output, err := newRun(t, cloud).step(f.given(t, cloud)); err == nil || !strings.Contains(output, "AccessDenied") {
			t.Errorf("the suggested policy lets in a build of another %s: %v", claim, err)
		}
		if err := cloud.SetConfig(func(c *sandbox.Config) { c.Build[claim] = before }); err != nil {
			t.Fatal(err)
		}
	}
}

// For every form of sub, whether callers choose it or not, the suggested policy lets in the app's builds, or the log says why it may not
// do so. It never lets in another app's build, even one with exactly this sub if callers may be able to choose it.
func TestSuggestedPolicies(t *testing.T) {
	t.Parallel()
	const byApp, bySub, none = "app_slug", "sub", "no policy"
	otherRepository := map[string]map[string]any{"another repository": {"repository_owner": "another"}}
	for name, form := range map[string]struct {
		subject        string
		ifFixed, ifNot string // what the policy requires if sub is fixed, and if not
		others         map[string]map[string]any
	}{
		"app":           {"app:{app_slug}:workflow:{workflow}", bySub, byApp, otherApps},
		"app and build": {"{app_slug}/{build_slug}", byApp, byApp, otherApps},
		"build only":    {"build:{build_number}", byApp, byApp, otherApps},
		"no app_slug":   {"repo:{repository_owner}/{repository_slug}", bySub, none, otherRepository},
	} {
		for decides, requested := range map[string]sandbox.RequestedSubject{
			"chosen": sandbox.UseSubject, "fixed": sandbox.IgnoreSubject, "unknown": sandbox.ReplaceSubject,
		} {
			t.Run(decides+", "+name, func(t *testing.T) {
				t.Parallel()
				config := sandbox.DefaultConfig()
				config.Subject, config.RequestedSubject = form.subject, requested
				config.Accounts[0].Roles[0].TrustPolicy = trust(`{"StringEquals":{"ISSUER:sub":"another build"}}`)
				if name == "no app_slug" {
					delete(config.Build, "app_slug")
				}
				cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
				output, err := newRun(t, cloud).step(map[string]string{"role_arn": role})
				if err == nil {
					t.Fatal("the build was let in before the policy was there")
				}
				requires := form.ifNot
				if decides == "fixed" {
					requires = form.ifFixed
				}
				log := flat(output)
				for text, want := range map[string]bool{
					"documentation does not list app_slug": requires == byApp,
					"no trust policy can keep out":         requires == none,
					"a condition StringLike on sub":        decides == "fixed" && name == "app and build",
					"lets callers choose it":               decides == "chosen",
					"It is not known whether callers can":  decides == "unknown",
				} {
					if strings.Contains(log, text) != want {
						t.Errorf("the log has %q: %v, want %v:\n%s", text, !want, want, output)
					}
				}
				if requires == none {
					if strings.Contains(output, `"Version"`) {
						t.Errorf("a policy was suggested:\n%s", output)
					}
					return
				}
				policy, sub := suggestedPolicy(t, normalize(output, cloud)), regexp.MustCompile(`, subject (\S+)\)`).FindStringSubmatch(log)
				for world, everyClaim := range worlds {
					if err := cloud.SetConfig(func(c *sandbox.Config) {
						c.EveryClaim, c.Accounts[0].Roles[0].TrustPolicy = everyClaim, bytes.Clone(policy)
					}); err != nil {
						t.Fatal(err)
					}
					for build, changes := range map[string]map[string]any{"this build": thisBuild, "the next build": nextBuild} {
						if got, want := letsIn(t, cloud, changes), requires == bySub || everyClaim; got != want {
							t.Errorf("%s: %s is let in: %v, want %v, with the policy\n%s", world, build, got, want, policy)
						}
					}
					for build, changes := range form.others {
						copies := maps.Clone(changes)
						copies["sub"] = sub[1]
						if letsIn(t, cloud, changes) || decides != "fixed" && letsIn(t, cloud, copies) {
							t.Errorf("%s: %s is let in, with the policy\n%s", world, build, policy)
						}
					}
					if everyClaim && name != "no app_slug" && letsIn(t, cloud, anotherWorkflow) {
						t.Errorf("%s: another workflow is let in, with the policy\n%s", world, policy)
					}
				}
			})
		}
	}
}

// The slash at the end of an issuer is a part of its name in the suggested policy.
func TestSuggestedPolicyForAnIssuerWithASlash(t *testing.T) {
	t.Parallel()
	config := sandbox.DefaultConfig()
	delete(config.Build, "app_slug")
	config.Subject = "client@clients"
	config.Accounts[0].Roles[0].TrustPolicy = trust(`{"StringEquals":{"ISSUER:sub":"another client"}}`)
	cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: "https://acme.eu.auth0.com/"})
	token, err := cloud.MintToken("sts.amazonaws.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{"role_arn": role, "identity_token": token}
	output, err := newRun(t, cloud).step(given)
	if err == nil {
		t.Fatal("the build was let in before the policy was there")
	}
	policy := suggestedPolicy(t, normalize(output, cloud))
	if !bytes.Contains(policy, []byte(`"acme.eu.auth0.com/:sub"`)) {
		t.Errorf("the policy does not keep the slash:\n%s", policy)
	}
	if err := cloud.SetConfig(func(c *sandbox.Config) { c.Accounts[0].Roles[0].TrustPolicy = policy }); err != nil {
		t.Fatal(err)
	}
	newRun(t, cloud).mustStep(given)
}
