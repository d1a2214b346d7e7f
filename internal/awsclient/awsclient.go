// Package awsclient configures the AWS SDK for the Step's calls, and checks the variables that configure it.
//
// The SDK's loader reads far more variables than the Step honors, and some of them make it fail. So the process removes those
// from its environment before the SDK reads it (see step), and this package turns off the rest: configuration files,
// credentials, retries. Retries are up to internal/retry, which can fetch a new identity token between two attempts.
package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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

// appID identifies the Step in the User-Agent of its calls.
const appID = "bitrise-step-authenticate-with-aws"

// LoadConfig returns the SDK's configuration for unsigned calls in a Region, sent with an HTTP client. From the environment, it and
// the SDK's clients read only the variables in [Variables].
func LoadConfig(ctx context.Context, region awsid.Region, client *http.Client) (aws.Config, error) {
	return config.LoadDefaultConfig(ctx,
		config.WithRegion(region.String()),
		config.WithHTTPClient(client),
		config.WithCredentialsProvider(aws.AnonymousCredentials{}),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithAppID(appID),
		// The SDK's own logger writes responses to standard error without redacting secrets.
		config.WithLogger(logging.Nop{}),
		// Not nil, because nil means the default files.
		config.WithSharedConfigFiles([]string{}),
		config.WithSharedCredentialsFiles([]string{}),
	)
}

// Action returns the action of a call from the context of its request, such as "STS AssumeRole".
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
			Source:          appID,
			CanExpire:       !c.Expires.IsZero(),
			Expires:         c.Expires,
		}, nil
	})
}

// Variables returns the environment variables that the Step honors. They set the endpoints of the services.
// See https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html.
func Variables() []string {
	return append(urlVariables(), "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
}

func urlVariables() []string {
	return []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_ECR_PUBLIC"}
}

// Check reports every endpoint variable that isn't a URL. Unlike the SDK's own errors, these don't quote the value, which may contain
// a password. [LoadConfig] checks the other variables.
func Check(getenv func(key string) string) error {
	if strings.EqualFold(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		return nil
	}
	var problems []error
	for _, key := range urlVariables() {
		value := getenv(key)
		if u, err := url.Parse(value); value != "" && (err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "") {
			problems = append(problems, fmt.Errorf("the variable %s must be a URL such as https://sts.us-east-1.amazonaws.com", key))
		}
	}
	return errors.Join(problems...)
}

// Expiry returns when something that a service issued expires, by this machine's clock, which its readers use. It also reports
// whether that is in the future by the service's clock (the response's Date), because this machine's clock may be wrong.
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
