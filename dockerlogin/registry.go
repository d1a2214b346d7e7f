// Package dockerlogin logs Docker in to Amazon ECR without running Docker: it gets passwords from
// ECR and writes them to Docker's configuration file, where docker and every other tool that reads
// this file find them. It uses no docker program, daemon, keychain, or credential helper.
//
// [ParseRegistry] makes a [Registry] from its name, [Client.Logins] gets a [Login] for each one, and [File.PrepareLogins]
// prepares the new version of the file, which the caller commits. [File.PrepareRemoval] removes the logins.
//
// The package knows neither where the credentials come from nor the Step's inputs.
package dockerlogin

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

var (
	// registryHost matches the hosts of private registries: ACCOUNT.dkr.ecr.REGION.SUFFIX, with dkr.ecr-fips for the FIPS
	// endpoint, and dkr-ecr or dkr-ecr-fips with other suffixes for the dual-stack endpoints.
	registryHost = regexp.MustCompile(`^\d{12}\.dkr([.-])ecr(?:-fips)?\.([a-z0-9-]+)\.(.+)$`)

	// registryURL matches a URL that has only a host (a name or an address) and possibly a port.
	registryURL = regexp.MustCompile(`^https?://((?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?)/?$`)
)

// Registry is a registry of Amazon ECR under one of its hosts. Docker looks up logins by the host
// in an image's name, so a registry with several hosts is several Registries.
type Registry struct {
	// host includes the port, if any. It is empty for the credentials' own registry.
	host   string
	issuer issuer
}

// issuer is where an authorization token comes from. A token is valid for all registries of its
// issuer that the credentials have access to.
type issuer struct {
	region   awsid.Region
	isPublic bool
}

// service returns the name of the service that issues the tokens.
func (i issuer) service() string {
	if i.isPublic {
		return "ECR Public"
	}
	return "ECR"
}

// OwnRegistry returns the private registry of the credentials' own account in a Region.
func OwnRegistry(region awsid.Region) Registry { return Registry{issuer: issuer{region: region}} }

// ParseRegistry parses a registry as users write it: an account ID, for the account's private registry in the Region home; a
// registry's host, with an optional https:// before it and an optional repository after it; or a host of ECR Public. It
// accepts every host that AWS documents (https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html,
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html).
func ParseRegistry(item string, home awsid.Region) (Registry, error) {
	suffix, _ := hostSuffixes(home)
	if account, err := awsid.ParseAccountID(item); err == nil {
		return Registry{host: fmt.Sprintf("%s.dkr.ecr.%s.%s", account, home, suffix), issuer: issuer{region: home}}, nil
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(item, "https://"), "/")
	if host == "public.ecr.aws" || host == "ecr-public.aws.com" {
		// ECR Public issues its authorization tokens here only:
		// https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html.
		region, err := awsid.ParseRegion("us-east-1")
		return Registry{host: host, issuer: issuer{region: region, isPublic: true}}, err
	}
	region, ok := regionOfHost(host)
	if !ok {
		return Registry{}, fmt.Errorf(
			"must be an account ID (12 digits), a registry's host such as 123456789012.dkr.ecr.%s.%s, or public.ecr.aws, got %q",
			home, suffix, item)
	}
	return Registry{host: host, issuer: issuer{region: region}}, nil
}

// regionOfHost returns the Region in the host of a private registry, and false for other hosts.
func regionOfHost(host string) (awsid.Region, bool) {
	match := registryHost.FindStringSubmatch(host)
	if match == nil {
		return awsid.Region{}, false
	}
	region, err := awsid.ParseRegion(match[2])
	suffix, dualStack := hostSuffixes(region)
	if match[1] == "-" {
		suffix = dualStack
	}
	return region, err == nil && match[3] == suffix
}

// hostSuffixes returns how the hosts of a Region's registries end, which depends on the Region's partition: amazonaws.com, and on.aws
// for dual-stack endpoints (IPv4 and IPv6). Unknown Regions are new ones of the commercial partition. The table is the one of AWS's
// SDKs: https://github.com/aws/aws-sdk-go-v2/blob/main/internal/endpoints/awsrulesfn/partitions.json.
func hostSuffixes(region awsid.Region) (suffix, dualStack string) {
	for _, partition := range []struct{ prefix, suffix, dualStack string }{
		{"cn-", "amazonaws.com.cn", "on.amazonwebservices.com.cn"},
		{"eusc-", "amazonaws.eu", "on.amazonwebservices.eu"},
		{"us-iso-", "c2s.ic.gov", "on.aws.ic.gov"},
		{"us-isob-", "sc2s.sgov.gov", "on.aws.scloud"},
		{"eu-isoe-", "cloud.adc-e.uk", "on.cloud-aws.adc-e.uk"},
		{"us-isof-", "csp.hci.ic.gov", "on.aws.hci.ic.gov"},
	} {
		if strings.HasPrefix(region.String(), partition.prefix) {
			return partition.suffix, partition.dualStack
		}
	}
	return "amazonaws.com", "on.aws"
}

// String returns the registry's host, or a description if it is not known yet.
func (r Registry) String() string {
	return cmp.Or(r.host, "the account's own registry in "+r.issuer.region.String())
}
