package dockerlogin

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Endpoints returns the URLs that [Fetcher.Logins] calls for registries, for whoever wants to open connections ahead. One
// that does not resolve is left out: the call itself tells.
func Endpoints(ctx context.Context, config aws.Config, registries []Registry) []string {
	var addresses []string
	for _, g := range group(registries) {
		if address, err := g.service.endpoint(ctx, config, g.region); err == nil {
			addresses = append(addresses, address)
		}
	}
	return addresses
}
