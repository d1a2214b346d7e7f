package sandbox_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// A context provider puts claims into the session, where permissions can refer to them. Without one, or without the claim, the keys
// are missing.
func TestContextProvider(t *testing.T) {
	provider := &sandbox.ContextProvider{
		SubjectSourceKey: "app_slug", SubjectTypeValue: "workload",
		KeyDefinitionList: []sandbox.KeyDefinition{{SourceKey: "workflow"}, {SourceKey: "branch", TargetKey: "ref"}},
	}
	for name, row := range map[string]struct {
		provider  *sandbox.ContextProvider
		claims    map[string]any
		condition string
		allowed   bool
	}{
		"subject":         {provider, nil, `{"StringEquals":{"aws:OriginIdentity/Subject":"0123456789abcdef"}}`, true},
		"another subject": {provider, map[string]any{"app_slug": "other"}, `{"StringEquals":{"aws:OriginIdentity/Subject":"other"}}`, true},
		"another sub":     {provider, map[string]any{"sub": "other"}, `{"StringEquals":{"aws:OriginIdentity/Subject":"0123456789abcdef"}}`, true},
		"subject type":    {provider, nil, `{"StringEquals":{"aws:OriginIdentity/SubjectType":"workload"}}`, true},
		"issuer":          {provider, nil, `{"StringEquals":{"aws:OriginIdentity/Issuer":"` + sandbox.IssuerHost + `"}}`, true},
		"provider": {provider, nil, `{"StringEquals":{"aws:OriginIdentity/FederatedProviderArn":` +
			`"arn:aws:iam::123456789012:oidc-provider/` + sandbox.IssuerHost + `"}}`, true},
		"claim":         {provider, nil, `{"StringEquals":{"aws:TransactionContext/IdentityProvider/workflow":"deploy"}}`, true},
		"renamed claim": {provider, nil, `{"StringEquals":{"aws:TransactionContext/IdentityProvider/ref":"main"}}`, true},
		"old name":      {provider, nil, `{"StringEquals":{"aws:TransactionContext/IdentityProvider/branch":"main"}}`, false},
		"missing claim": {provider, map[string]any{"app_slug": nil}, `{"Null":{"aws:OriginIdentity/Subject":"true"}}`, true},
		"no provider":   {nil, nil, `{"Null":{"aws:OriginIdentity/Subject":"true"}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			config := sandbox.DefaultConfig()
			config.Accounts[0].Providers[0].ContextProvider = row.provider
			role := &config.Accounts[0].Roles[0]
			role.TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
				"Action":"sts:AssumeRoleWithWebIdentity","Principal":"*"}}`)
			role.Policies = []json.RawMessage{json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
				"Action":"ecr:GetAuthorizationToken","Resource":"*","Condition":` + row.condition + `}}`)}
			cloud := start(t, sandbox.Options{Config: config})
			session, err := exchange(t, cloud, row.claims, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ecr.NewFromConfig(as(cloud, session.Credentials)).GetAuthorizationToken(t.Context(), &ecr.GetAuthorizationTokenInput{})
			if (err == nil) != row.allowed {
				t.Errorf("got error %v, want allowed: %v", err, row.allowed)
			}
		})
	}
}

// IAM keeps the trailing slash of an issuer.
func TestIssuerWithTrailingSlash(t *testing.T) {
	config := sandbox.DefaultConfig()
	config.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
		"Action":"sts:AssumeRoleWithWebIdentity",
		"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/acme.eu.auth0.com/"},
		"Condition":{"StringEquals":{"acme.eu.auth0.com/:aud":"sts.amazonaws.com"}}}}`)
	if _, err := exchange(t, start(t, sandbox.Options{Config: config, Issuer: "https://acme.eu.auth0.com/"}), nil, nil); err != nil {
		t.Error(err)
	}
}
