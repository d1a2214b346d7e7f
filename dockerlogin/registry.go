// Package dockerlogin logs Docker in to Amazon ECR without Docker: it asks ECR for a password and puts it into Docker's
// configuration file, where docker, and all other tools that read that file, find it. No docker program, no daemon, no
// keychain and no credential helper takes part.
//
// [Fetch] gets a [Login] and stores nothing; [File.Store] stores it. What lies between is the caller's business.
//
// The package may import AWS's SDK, Docker's configuration library and internal packages. It takes credentials as an
// aws.CredentialsProvider in the SDK's configuration, and knows neither where they come from nor the Step's inputs.
package dockerlogin

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Registry is the name of a registry as images are tagged with it: a host, with its port if that is not the usual one,
// such as 123456789012.dkr.ecr.us-east-1.amazonaws.com. Docker looks logins up by this very text.
type Registry struct{ host string }

// parseEndpoint takes the proxyEndpoint of ECR's answer, https://HOST.
// See https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_AuthorizationData.html.
func parseEndpoint(s string) (Registry, error) {
	u, err := url.Parse(s)
	// A host's name, or an address, and perhaps a port. Percent signs among others can stand in a URL's host too, but not in
	// the name of an image.
	if err == nil && !regexp.MustCompile(`^([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?$`).MatchString(u.Host) {
		err = errors.New("not the name of a host")
	}
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return Registry{}, fmt.Errorf("a registry's URL such as https://123456789012.dkr.ecr.us-east-1.amazonaws.com wanted, %q found", s)
	}
	return Registry{host: u.Host}, nil
}

// String returns the registry's host.
func (r Registry) String() string { return r.host }
