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
)

func TestAdvice(t *testing.T) {
	viaProxy := func(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }
	closed := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	notFound, found := &net.DNSError{Name: "x", IsNotFound: true}, &net.DNSError{Name: "x", IsTemporary: true}
	for name, row := range map[string]struct {
		err    error
		advice string // part of the advice; "" if there must be none
	}{
		"cut short":                    {io.ErrUnexpectedEOF, "a firewall may block it"},
		"closed":                       {io.EOF, "Run the build again"},
		"closed port":                  {closed, "Run the build again"},
		"anything else":                {errors.New("whatever"), "Run the build again"},
		"proxy down":                   {viaProxy(closed), "Check the proxy's host and port in HTTPS_PROXY"},
		"proxy fails":                  {&ProxyError{Target: "a:443", StatusCode: 502}, "Allow the proxy to open tunnels to a:443"},
		"proxy forbids":                {&ProxyError{Target: "a:443", StatusCode: 403}, "Allow the proxy to open tunnels to a:443"},
		"proxy requires a password":    {&ProxyError{Target: "a:443", StatusCode: 407}, "http://USER:PASSWORD@HOST:PORT"},
		"proxy does not know the user": {&ProxyError{Target: "a:443", StatusCode: 401}, "http://USER:PASSWORD@HOST:PORT"},
		"redirect":                     {RedirectError("redirected"), "default value of build_url"},
		"too large":                    {ErrTooLarge, ""},
		"lookup fails":                 {found, "Check the input region"},
		"name does not exist":          {notFound, "Check the input region"},
		"lookup of the proxy fails":    {viaProxy(found), "Check the proxy's host name in HTTPS_PROXY"},
		"proxy does not exist":         {viaProxy(notFound), "Check the proxy's host name in HTTPS_PROXY"},
		"certificate":                  {&tls.CertificateVerificationError{}, "AWS_CA_BUNDLE"},
		"certificate of the proxy":     {viaProxy(&tls.CertificateVerificationError{}), "AWS_CA_BUNDLE"},
		"http instead of https":        {tls.RecordHeaderError{}, "must support TLS 1.2"},
		"proxy with http":              {viaProxy(tls.RecordHeaderError{}), "HTTPS_PROXY if it is set"},
		"out of files":                 {os.NewSyscallError("socket", syscall.EMFILE), "limit on open files"},
		"no FIPS endpoint":             {&net.DNSError{Name: "ecr-fips.eu-west-1.amazonaws.com"}, "is due to AWS_USE_FIPS_ENDPOINT, and AWS may not"},
		"no FIPS endpoint, dual-stack": {&net.DNSError{Name: "sts-fips.eu-west-1.api.aws"}, "is due to AWS_USE_FIPS_ENDPOINT, and AWS may not"},
		"no dual-stack endpoint":       {&net.DNSError{Name: "sts.eu-west-1.api.aws"}, "AWS_USE_DUALSTACK_ENDPOINT, and AWS may not"},
		"no dual-stack, China":         {&net.DNSError{Name: "sts.cn-north-1.api.amazonwebservices.com.cn"}, "AWS_USE_DUALSTACK_ENDPOINT, and AWS may not"},
		"out of files in a lookup":     {&net.DNSError{Err: "socket: too many open files"}, "limit on open files"},
		"old TLS":                      {errors.New("tls: server selected unsupported protocol version 302"), "must support TLS 1.2"},
		"address":                      {&net.AddrError{Err: "missing port"}, ""},
		"wrapped":                      {fmt.Errorf("read the response: %w", io.ErrUnexpectedEOF), "Run the build again"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Failed(&url.Error{Op: "Post", URL: "https://x/canary", Err: row.err})
			if !errors.As(err, new(*Error)) || !errors.Is(err, row.err) || err.Error() != row.err.Error() {
				t.Errorf("got %#v", err)
			}
			if advice := adviceOf(err); (row.advice == "") != (advice == "") || !strings.Contains(advice, row.advice) {
				t.Errorf("got advice %q", advice)
			}
		})
	}
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"the proxy p:1 rejected the connection to a:443: 502 Bad Gateway": &ProxyError{Proxy: "p:1", Target: "a:443", StatusCode: 502},
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999999999999999": 0, "Fri, 02 Jan 2026 03:04:05 GMT": 0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}
