package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// ErrTooLarge is the error of reading a response with more than [MaxResponse] bytes.
var ErrTooLarge = errors.New("the response is larger than 1 MiB")

// RedirectError says why a redirect was not followed.
type RedirectError string

func (e RedirectError) Error() string { return string(e) }

// Error is why a request got no response, or an incomplete or invalid one.
type Error struct {
	Err error
	// IsPermanent reports whether the same request would fail again.
	IsPermanent bool
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Garbled returns an [*Error] with the text of [fmt.Errorf], for a response that a proxy probably changed or replaced.
func Garbled(format string, args ...any) error { return &Error{Err: fmt.Errorf(format, args...)} }

// Failed returns the error of a request, or of reading its response, as an [*Error] with advice for the user. Its text
// doesn't include the URL, because after a redirect, the server chooses it.
func Failed(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	isPermanent, advice := classify(err)
	return explain.Advise(&Error{Err: err, IsPermanent: isPermanent}, advice...)
}

// classify reports whether a request's error is permanent, and what the user can do about it. The status of a
// [ProxyError] says whether that is permanent.
func classify(err error) (isPermanent bool, advice []string) {
	const runAgain = "Run the build again: network problems are often temporary."

	var (
		proxy     *ProxyError
		operation *net.OpError
		lookup    *net.DNSError
	)
	toProxy := errors.As(err, &operation) && operation.Op == "proxyconnect"
	isLookup := errors.As(err, &lookup)
	text := err.Error() // of errors without an exported type
	isOldTLS := strings.Contains(text, "tls: ") && strings.Contains(text, "protocol version")
	switch {
	case errors.As(err, &proxy):
		if proxy.StatusCode == http.StatusProxyAuthRequired || proxy.StatusCode == http.StatusUnauthorized {
			return false, []string{"Set the proxy's user name and password in HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT."}
		}
		return false, []string{fmt.Sprintf("Allow the proxy to open tunnels to %s, or add that host to NO_PROXY.", proxy.Target)}
	case errors.As(err, new(RedirectError)):
		return true, []string{
			"Keep the default value of build_url, $BITRISE_BUILD_URL.",
			"If AWS_ENDPOINT_URL or a variable such as AWS_ENDPOINT_URL_STS is set, set it to an address that does not redirect.",
		}
	case errors.Is(err, ErrTooLarge), errors.As(err, new(*net.AddrError)): // such as a port that is out of range
		return true, nil
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return true, []string{
			"If a proxy inspects TLS connections, save its CA certificate as a PEM file and set AWS_CA_BUNDLE to the path of that file.",
			"Check the clock of this machine: certificates are valid for a limited time.",
		}
	case strings.Contains(text, syscall.EMFILE.Error()):
		return true, []string{"Raise the limit on open files (ulimit -n), or stop the program that keeps too many files open."}
	case isOldTLS, errors.As(err, new(tls.RecordHeaderError)), errors.Is(err, http.ErrSchemeMismatch):
		return true, []string{"Check the URL, and HTTPS_PROXY if it is set: the server must support TLS 1.2 or later."}
	case isLookup && toProxy:
		return false, []string{"Check the proxy's host name in HTTPS_PROXY.", "Check that this machine can resolve host names."}
	case isLookup:
		return false, []string{originOf(lookup.Name), "Check that this machine can resolve host names."}
	case toProxy:
		return false, []string{"Check the proxy's host and port in HTTPS_PROXY, and that the proxy is running.", runAgain}
	default: // such as a connection that is rejected, reset, or closed, or an incomplete response
		return false, []string{
			runAgain,
			"If the problem persists, check that this machine can reach the host: a firewall may block it, or HTTPS_PROXY may be missing or wrong.",
		}
	}
}

// originOf says what a host name is derived from. Endpoints for FIPS and dual-stack, which not every service has in every Region, have
// other names: see https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html.
func originOf(host string) string {
	variable := "AWS_USE_DUALSTACK_ENDPOINT"
	switch isDualStack := strings.HasSuffix(host, ".api.aws") || strings.HasSuffix(host, ".api.amazonwebservices.com.cn"); {
	case strings.Contains(host, "fips"):
		variable = "AWS_USE_FIPS_ENDPOINT"
	case !isDualStack:
		return "Check the input region, and AWS_ENDPOINT_URL and similar variables if they are set: the host name is derived from them."
	}
	return "The host name is due to " + variable + ", and AWS may not have such an endpoint in this Region. Unset it, or change region."
}

// RetryAfter returns how long a server asks to wait, in the header Retry-After (RFC 9110, section 10.2.3), or zero. A
// date in the header is ignored, because it depends on two clocks.
func RetryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
