// Package dockerlogin logs Docker in to Amazon ECR without running Docker: it gets passwords from ECR and writes them to
// Docker's configuration file, where docker and every other tool that reads this file find them. It uses no docker program,
// daemon, keychain, or credential helper.
//
// [ParseRegistry] makes a [Registry] from its name, [Client.Logins] gets a [Login] for each one, and [File.PrepareLogins]
// prepares the new version of the file, which the caller commits. [File.PrepareLogout] prepares the opposite.
//
// The package does not know where the credentials come from, nor the Step's inputs.
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

	// registryURL matches a URL with nothing but a host, which is a name or an address, and possibly a port.
	registryURL = regexp.MustCompile(`^https?://((?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?)/?$`)
)

// Registry is a registry of Amazon ECR under one of its hosts. Docker looks up logins by the host in an image's name, so a
// registry with several hosts is several Registries.
type Registry struct {
	// host includes the port, if any. It is empty for the credentials' own registry until ECR has returned it.
	host string
	// account is set if the registry was given by its account ID.
	account awsid.AccountID
	issuer  issuer
}

// issuer is where an authorization token comes from. A token is valid for all registries of its issuer that the credentials
// have access to.
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

// ParseRegistry parses one of the forms in which users name a registry: an account ID, for the account's private registry in
// the Region home; a registry's host, which https:// may precede and a repository may follow; or a host of ECR Public. It
// accepts every host that AWS documents (https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html,
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html), if it is in the partition of home: credentials
// are not valid in other partitions.
func ParseRegistry(item string, home awsid.Region) (Registry, error) {
	partition := home.Partition()
	if account, err := awsid.ParseAccountID(item); err == nil {
		host := fmt.Sprintf("%s.dkr.ecr.%s.%s", account, home, partition.DNSSuffix)
		return Registry{host: host, account: account, issuer: issuer{region: home}}, nil
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(item, "https://"), "/")
	if host == "public.ecr.aws" || host == "ecr-public.aws.com" {
		return parsePublic(host, partition)
	}
	region, ok := regionOfHost(host)
	if !ok {
		return Registry{}, fmt.Errorf(
			"must be an account ID (12 digits), a registry's host such as 123456789012.dkr.ecr.%s.%s, or public.ecr.aws, got %q",
			home, partition.DNSSuffix, item)
	}
	if other := region.Partition(); other.Name != partition.Name {
		return Registry{}, fmt.Errorf(
			"%s is in the partition %s, but the Region %s (input region) is in %s; credentials are not valid in other partitions",
			host, other.Name, home, partition.Name)
	}
	return Registry{host: host, issuer: issuer{region: region}}, nil
}

func parsePublic(host string, partition awsid.Partition) (Registry, error) {
	// ECR Public issues its authorization tokens here only:
	// https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html.
	region, _ := awsid.ParseRegion("us-east-1")
	if partition != region.Partition() {
		return Registry{}, fmt.Errorf("%s is not available in the partition %s, which the input region selects", host, partition.Name)
	}
	return Registry{host: host, issuer: issuer{region: region, isPublic: true}}, nil
}

// regionOfHost returns the Region in the host of a private registry. It reports whether the host is one.
func regionOfHost(host string) (awsid.Region, bool) {
	match := registryHost.FindStringSubmatch(host)
	if match == nil {
		return awsid.Region{}, false
	}
	isDualStack, suffix := match[1] == "-", match[3]
	region, err := awsid.ParseRegion(match[2])
	if err != nil {
		return awsid.Region{}, false
	}
	partition := region.Partition()
	if isDualStack {
		// Such as 123456789012.dkr-ecr.us-east-1.on.aws, where the suffix of dual-stack endpoints is api.aws.
		return region, suffix == "on."+strings.TrimPrefix(partition.DualStackSuffix, "api.")
	}
	return region, suffix == partition.DNSSuffix
}

// hostOfURL returns the host in a registry's URL. It reports whether the URL has one, and neither user nor path.
func hostOfURL(url string) (host string, ok bool) {
	match := registryURL.FindStringSubmatch(url)
	if match == nil {
		return "", false
	}
	return match[1], true
}

// String returns the registry's host, or a description if it is not known yet.
func (r Registry) String() string {
	return cmp.Or(r.host, "the account's own registry in "+r.issuer.region.String())
}
