package awsauth_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

func newConfig(t *testing.T, variables map[string]string) (awsauth.Config, error) {
	t.Helper()
	region, err := awsid.ParseRegion("eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range variables {
		t.Setenv(key, value) // the SDK's clients look at some of them by themselves
	}
	return awsauth.NewConfig(awsauth.Settings{Region: region, Getenv: func(key string) string { return variables[key] }})
}

// The endpoints are those that the SDK itself would call.
func TestNewConfigMovesEndpoints(t *testing.T) {
	for name, row := range map[string]struct {
		variables map[string]string
		sts       string
		fips      aws.FIPSEndpointState
		dualStack aws.DualStackEndpointState
	}{
		"nothing":      {fips: aws.FIPSEndpointStateDisabled, dualStack: aws.DualStackEndpointStateDisabled},
		"one service":  {variables: map[string]string{"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, sts: "http://127.0.0.1:1", fips: aws.FIPSEndpointStateDisabled, dualStack: aws.DualStackEndpointStateDisabled},
		"all":          {variables: map[string]string{"AWS_ENDPOINT_URL": "https://x", "AWS_ENDPOINT_URL_ECR": "https://y"}, sts: "https://x", fips: aws.FIPSEndpointStateDisabled, dualStack: aws.DualStackEndpointStateDisabled},
		"ignored":      {variables: map[string]string{"AWS_ENDPOINT_URL": "https://x", "AWS_ENDPOINT_URL_ECR": "https://y", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, fips: aws.FIPSEndpointStateDisabled, dualStack: aws.DualStackEndpointStateDisabled},
		"other hosts":  {variables: map[string]string{"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "TRUE"}, fips: aws.FIPSEndpointStateEnabled, dualStack: aws.DualStackEndpointStateEnabled},
		"what is left": {variables: map[string]string{"AWS_MAX_ATTEMPTS": "many", "AWS_RETRY_MODE": "x", "AWS_PROFILE": "none", "AWS_CONFIG_FILE": "/none"}, fips: aws.FIPSEndpointStateDisabled, dualStack: aws.DualStackEndpointStateDisabled},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := newConfig(t, row.variables)
			if err != nil {
				t.Fatal(err)
			}
			s := sts.NewFromConfig(config).Options()
			if got := aws.ToString(s.BaseEndpoint); got != row.sts {
				t.Errorf("STS at %q", got)
			}
			if s.EndpointOptions.UseFIPSEndpoint != row.fips || s.EndpointOptions.UseDualStackEndpoint != row.dualStack || s.Region != "eu-west-1" {
				t.Errorf("%+v", s.EndpointOptions)
			}
		})
	}
}

func TestNewConfigRefusals(t *testing.T) {
	for key, value := range map[string]string{
		"AWS_USE_FIPS_ENDPOINT": "yes", "AWS_USE_DUALSTACK_ENDPOINT": "1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "no",
		"AWS_ENDPOINT_URL": "sts.example", "AWS_ENDPOINT_URL_STS": "ftp://user:hunter2@x", "AWS_ENDPOINT_URL_ECR": "https://", "AWS_ENDPOINT_URL_ECR_PUBLIC": "http:// x",
	} {
		t.Run(key, func(t *testing.T) {
			_, err := newConfig(t, map[string]string{key: value})
			if err == nil || !strings.Contains(err.Error(), "the variable "+key+": ") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Of what an earlier Step left in the environment nothing else is even looked at.
func TestNewConfigReadsNothingElse(t *testing.T) {
	region, err := awsid.ParseRegion("eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	config, err := awsauth.NewConfig(awsauth.Settings{Region: region, Getenv: func(key string) string {
		read[key] = true
		return ""
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_ECR_PUBLIC", "AWS_ENDPOINT_URL_STS",
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT",
	}
	if got := slices.Sorted(maps.Keys(read)); !slices.Equal(got, want) || config.Region != region.String() || config.Credentials != nil {
		t.Errorf("read %v, want %v; Region %s", got, want, config.Region)
	}
}
