package e2e

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// The files in examples/strict are those in docs/trust-policies.md. With them, only builds of the app and the workflow can use the
// role, whatever their sub is and whichever claims IAM evaluates.
func TestStrictSetup(t *testing.T) {
	t.Parallel()
	page := readFile(t, filepath.Join(root(t), "docs", "trust-policies.md"))
	file := func(name string) string {
		t.Helper()
		content := readFile(t, filepath.Join(root(t), "examples", "strict", name))
		if !strings.Contains(page, "```json\n"+content+"```") {
			t.Errorf("docs/trust-policies.md does not have examples/strict/%s", name)
		}
		return content
	}
	var provider struct {
		ARN             string `json:"OpenIDConnectProviderArn"`
		ContextProvider *sandbox.ContextProvider
	}
	decoder := json.NewDecoder(strings.NewReader(file("context-provider.json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&provider); err != nil || provider.ARN != bitriseProvider {
		t.Fatalf("got the provider %s, error %v", provider.ARN, err)
	}
	trust, denies := json.RawMessage(file("trust-policy.json")), json.RawMessage(file("permissions.json"))
	for world, everyClaim := range worlds {
		t.Run(world, func(t *testing.T) {
			config := sandbox.DefaultConfig()
			config.EveryClaim = everyClaim
			config.Accounts[0].Providers[0].ContextProvider = provider.ContextProvider
			config.Accounts[0].Roles[0].TrustPolicy = trust
			config.Accounts[0].Roles[0].Policies = append(config.Accounts[0].Roles[0].Policies, denies)
			cloud := startSandbox(t, sandbox.Options{Config: config, Issuer: bitriseIssuer})
			newRun(t, cloud).mustStep(map[string]string{"role_arn": role, "docker_login": "true"})
			for name, build := range map[string]map[string]any{"this build": thisBuild, "the next build": nextBuild, "any sub": {"sub": "any"}} {
				if !canUse(t, cloud, build) {
					t.Errorf("%s cannot use the role", name)
				}
			}
			for name, build := range otherApps {
				if canUse(t, cloud, build) || canUse(t, cloud, copySubject(build)) {
					t.Errorf("%s can use the role", name)
				}
			}
			if canUse(t, cloud, anotherWorkflow) || canUse(t, cloud, map[string]any{"app_slug": nil, "sub": defaultSubject}) {
				t.Error("another workflow or a token without app_slug can use the role")
			}
			if err := cloud.SetConfig(func(c *sandbox.Config) { c.Accounts[0].Providers[0].ContextProvider = nil }); err != nil {
				t.Fatal(err)
			}
			if canUse(t, cloud, thisBuild) {
				t.Error("without a context provider, the build can use the role")
			}
		})
	}
}

// canUse reports whether the default build with some claims changed can assume the role and then log in to ECR.
func canUse(t *testing.T, cloud *sandbox.Sandbox, changes map[string]any) bool {
	t.Helper()
	session, err := assumeAs(t, cloud, changes)
	if err != nil {
		return false
	}
	client := ecr.New(ecr.Options{
		Region: region, BaseEndpoint: aws.String(cloud.AWSURL()), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider(
			*session.Credentials.AccessKeyId, *session.Credentials.SecretAccessKey, *session.Credentials.SessionToken),
	})
	_, err = client.GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
	if err != nil && !strings.Contains(err.Error(), "AccessDenied") {
		t.Fatal(err)
	}
	return err == nil
}

// assumeAs exchanges the token of the default build with some claims changed. An error is STS's AccessDenied.
func assumeAs(t *testing.T, cloud *sandbox.Sandbox, changes map[string]any) (*sts.AssumeRoleWithWebIdentityOutput, error) {
	t.Helper()
	token, err := cloud.MintToken("sts.amazonaws.com", changes)
	if err != nil {
		t.Fatal(err)
	}
	client := sts.New(sts.Options{
		Region: region, BaseEndpoint: aws.String(cloud.AWSURL()), Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{},
		HTTPClient: harness.HTTPClient(),
	})
	session, err := client.AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String("policy-test"), WebIdentityToken: aws.String(token),
	})
	var rejection smithy.APIError
	if err != nil && (!errors.As(err, &rejection) || rejection.ErrorCode() != "AccessDenied") {
		t.Fatal(err)
	}
	return session, err
}
