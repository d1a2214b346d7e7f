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

// ErrTooLarge is the error of reading a response with more than [MaxAnswer] bytes.
var ErrTooLarge = errors.New("the answer is larger than 1 MiB")

// RedirectError is a redirect that was not followed, because it leads to another scheme, host or port.
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

// Failed returns the error of a request, or of reading its response, as an [Error] with advice for the user. Its text does not
// have the URL, which after a redirect is one that the server chose.
func Failed(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return explain.Advise(&Error{err}, advice(err)...)
}

// GarbledError is a response that the service cannot have meant: something on the way has changed or replaced it.
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
	case errors.Is(err, ErrTooLarge), IsInvalidRequest(err):
		return nil
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return []string{
			"If a proxy inspects TLS connections, save its CA certificate as a PEM file and set AWS_CA_BUNDLE to the path of that file.",
			"Check the clock of this machine: certificates are valid for a limited time.",
		}
	case IsOldTLS(err):
		return []string{"Check the URL, and HTTPS_PROXY if it is set: the server must support TLS 1.2 or later."}
	case IsOutOfFiles(err):
		return []string{"Raise the limit on open files (ulimit -n), or stop the program that keeps too many files open."}
	case errors.As(err, new(tls.RecordHeaderError)), errors.Is(err, http.ErrSchemeMismatch):
		return []string{"Check the URL, and HTTPS_PROXY if it is set: the server expects http, not https."}
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

// IsOldTLS reports whether a server supports only versions of TLS before 1.2. The errors have no exported types.
func IsOldTLS(err error) bool {
	return strings.Contains(err.Error(), "tls: ") && strings.Contains(err.Error(), "protocol version")
}

// IsOutOfFiles reports whether the process or the machine cannot open another file or socket. A [net.DNSError] does not wrap its
// cause, and has only the text.
func IsOutOfFiles(err error) bool { return strings.Contains(err.Error(), syscall.EMFILE.Error()) }

// IsInvalidRequest reports whether net/http could not send a request as it is. Some of these errors have no type.
func IsInvalidRequest(err error) bool {
	return errors.As(err, new(*net.AddrError)) || errors.As(err, new(url.EscapeError)) ||
		strings.Contains(err.Error(), "net/http: invalid") || strings.Contains(err.Error(), "unsupported protocol scheme")
}

// RetryAfter returns how long a server asks the client to wait; zero if it does not ask, or not in a valid form. It reads two
// headers: X-Amz-Retry-After, in milliseconds, which the AWS SDK limits to 5 seconds (see adjustForRetryAfterHeader in its package
// aws/retry), and Retry-After, in seconds or as a date (RFC 9110, section 10.2.3). A date is compared with the response's own Date,
// because the clock of this machine may be wrong.
func RetryAfter(header http.Header) time.Duration {
	const maxAmazonDelay = 5 * time.Second

	if milliseconds, err := strconv.ParseUint(header.Get("X-Amz-Retry-After"), 10, 31); err == nil {
		return min(time.Duration(milliseconds)*time.Millisecond, maxAmazonDelay)
	}
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, until.Sub(now))
}
