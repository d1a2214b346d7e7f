package awsclient_test

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func TestMain(m *testing.M) {
	os.Clearenv() // AWS's SDK reads variables that the Step removes
	m.Run()
}

func load(t *testing.T, variables map[string]string) aws.Config {
	t.Helper()
	region, err := awsid.ParseRegion("eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range variables {
		t.Setenv(key, value)
	}
	config, err := awsclient.LoadConfig(t.Context(), region, http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestVariablesMoveEndpoints(t *testing.T) {
	const on, off = aws.FIPSEndpointStateEnabled, aws.FIPSEndpointStateDisabled
	for name, row := range map[string]struct {
		variables map[string]string
		sts, ecr  string
		fips      aws.FIPSEndpointState
		dualStack aws.DualStackEndpointState
	}{
		"none":         {},
		"one service":  {variables: map[string]string{"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, sts: "http://127.0.0.1:1"},
		"all services": {variables: map[string]string{"AWS_ENDPOINT_URL": "https://x", "AWS_ENDPOINT_URL_ECR": "https://y"}, sts: "https://x", ecr: "https://y"},
		"ignored":      {variables: map[string]string{"AWS_ENDPOINT_URL": "https://x", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}},
		"other hosts": {
			variables: map[string]string{"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "TRUE"},
			fips:      on, dualStack: aws.DualStackEndpointStateEnabled,
		},
		"explicitly off": {variables: map[string]string{"AWS_USE_FIPS_ENDPOINT": "false"}, fips: off},
	} {
		t.Run(name, func(t *testing.T) {
			config := load(t, row.variables)
			if got := aws.ToString(ecr.NewFromConfig(config).Options().BaseEndpoint); got != row.ecr {
				t.Errorf("ECR: got the endpoint %q, want %q", got, row.ecr)
			}
			options := sts.NewFromConfig(config).Options()
			if got := aws.ToString(options.BaseEndpoint); got != row.sts {
				t.Errorf("STS: got the endpoint %q, want %q", got, row.sts)
			}
			if got := options.EndpointOptions; got.UseFIPSEndpoint != row.fips || got.UseDualStackEndpoint != row.dualStack {
				t.Errorf("got %+v", got)
			}
			if options.Region != "eu-west-1" {
				t.Errorf("got the Region %s", options.Region)
			}
		})
	}
}

func TestCallsAreMadeOnce(t *testing.T) {
	if attempts := sts.NewFromConfig(load(t, nil)).Options().Retryer.MaxAttempts(); attempts != 1 {
		t.Errorf("got %d attempts, want 1", attempts)
	}
}

func TestProvider(t *testing.T) {
	given := credentials.Credentials{AccessKeyID: secret.New("id"), SecretAccessKey: secret.New("key"), SessionToken: secret.New("token")}
	got, err := awsclient.Provider(given).Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "id" || got.SecretAccessKey != "key" || got.SessionToken != "token" {
		t.Errorf("got other credentials, %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A request of the SDK's carries its action in its context; other requests have none.
func TestAction(t *testing.T) {
	var got string
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		got = awsclient.Action(r.Context())
		return nil, errors.New("not sent")
	})}
	config := load(t, nil)
	config.HTTPClient = client
	_, _ = sts.NewFromConfig(config).AssumeRoleWithWebIdentity(t.Context(), &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String("x"), RoleSessionName: aws.String("x"), WebIdentityToken: aws.String("x"),
	})
	if got != "STS AssumeRoleWithWebIdentity" {
		t.Errorf("got %q", got)
	}
	if other := awsclient.Action(t.Context()); other != "" {
		t.Errorf("got %q for another request", other)
	}
}
