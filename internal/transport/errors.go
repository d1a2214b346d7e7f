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

// RedirectError is a redirect that was not followed, because it leads to a different scheme, host, or port.
type RedirectError struct {
	// From and To are the origins of the request and of the redirect's target, such as https://app.bitrise.io. They are the same
	// if the host redirected too often.
	From, To string
}

func (e *RedirectError) Error() string {
	if e.From == e.To {
		return fmt.Sprintf("%s redirected the request more than %d times", e.From, maxRedirects)
	}
	return fmt.Sprintf("%s redirects to %s, and the redirect was not followed", e.From, e.To)
}

// Error is why a request got no response, or not all of it.
type Error struct{ Err error }

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Failed returns the error of a request, or of reading its response, as an [Error] with advice for the user. Its text doesn't
// include the URL, because after a redirect, the server chooses it.
func Failed(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return explain.Advise(&Error{err}, advice(err)...)
}

// GarbledError is a response that the service can't have sent like this, such as one that a proxy changed or replaced.
type GarbledError struct{ Err error }

func (e *GarbledError) Error() string { return e.Err.Error() }

func (e *GarbledError) Unwrap() error { return e.Err }

// Garbled returns a [*GarbledError] with the text of [fmt.Errorf].
func Garbled(format string, args ...any) error { return &GarbledError{fmt.Errorf(format, args...)} }

// advice returns what the user can do about a request's error.
func advice(err error) []string {
	var (
		proxy     *ProxyError
		operation *net.OpError
		lookup    *net.DNSError
	)
	toProxy := errors.As(err, &operation) && operation.Op == "proxyconnect"
	switch {
	case errors.As(err, &proxy):
		if proxy.StatusCode == http.StatusProxyAuthRequired || proxy.StatusCode == http.StatusUnauthorized {
			return []string{"Set the proxy's user name and password in HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT."}
		}
		return []string{fmt.Sprintf("Allow the proxy to open tunnels to %s, or add that host to NO_PROXY.", proxy.Target)}
	case errors.As(err, new(*RedirectError)):
		return []string{
			"Keep the default value of build_url, $BITRISE_BUILD_URL.",
			"If AWS_ENDPOINT_URL or a variable such as AWS_ENDPOINT_URL_STS is set, set it to an address that does not redirect.",
		}
	case errors.Is(err, ErrTooLarge), errors.As(err, new(*net.AddrError)):
		return nil
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return []string{
			"If a proxy inspects TLS connections, save its CA certificate as a PEM file and set AWS_CA_BUNDLE to the path of that file.",
			"Check the clock of this machine: certificates are valid for a limited time.",
		}
	case IsOutOfFiles(err):
		return []string{"Raise the limit on open files (ulimit -n), or stop the program that keeps too many files open."}
	case IsOldTLS(err), errors.As(err, new(tls.RecordHeaderError)), errors.Is(err, http.ErrSchemeMismatch):
		return []string{"Check the URL, and HTTPS_PROXY if it is set: the server must support TLS 1.2 or later."}
	case errors.As(err, new(*net.DNSError)) && toProxy:
		return []string{"Check the proxy's host name in HTTPS_PROXY.", "Check that this machine can resolve host names."}
	case errors.As(err, &lookup):
		return []string{originOf(lookup.Name), "Check that this machine can resolve host names."}
	case toProxy:
		return []string{"Check the proxy's host and port in HTTPS_PROXY, and that the proxy is running.", runAgain}
	default:
		return []string{
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

const runAgain = "Run the build again: network problems are often temporary."

// IsOutOfFiles reports whether the process can't open more files or sockets. A [net.DNSError] has only the text of its cause.
func IsOutOfFiles(err error) bool { return strings.Contains(err.Error(), syscall.EMFILE.Error()) }

// IsOldTLS reports whether a server supports only versions of TLS before 1.2. The errors have no exported types.
func IsOldTLS(err error) bool {
	return strings.Contains(err.Error(), "tls: ") && strings.Contains(err.Error(), "protocol version")
}

// RetryAfter returns how long a server asks the client to wait, in the header Retry-After (RFC 9110, section 10.2.3), or zero if it
// doesn't ask. A date in the header is ignored, because it depends on two clocks.
func RetryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
