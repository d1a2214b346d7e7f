// Package awsauth obtains AWS credentials and verifies whose they are.
//
// A [Client] calls STS. It exchanges an identity token for a role's credentials ([WebIdentity]) or verifies an access key, and
// assumes further roles from there ([Chain]). Each results in a [Session]: credentials that work, and whose they are.
//
// The package knows neither where identity tokens come from (it calls a function for one), nor the Step's inputs, nor what the
// credentials are used for.
package awsauth

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
)

// service is what errors call STS.
const service = "STS"

// Client calls AWS STS in one Region.
type Client struct{ sts *sts.Client }

// NewClient returns a client that uses a configuration from [awsclient.LoadConfig].
func NewClient(config aws.Config) *Client { return &Client{sts: sts.NewFromConfig(config)} }

// Endpoint returns the URL of STS, to open a connection early.
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

// as signs one call with credentials.
func as(c credentials.Credentials) func(*sts.Options) {
	return func(o *sts.Options) { o.Credentials = awsclient.Provider(c) }
}
