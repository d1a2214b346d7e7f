// Package transport makes the one HTTP client that the Step calls Bitrise and AWS with. All of it that guards a secret on
// the wire stands here: where redirects may lead, how much of an answer is read, how old TLS may be, which authorities
// are trusted.
//
// The package imports the standard library and internal/retry. It knows neither whom the client calls nor what for.
package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// MaxAnswer is how much of an answer's body is read, in bytes. More is an error, not a cut.
const MaxAnswer = 1 << 20

// maxRedirects is how many redirects are followed for one request.
const maxRedirects = 3

// Options shape the client.
type Options struct {
	// CABundle is the path of a PEM file with certificate authorities that are trusted beside the system's, as AWS_CA_BUNDLE
	// names it; empty: none.
	CABundle string
	// Observe is told of every request once its answer's head has come, or failed to; nil: nobody is. It is called from
	// whichever goroutine made the request.
	Observe func(Exchange)
}

// Exchange is one request and what came of it, without anything that could be a secret: no query, no header, no body.
type Exchange struct {
	// Method and URL are those of the request; the URL has no query.
	Method, URL string
	// StatusCode is the answer's status; 0 where Err is set.
	StatusCode int
	// Err is why there was no answer.
	Err error
	// NewConnection tells whether the request had to wait for a connection of its own.
	NewConnection bool
	// Took is the time from the request to the answer's head.
	Took time.Duration
}

// New makes the client. Proxies come from the environment, as net/http reads it.
func New(options Options) (*http.Client, error) {
	roots, err := rootCAs(options.CABundle)
	if err != nil {
		return nil, err
	}
	// How long an answer may take is bounded by the context of the attempt, see internal/retry. The bounds here are for a
	// connection that is still being made when its attempt is over: others may wait for it.
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	// There is no HTTP/2, which net/http speaks with a dialer of one's own only if told to: AWS's endpoints do not have it,
	// Bitrise is asked one thing only, and HTTP/2's first frames would be sent before there is a request.
	var transport http.RoundTripper = guarded{next: whole{next: newAhead(&http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: refusedByProxy,
		DialContext:            dial(dialer),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: MaxAnswer,
	})}}
	if options.Observe != nil {
		transport = observed{next: transport, observe: options.Observe}
	}
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}, nil
}

// rootCAs adds a bundle to the system's authorities; nil stands for those alone.
func rootCAs(bundle string) (*x509.CertPool, error) {
	if bundle == "" {
		// The first handshake would load them once the server's certificate has come, while everything waits. They are a file
		// for each authority, and take longer than all that the Step computes.
		go func() { _, _ = x509.SystemCertPool() }()
		return nil, nil
	}
	// What is no regular file, such as a pipe, might never end.
	if info, err := os.Stat(bundle); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("what AWS_CA_BUNDLE names, %s, is no regular file", bundle)
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("read the certificate authorities that AWS_CA_BUNDLE names: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the file that AWS_CA_BUNDLE names, %s, holds no PEM certificate", bundle)
	}
	return pool, nil
}

// checkRedirect bounds how often a request is sent on. Where to, leaving has a say in before.
func checkRedirect(_ *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	return nil
}

// leaving finds a redirect that leads to another host or scheme. It looks at answers rather than at the requests that
// follow them, because whether net/http follows depends on the request; and net/http strips the Authorization header when
// a redirect leaves the host, but not the header that Bitrise's token travels in.
func leaving(response *http.Response) error {
	from := response.Request.URL
	to, err := response.Location()
	if response.StatusCode < 300 || response.StatusCode > 399 || err != nil || (to.Scheme == from.Scheme && to.Host == from.Host) {
		return nil
	}
	return &RedirectError{From: from.Scheme + "://" + from.Host, To: to.Scheme + "://" + to.Host}
}

var errRedirects = errors.New("more than 3 redirects")

// RedirectError is a redirect that was not followed, because it leaves the host or the scheme that was called.
type RedirectError struct {
	// From and To are scheme and host, such as https://app.bitrise.io, of the request and of where it was sent.
	From, To string
}

// Error names both hosts.
func (e *RedirectError) Error() string {
	return fmt.Sprintf("%s redirects to %s, where nothing was sent", e.From, e.To)
}

// ErrTooLarge is what reading an answer's body ends with after [MaxAnswer] bytes.
var ErrTooLarge = errors.New("the answer is larger than 1 MiB")

// ProxyError is a proxy that did not open a tunnel.
type ProxyError struct {
	// Proxy and Target are hosts: the proxy's, and the one that was to be reached through it.
	Proxy, Target string
	// StatusCode is the proxy's answer to CONNECT.
	StatusCode int
}

// Error says which proxy refused what.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("the proxy %s does not let %s be reached: %d %s", e.Proxy, e.Target, e.StatusCode, http.StatusText(e.StatusCode))
}

// refusedByProxy gives a proxy's refusal a type; net/http would make a bare text of it.
func refusedByProxy(_ context.Context, proxy *url.URL, request *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, Target: request.Host, StatusCode: response.StatusCode}
}

// guarded bounds the bodies of answers, and keeps redirects on their host.
type guarded struct{ next http.RoundTripper }

func (g guarded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := g.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if err := leaving(response); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	response.Body = &limitedBody{body: response.Body, left: MaxAnswer}
	return response, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (g guarded) CloseIdleConnections() { closeIdle(g.next) }

func (g guarded) connect(ctx context.Context, address string) { connect(ctx, g.next, address) }

func closeIdle(transport http.RoundTripper) {
	if closer, ok := transport.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

type limitedBody struct {
	body io.ReadCloser
	left int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	// One byte more than is left tells a body that ends at the limit from one that goes on.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if int64(n) > b.left {
		return int(b.left), ErrTooLarge
	}
	b.left -= int64(n)
	return n, err
}

func (b *limitedBody) Close() error { return b.body.Close() }
