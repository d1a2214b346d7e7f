// Package dockerlogin logs Docker in to Amazon ECR without Docker: it asks ECR for passwords and puts them into Docker's
// configuration file, where docker, and all other tools that read that file, find them. No docker program, no daemon, no
// keychain and no credential helper takes part.
//
// [ParseRegistry] names a [Registry], [Fetcher] gets a [Login] for each and stores nothing, [File.Store] stores them. What
// lies between is the caller's business.
//
// The package may import AWS's SDK (its signer, not the client of ECR: see CONTRIBUTING.md), Docker's configuration
// library and internal packages. It takes credentials as an aws.CredentialsProvider in the SDK's configuration, and knows
// neither where they come from nor the Step's inputs.
package dockerlogin

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// Registry is a registry of Amazon ECR. Its name is a host, with its port if that is not the usual one, as images are
// tagged with it: Docker looks logins up by this very text, so a registry that has several names is one Registry for each.
type Registry struct {
	// host is empty for the registry of the credentials' own account until ECR has told it.
	host string
	// region is where the login is issued.
	region awsid.Region
	public bool
	// account is set where the registry was named by nothing else.
	account awsid.AccountID
}

// OwnRegistry is the private registry of the credentials' own account in a Region.
func OwnRegistry(region awsid.Region) Registry { return Registry{region: region} }

// ParseRegistry takes the name of a registry in any of three forms: an account's ID, which stands for the account's
// registry in the Region home; a registry's host, perhaps with https:// before it and a repository behind it; or one of the
// names of ECR Public. All names of ECR's are in AWS's guides,
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html and
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html. A registry has to be in home's partition, since
// the credentials of one partition are worth nothing in another.
func ParseRegistry(item string, home awsid.Region) (Registry, error) {
	if account, err := awsid.ParseAccountID(item); err == nil {
		partition := home.Partition()
		return Registry{host: fmt.Sprintf("%s.dkr.ecr.%s.%s", account, home, partition.DNSSuffix), region: home, account: account}, nil
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(item, "https://"), "/")
	if host == "public.ecr.aws" || host == "ecr-public.aws.com" {
		return parsePublic(host, home)
	}
	region, ok := regionOfHost(host)
	if !ok {
		return Registry{}, fmt.Errorf("an account ID of 12 digits, a registry's host such as 123456789012.dkr.ecr.%s.%s, or public.ecr.aws wanted, %q found", home, home.Partition().DNSSuffix, text.Shorten(item))
	}
	if partition := region.Partition(); partition.Name != home.Partition().Name {
		return Registry{}, fmt.Errorf("%s is in the partition %s, and the Region %s (input region) in %s; the credentials of one are not valid in the other", host, partition.Name, home, home.Partition().Name)
	}
	return Registry{host: host, region: region}, nil
}

// publicRegion is where ECR Public issues its logins:
// https://docs.aws.amazon.com/AmazonECR/latest/public/public-registry-auth.html.
const publicRegion = "us-east-1"

func parsePublic(host string, home awsid.Region) (Registry, error) {
	region, err := awsid.ParseRegion(publicRegion)
	if err != nil {
		return Registry{}, err
	}
	if home.Partition() != region.Partition() {
		return Registry{}, fmt.Errorf("%s: there is no ECR Public in the partition %s, which the Region %s (input region) is in", host, home.Partition().Name, home)
	}
	return Registry{host: host, region: region, public: true}, nil
}

// regionOfHost reads the Region out of the host of a private registry: ACCOUNT.dkr.ecr.REGION.SUFFIX, dkr.ecr-fips for the
// FIPS endpoint, and dkr-ecr or dkr-ecr-fips with a suffix of their own for the dual-stack ones.
func regionOfHost(host string) (awsid.Region, bool) {
	match := regexp.MustCompile(`^\d{12}\.dkr([.-])ecr(?:-fips)?\.([a-z0-9-]+)\.(.+)$`).FindStringSubmatch(host)
	if match == nil {
		return awsid.Region{}, false
	}
	dualStack, suffix := match[1] == "-", match[3]
	region, err := awsid.ParseRegion(match[2])
	if err != nil {
		return awsid.Region{}, false
	}
	partition := region.Partition()
	if dualStack {
		// The suffix of the dual-stack endpoints, with "on" in place of "api": 123456789012.dkr-ecr.us-east-1.on.aws.
		rest, _ := strings.CutPrefix(partition.DualStackSuffix, "api.")
		return region, suffix == "on."+rest
	}
	return region, suffix == partition.DNSSuffix
}

// parseEndpoint takes the host out of the proxyEndpoint of ECR's answer, https://HOST.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_AuthorizationData.html.
func parseEndpoint(s string) (host string, err error) {
	u, err := url.Parse(s)
	// A host's name, or an address, and perhaps a port. Percent signs among others can stand in a URL's host too, but not in
	// the name of an image.
	if err == nil && !regexp.MustCompile(`^([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?$`).MatchString(u.Host) {
		err = errors.New("not the name of a host")
	}
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("a registry's URL such as https://123456789012.dkr.ecr.us-east-1.amazonaws.com wanted, %q found", text.Shorten(s))
	}
	return u.Host, nil
}

// String returns the registry's host, or says whose registry it is where the host is not known yet.
func (r Registry) String() string {
	if r.host == "" {
		return "the account's own registry in " + r.region.String()
	}
	return r.host
}
