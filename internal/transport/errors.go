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
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// ErrTooLarge is the error of reading an answer with more than [MaxAnswer] bytes.
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

// Transient adds to an error of the client what the user can do about it. It also marks the error with [retry.Transient] if it may
// not occur again: a refused, reset or closed connection, a timeout, an incomplete answer. Other errors would be the same next
// time: an untrusted certificate, a host that does not exist, a redirect to another host, an answer that is too large.
func Transient(err error) error {
	permanent, advice := classify(err)
	marked := retry.IsTransient(err)
	err = explain.Advise(err, advice...)
	if permanent || marked {
		return err
	}
	return retry.Transient(err, 0)
}

// classify reports whether an error is permanent, and returns what the user can do.
func classify(err error) (permanent bool, advice []string) {
	var (
		proxy       *ProxyError
		certificate *tls.CertificateVerificationError
		lookup      *net.DNSError
		operation   *net.OpError
	)
	toProxy := errors.As(err, &operation) && operation.Op == "proxyconnect"
	switch {
	case errors.As(err, &proxy):
		advice := fmt.Sprintf("Allow the proxy to open tunnels to %s, or add that host to NO_PROXY.", proxy.Target)
		if proxy.StatusCode == http.StatusProxyAuthRequired || proxy.StatusCode == http.StatusUnauthorized {
			advice = "Set the proxy's user name and password in HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT."
		}
		return !IsTransientStatus(proxy.StatusCode) && proxy.StatusCode >= http.StatusOK, []string{advice}
	case errors.As(err, new(*RedirectError)):
		return true, []string{
			"Keep the default value of build_url, $BITRISE_BUILD_URL.",
			"If AWS_ENDPOINT_URL or a variable such as AWS_ENDPOINT_URL_STS is set, set it to an address that does not redirect.",
		}
	case errors.Is(err, ErrTooLarge):
		return true, nil
	case errors.As(err, &certificate):
		return true, []string{
			"If a proxy inspects TLS connections, save its CA certificate as a PEM file and set AWS_CA_BUNDLE to the path of that file.",
			"Check the clock of this machine: certificates are valid for a limited time.",
		}
	case errors.As(err, new(tls.RecordHeaderError)):
		return true, []string{"Check the URL, and HTTPS_PROXY if it is set: the server expects http, not https."}
	case errors.As(err, &lookup) && toProxy:
		return lookup.IsNotFound, []string{"Check the proxy's host name in HTTPS_PROXY.", "Check that this machine can resolve host names."}
	case errors.As(err, &lookup):
		return lookup.IsNotFound, []string{
			"Check the input region, and AWS_ENDPOINT_URL and similar variables if they are set: the host name is derived from them.",
			"Check that this machine can resolve host names.",
		}
	case isInvalidRequest(err):
		return true, nil
	case toProxy:
		return false, []string{"Check the proxy's host and port in HTTPS_PROXY, and that the proxy is running.", runAgain}
	default:
		return false, []string{
			runAgain,
			"If the problem persists, check that this machine can reach the host: a firewall may block it, or HTTPS_PROXY may be missing or wrong.",
		}
	}
}

const runAgain = "Run the build again: network problems are often temporary."

// isInvalidRequest reports whether net/http refused to send a request. Some of these errors have no type.
func isInvalidRequest(err error) bool {
	return errors.As(err, new(*net.AddrError)) || errors.As(err, new(url.EscapeError)) ||
		strings.Contains(err.Error(), "net/http: invalid") || strings.Contains(err.Error(), "unsupported protocol scheme")
}

// IsTransientStatus reports whether an HTTP status is that of a transient error: 408 (RFC 9110, section 15.5.9), 429 (RFC 6585,
// section 4), or 5xx.
func IsTransientStatus(code int) bool {
	return code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}

// RetryAfter returns how long a server asks the client to wait; zero if it does not ask, or not in a valid form. It reads two
// headers: X-Amz-Retry-After, in milliseconds, which the AWS SDK limits to 5 seconds (see adjustForRetryAfterHeader in its package
// aws/retry), and Retry-After, in seconds or as a date (RFC 9110, section 10.2.3). A date is compared with the answer's own Date,
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
