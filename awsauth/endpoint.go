package awsauth

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Endpoint returns the URL that STS is called at with a configuration, by the SDK's own rules: the partition of the
// Region, FIPS and dual-stack endpoints, and the variables that move it.
func Endpoint(ctx context.Context, config aws.Config) (string, error) {
	o := sts.NewFromConfig(config).Options()
	endpoint, err := o.EndpointResolverV2.ResolveEndpoint(ctx, sts.EndpointParameters{
		Region:       aws.String(o.Region),
		UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
		UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		Endpoint:     o.BaseEndpoint,
	})
	return endpoint.URI.String(), err
}
