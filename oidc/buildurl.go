package oidc

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// BuildURL is the URL of a build on Bitrise, the base of its token endpoint. It is https, or http
// on a loopback host, because the build's API token is sent to it.
type BuildURL struct{ url string }

// ParseBuildURL parses BITRISE_BUILD_URL, such as https://app.bitrise.io/build/0123456789abcdef.
// Its errors don't quote a URL that may contain a secret.
func ParseBuildURL(s string) (BuildURL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || strings.ContainsAny(s+u.String(), "@?#"):
		return BuildURL{}, errors.New("must be a URL without a user name, password, query, or " +
			"fragment, such as https://app.bitrise.io/build/0123456789abcdef")
	case u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return BuildURL{}, fmt.Errorf("must be a URL that starts with https:// and has a host, got %q", s)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return BuildURL{}, fmt.Errorf("must use https, because the build's API token is sent there (http is for loopback hosts only), got %q", s)
	}
	return BuildURL{url: strings.TrimRight(u.String(), "/")}, nil
}

// isLoopback reports whether a host can only be this machine. "localhost" is accepted as a name (RFC 6761, section 6.3): a lookup
// would let a name server decide where the token is sent unencrypted.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// String returns the URL, without a trailing slash.
func (b BuildURL) String() string { return b.url }

// tokenEndpoint returns the URL that issues identity tokens.
func (b BuildURL) tokenEndpoint() string { return b.url + "/id_token.json" }
