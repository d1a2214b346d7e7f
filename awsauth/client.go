// Package awsauth obtains AWS credentials, verifies them, and explains errors.
//
// A [Session] holds credentials and the identity they belong to. It comes from one of three sources,
// a role that is assumed with an identity token ([WebIdentity]), an [AccessKey], or a role that is
// assumed with an earlier session ([AssumedRole]). Their methods Session call STS with a [Client].
//
// The package doesn't depend on the source of identity tokens, on the Step's inputs, or on how the
// credentials are used.
package awsauth

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
)

// service is the name of STS in errors.
const service = "STS"

// Client calls AWS STS in one Region.
type Client struct {
	sts *sts.Client
	now func() time.Time
}

// NewClient returns a client that uses a configuration from [awsclient.LoadConfig].
func NewClient(config aws.Config, now func() time.Time) *Client {
	return &Client{sts: sts.NewFromConfig(config), now: now}
}

// Endpoint returns the URL of STS, so that a connection can be opened early.
func (c *Client) Endpoint(ctx context.Context) (string, error) {
	o := c.sts.Options()
	endpoint, err := o.EndpointResolverV2.ResolveEndpoint(ctx, sts.EndpointParameters{
		Region:       aws.String(o.Region),
		UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		Endpoint:     o.BaseEndpoint,
	})
	return endpoint.URI.String(), err
}

// as makes a call sign its request with credentials.
func as(c credentials.Credentials) func(*sts.Options) {
	return func(o *sts.Options) { o.Credentials = awsclient.Provider(c) }
}
