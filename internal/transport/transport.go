// Package transport makes the HTTP client that the Step uses to call Bitrise and AWS. It contains everything that
// protects secrets on the wire: which proxy is used, which redirects are followed, how much of a response is read, and
// which TLS versions and certificate authorities are accepted. It also explains the client's errors.
package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

const (
	// MaxResponse is the size of the largest body that is read. A larger one is an [ErrTooLarge].
	MaxResponse = 1 << 20
	// maxRedirects is the number of redirects that are followed for one request.
	maxRedirects = 3
)

// Client is an HTTP client that opens at most one connection to a host. Requests to the same host wait for each other.
type Client struct {
	*http.Client
	transport *roundTripper
}

// New makes a client. getenv looks up HTTPS_PROXY and NO_PROXY, their lower-case forms, and AWS_CA_BUNDLE, the path of a
// PEM file with authorities to trust in addition to the system's. A proxy that isn't a URL is an error, as is a file
// that can't be read or has no certificates. debug is called with a line about each request, without a user name,
// password, query, fragment, header, or body, and with its context. Several goroutines may call it at the same time.
func New(getenv func(key string) string, debug func(ctx context.Context, line string)) (*Client, error) {
	roots, err := rootCAs(getenv("AWS_CA_BUNDLE"))
	if err != nil {
		return nil, explain.Advise(err, "Set AWS_CA_BUNDLE to the path of a PEM file with certificates, or unset it.")
	}
	proxy, err := proxyFromEnvironment(getenv)
	if err != nil {
		return nil, err
	}
	rt := &roundTripper{debug: debug}
	// HTTP/2 is off, as in every transport with a DialContext. AWS's endpoints don't support it, and its first frames would be sent
	// before there is a request.
	rt.Transport = &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: checkProxyResponse,
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		MaxConnsPerHost:        1, // makes a request wait for the connection that Preconnect opens
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: MaxResponse,
	}
	return &Client{Client: &http.Client{Transport: rt}, transport: rt}, nil
}

// rootCAs returns the system's authorities and those of a bundle. nil means the system's.
func rootCAs(bundle string) (*x509.CertPool, error) {
	if bundle == "" {
		// Loading the system's authorities takes longer than anything else, and the first handshake would wait for it.
		go func() { _, _ = x509.SystemCertPool() }()
		return nil, nil
	}
	// Reading a pipe might never end.
	if info, err := os.Stat(bundle); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("AWS_CA_BUNDLE is set to %s, which is not a regular file", bundle)
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("read the file that AWS_CA_BUNDLE is set to: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE is set to %s, which contains no PEM certificate", bundle)
	}
	return pool, nil
}

// roundTripper is the client's transport.
type roundTripper struct {
	*http.Transport
	debug func(ctx context.Context, line string)
}

// RoundTrip sends a request. The response's status is 200 or higher, and its body has at most [MaxResponse] bytes. A
// redirect to a different origin is a [RedirectError].
func (rt *roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	bare := *request.URL
	bare.User, bare.RawQuery, bare.Fragment = nil, "", ""
	connection := "open connection"
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if !info.Reused {
				connection = "new connection"
			}
		},
	}))
	if err := bufferBody(request); err != nil {
		return nil, err
	}
	started := time.Now()
	response, err := rt.Transport.RoundTrip(request)
	result := any(err)
	if err == nil {
		result = response.StatusCode
	}
	rt.debug(request.Context(), fmt.Sprintf("%s %s: %v (%d ms, %s)",
		request.Method, &bare, result, time.Since(started).Milliseconds(), connection))
	if err != nil {
		if request.Context().Err() != nil {
			// The next request would wait for this one's dial. This cancels dials that no request waits for.
			rt.CloseIdleConnections()
		}
		return nil, err
	}
	if err := checkResponse(response); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	response.Body = limitedBody{http.MaxBytesReader(nil, response.Body, MaxResponse)}
	return response, nil
}

// bufferBody makes net/http send a request's head and body in one packet. It also lets net/http reuse the connection although
// the AWS SDK closes the body before net/http has read its end.
func bufferBody(request *http.Request) error {
	if request.Body == nil || request.Body == http.NoBody {
		return nil
	}
	body, err := io.ReadAll(request.Body)
	_ = request.Body.Close()
	request.Body = io.NopCloser(bytes.NewReader(body))
	return err
}

// checkResponse returns a [RedirectError] if the response redirects to a different scheme, host, or port, or exceeds
// maxRedirects. An http.Client's CheckRedirect isn't called for requests whose body can't be sent again, such as the
// AWS SDK's. net/http removes the Authorization header, but the build's API token is in a different one.
func checkResponse(response *http.Response) error {
	// net/http skips 1xx responses except 101, whose body would not be bound to the request's context.
	if response.StatusCode < http.StatusOK {
		return fmt.Errorf("unexpected response %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	target, err := response.Location()
	if err != nil || response.StatusCode < 300 || response.StatusCode > 399 {
		return nil
	}
	followed := 0
	for r := response.Request; r.Response != nil; r = r.Response.Request {
		followed++
	}
	switch from, to := origin(response.Request.URL), origin(target); {
	case to != from:
		return RedirectError(fmt.Sprintf("%s redirects to %s, and the redirect was not followed", from, to))
	case followed >= maxRedirects:
		return RedirectError(fmt.Sprintf("%s redirected the request more than %d times", from, maxRedirects))
	}
	return nil
}

// origin returns the scheme, host, and port of a URL, without the scheme's default port.
func origin(u *url.URL) string {
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), defaultPort)
}

// limitedBody replaces the error of an http.MaxBytesReader, whose text is about requests.
type limitedBody struct{ io.ReadCloser }

func (b limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.As(err, new(*http.MaxBytesError)) {
		err = ErrTooLarge
	}
	return n, err
}
