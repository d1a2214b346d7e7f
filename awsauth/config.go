package awsauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

// Config is the SDK's configuration. The name lets those pass it on who do not import the SDK.
type Config = aws.Config

// Settings are what the calls to AWS are sent with.
type Settings struct {
	// Region is where STS and ECR are called.
	Region awsid.Region
	// HTTP sends the calls.
	HTTP *http.Client
	// Getenv looks up the variables that move endpoints; see [NewConfig].
	Getenv func(key string) string
}

// NewConfig makes the SDK's configuration. Unlike the SDK's own loader it reads no file, and of the environment only
// what moves endpoints: AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_STS and its like for the other services,
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS, AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT. So no profile, key, role or
// retry setting that an earlier Step left behind can change a call or break the start, and the loader's clients for SSO
// and instance metadata stay out of the build.
// See https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html.
func NewConfig(settings Settings) (aws.Config, error) {
	source := environment{endpoints: map[string]string{}}
	config := aws.Config{
		Region:     settings.Region.String(),
		HTTPClient: settings.HTTP,
		// The calls are tried again by internal/retry, which also mints a new token between two attempts.
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		AppID:   "bitrise-step-authenticate-with-aws",
	}
	ignore, err := boolean(settings.Getenv, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
	if err != nil {
		return aws.Config{}, err
	}
	if !ignore {
		for _, service := range []string{"STS", "ECR", "ECR_PUBLIC"} {
			if source.endpoints[service], err = endpoint(settings.Getenv, "AWS_ENDPOINT_URL_"+service); err != nil {
				return aws.Config{}, err
			}
		}
		every, err := endpoint(settings.Getenv, "AWS_ENDPOINT_URL")
		if err != nil {
			return aws.Config{}, err
		}
		if every != "" {
			config.BaseEndpoint = aws.String(every)
		}
	}
	if source.fips, err = boolean(settings.Getenv, "AWS_USE_FIPS_ENDPOINT"); err != nil {
		return aws.Config{}, err
	}
	if source.dualStack, err = boolean(settings.Getenv, "AWS_USE_DUALSTACK_ENDPOINT"); err != nil {
		return aws.Config{}, err
	}
	config.ConfigSources = []any{source}
	return config, nil
}

func boolean(getenv func(string) string, key string) (bool, error) {
	switch value := getenv(key); {
	case value == "", strings.EqualFold(value, "false"):
		return false, nil
	case strings.EqualFold(value, "true"):
		return true, nil
	default:
		return false, fmt.Errorf("the variable %s: true or false wanted, %q found", key, value)
	}
}

// endpoint reads a variable with the URL of a service. Its errors do not repeat the value, which may hold a password.
func endpoint(getenv func(string) string, key string) (string, error) {
	value := getenv(key)
	if value == "" {
		return "", nil
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return "", fmt.Errorf("the variable %s: a URL such as https://sts.us-east-1.amazonaws.com wanted", key)
	}
	return value, nil
}

// environment answers the SDK's clients, which look for these methods on every configuration source.
type environment struct {
	endpoints       map[string]string
	fips, dualStack bool
}

// GetServiceBaseEndpoint returns the endpoint of a service, given by its SDK ID, such as "ECR PUBLIC".
func (e environment) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	value := e.endpoints[strings.ReplaceAll(strings.ToUpper(sdkID), " ", "_")]
	return value, value != "", nil
}

// GetUseFIPSEndpoint tells whether FIPS endpoints are called.
func (e environment) GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error) {
	if e.fips {
		return aws.FIPSEndpointStateEnabled, true, nil
	}
	return aws.FIPSEndpointStateDisabled, true, nil
}

// GetUseDualStackEndpoint tells whether endpoints that also have IPv6 addresses are called.
func (e environment) GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error) {
	if e.dualStack {
		return aws.DualStackEndpointStateEnabled, true, nil
	}
	return aws.DualStackEndpointStateDisabled, true, nil
}
