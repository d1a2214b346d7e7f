package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

func TestTransient(t *testing.T) {
	viaProxy := func(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	notFound, found := &net.DNSError{Name: "x", IsNotFound: true}, &net.DNSError{Name: "x", IsTemporary: true}
	for name, row := range map[string]struct {
		err       error
		transient bool
		advice    string // part of the advice; "" if there must be none
	}{
		"cut short":                      {io.ErrUnexpectedEOF, true, "a firewall may block it"},
		"closed":                         {io.EOF, true, "Run the build again"},
		"refused":                        {refused, true, "Run the build again"},
		"anything else":                  {errors.New("whatever"), true, "Run the build again"},
		"already marked":                 {retry.Transient(errors.New("whatever"), 7), true, "Run the build again"},
		"proxy refused":                  {viaProxy(refused), true, "Check the proxy's host and port in HTTPS_PROXY"},
		"proxy fails":                    {&ProxyError{Target: "a:443", StatusCode: 502}, true, "Allow the proxy to open tunnels to a:443"},
		"proxy switches protocols":       {&ProxyError{Target: "a:443", StatusCode: 101}, true, "Allow the proxy"},
		"proxy answers 201":              {&ProxyError{Target: "a:443", StatusCode: 201}, false, "Allow the proxy"},
		"proxy answers 200":              {&ProxyError{Target: "a:443", StatusCode: 200}, false, "Allow the proxy"},
		"proxy forbids":                  {&ProxyError{Target: "a:443", StatusCode: 403}, false, "Allow the proxy to open tunnels to a:443"},
		"proxy requires a password":      {&ProxyError{Target: "a:443", StatusCode: 407}, false, "http://USER:PASSWORD@HOST:PORT"},
		"proxy does not know the user":   {&ProxyError{Target: "a:443", StatusCode: 401}, false, "http://USER:PASSWORD@HOST:PORT"},
		"redirect":                       {&RedirectError{From: "https://a", To: "https://b"}, false, "default value of build_url"},
		"too large":                      {ErrTooLarge, false, ""},
		"lookup fails":                   {found, true, "Check the input region"},
		"name does not exist":            {notFound, false, "Check the input region"},
		"lookup of the proxy fails":      {viaProxy(found), true, "Check the proxy's host name in HTTPS_PROXY"},
		"proxy does not exist":           {viaProxy(notFound), false, "Check the proxy's host name in HTTPS_PROXY"},
		"certificate":                    {&tls.CertificateVerificationError{}, false, "AWS_CA_BUNDLE"},
		"certificate of the proxy":       {viaProxy(&tls.CertificateVerificationError{}), false, "AWS_CA_BUNDLE"},
		"http instead of https":          {tls.RecordHeaderError{}, false, "the server expects http"},
		"proxy with http":                {viaProxy(tls.RecordHeaderError{}), false, "HTTPS_PROXY if it is set"},
		"invalid header":                 {errors.New(`net/http: invalid header field value for "X"`), false, ""},
		"scheme":                         {errors.New(`unsupported protocol scheme "ftp"`), false, ""},
		"address":                        {&net.AddrError{Err: "missing port"}, false, ""},
		"escape":                         {url.EscapeError("%zz"), false, ""},
		"wrapped":                        {fmt.Errorf("read the answer: %w", io.ErrUnexpectedEOF), true, "Run the build again"},
		"wrapped name that is not found": {fmt.Errorf("call: %w", notFound), false, "Check the input region"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Transient(row.err)
			if retry.IsTransient(err) != row.transient || !errors.Is(err, row.err) || err.Error() != row.err.Error() {
				t.Errorf("want transient %v, got %#v", row.transient, err)
			}
			if advice := adviceOf(err); (row.advice == "") != (advice == "") || !strings.Contains(advice, row.advice) {
				t.Errorf("got advice %q", advice)
			}
		})
	}
}

// A delay that the server asked for is kept.
func TestTransientKeepsTheDelay(t *testing.T) {
	var transient *retry.TransientError
	if err := Transient(retry.Transient(io.EOF, 7)); !errors.As(err, &transient) || transient.After != 7 {
		t.Errorf("got %#v", err)
	}
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"https://a redirects to https://b, and the redirect was not followed": &RedirectError{From: "https://a", To: "https://b"},
		"https://a redirected the request more than 3 times":                  &RedirectError{From: "https://a", To: "https://a"},
		"the proxy p:1 refused to connect to a:443: 502 Bad Gateway":          &ProxyError{Proxy: "p:1", Target: "a:443", StatusCode: 502},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999999999999999": 0,
		date.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second, date.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		t.Run(value, func(t *testing.T) {
			header := http.Header{"Retry-After": {value}, "Date": {date.Format(http.TimeFormat)}}
			if got := RetryAfter(header); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	t.Run("no Date", func(t *testing.T) {
		got := RetryAfter(http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}})
		if got < 50*time.Minute || got > time.Hour {
			t.Errorf("got %v, want an hour or slightly less", got)
		}
	})
	for value, want := range map[string]time.Duration{
		"0": 0, "1500": 1500 * time.Millisecond, "5000": 5 * time.Second, "60000": 5 * time.Second,
		"": 7 * time.Second, "-1": 7 * time.Second, "1.5": 7 * time.Second, "99999999999999999999": 7 * time.Second,
	} {
		t.Run("X-Amz-Retry-After "+value, func(t *testing.T) {
			if got := RetryAfter(http.Header{"X-Amz-Retry-After": {value}, "Retry-After": {"7"}}); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestIsTransientStatus(t *testing.T) {
	for status, want := range map[int]bool{
		200: false, 301: false, 400: false, 401: false, 403: false, 404: false, 408: true, 429: true, 499: false,
		500: true, 502: true, 503: true, 504: true, 599: true,
	} {
		if IsTransientStatus(status) != want {
			t.Errorf("%d: got %v, want %v", status, !want, want)
		}
	}
}
