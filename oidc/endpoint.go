package oidc

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// BuildURL is the address of a build on Bitrise, below which the token endpoint stands. It is https, or http on a
// loopback host, because the build's API token is sent to it.
type BuildURL struct{ address string }

// ParseBuildURL takes the value of BITRISE_BUILD_URL, such as https://app.bitrise.io/build/0123456789abcdef.
// Its errors do not repeat the URL if that holds a user's password.
func ParseBuildURL(s string) (BuildURL, error) {
	u, err := url.Parse(s)
	if err != nil {
		// The cause quotes the URL, or a part of it, which may be a password.
		return BuildURL{}, errors.New("not a URL, such as https://app.bitrise.io/build/0123456789abcdef")
	}
	switch {
	case u.User != nil:
		return BuildURL{}, errors.New("a URL without user and password wanted")
	case u.Scheme != "https" && u.Scheme != "http" && strings.Contains(s, "@"):
		return BuildURL{}, errors.New("a URL that starts with https://, without user and password, wanted")
	case u.Scheme != "https" && u.Scheme != "http":
		return BuildURL{}, fmt.Errorf("a URL that starts with https:// wanted, %q found", s)
	case u.Hostname() == "":
		return BuildURL{}, fmt.Errorf("a URL with a host wanted, %q found", s)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return BuildURL{}, fmt.Errorf("a URL without query and fragment wanted, %q found", s)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return BuildURL{}, fmt.Errorf("https wanted, since the build's API token is sent there, %q found (http is for loopback hosts only)", s)
	}
	return BuildURL{address: strings.TrimRight(u.String(), "/")}, nil
}

// isLoopback tells whether a host can be on this machine only. Names are taken by name alone (RFC 6761, section 6.3),
// since a lookup would let a name server decide where the token may go in the clear.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// String returns the URL, without a slash at its end.
func (b BuildURL) String() string { return b.address }

// tokenEndpoint returns the URL that identity tokens are asked from.
func (b BuildURL) tokenEndpoint() string { return b.address + "/id_token.json" }
