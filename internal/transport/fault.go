package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// Fault marks an error of the client that may pass with [retry.Passing]: connections refused, reset or closed midway,
// answers cut short or that do not come. Others come back as they are, since they will be the same next time: a
// certificate that is not trusted, a host that does not exist, a redirect to another host, an answer that is too large.
func Fault(err error) error {
	if err == nil || lasting(err) {
		return err
	}
	return retry.Passing(err, 0)
}

func lasting(err error) bool {
	var (
		redirect    *RedirectError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		invalid     x509.CertificateInvalidError
		plain       tls.RecordHeaderError
		lookup      *net.DNSError
		address     *net.AddrError
		escape      url.EscapeError
		proxy       *ProxyError
	)
	switch {
	case errors.As(err, &proxy):
		return !PassingStatus(proxy.StatusCode)
	case errors.As(err, &redirect), errors.Is(err, ErrTooLarge), errors.Is(err, errRedirects):
		return true
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &plain):
		return true
	case errors.As(err, &lookup):
		return lookup.IsNotFound
	case errors.As(err, &address), errors.As(err, &escape):
		return true
	// What is left of net/http's own refusals to send a request has no type.
	case strings.Contains(err.Error(), "net/http: invalid"), strings.Contains(err.Error(), "unsupported protocol scheme"):
		return true
	default:
		return false
	}
}

// PassingStatus tells whether an HTTP status speaks of a fault that may pass: 429 (RFC 6585, section 4), 408 (RFC 9110,
// section 15.5.9) and all of 5xx.
func PassingStatus(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError
}

// RetryAfter reads the header Retry-After, in seconds or as a date (RFC 9110, section 10.2.3); zero if there is none, or
// none that makes sense. A date is measured against the answer's own Date, because the machine's clock may be wrong.
func RetryAfter(header http.Header) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
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
