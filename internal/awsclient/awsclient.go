// Package awsclient configures the AWS SDK for the Step's calls.
//
// The SDK's loader reads far more variables than the Step honors, and some of them make it fail. So the process removes
// those from its environment (see step), and this package turns off configuration files, credentials, and retries,
// which are up to internal/retry.
package awsclient

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
)

// LoadConfig returns the SDK's configuration for unsigned calls in a Region, sent with an HTTP client. The SDK must find
// no other variables of AWS than [Variables].
func LoadConfig(ctx context.Context, region awsid.Region, client *http.Client) (aws.Config, error) {
	return config.LoadDefaultConfig(ctx,
		config.WithRegion(region.String()),
		config.WithHTTPClient(client),
		config.WithCredentialsProvider(aws.AnonymousCredentials{}),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithAppID("bitrise-step-authenticate-with-aws"), // in the User-Agent
		// The SDK's own logger writes responses to standard error without redacting secrets.
		config.WithLogger(logging.Nop{}),
		// Not nil, because nil means the default files.
		config.WithSharedConfigFiles([]string{}),
		config.WithSharedCredentialsFiles([]string{}),
	)
}

// Action returns the action of a call from the context of its request, such as "STS AssumeRole", or empty for other requests.
func Action(ctx context.Context) string {
	return strings.TrimSpace(awsmiddleware.GetServiceID(ctx) + " " + awsmiddleware.GetOperationName(ctx))
}

// Provider gives credentials to the SDK's clients.
func Provider(c credentials.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID:     c.AccessKeyID.Reveal(),
			SecretAccessKey: c.SecretAccessKey.Reveal(),
			SessionToken:    c.SessionToken.Reveal(),
		}, nil
	})
}

// Variables returns the environment variables that the Step honors. They set the endpoints of the services.
// See https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html.
func Variables() []string {
	return []string{
		"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_ECR_PUBLIC",
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT",
	}
}

// Expiry returns when something that a service issued expires, by this machine's clock, which its readers use. It also
// reports whether that is in the future by the service's clock (the response's Date), if this machine's is wrong.
func Expiry(expires *time.Time, metadata middleware.Metadata, now time.Time) (local time.Time, isValid bool) {
	const tolerance = 10 * time.Second // Date is in seconds, and a response takes a while

	if expires == nil {
		return time.Time{}, false
	}
	date, found := awsmiddleware.GetServerTime(metadata)
	skew := now.Sub(date)
	if !found || skew.Abs() < tolerance {
		skew = 0
	}
	local = expires.Add(skew)
	return local, local.After(now)
}
