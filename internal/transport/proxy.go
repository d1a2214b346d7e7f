package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// proxyFromEnvironment returns the function that an http.Transport calls to find a request's proxy. Requests over plain
// HTTP never use one, because it could read the secrets in them, so HTTP_PROXY has no effect.
func proxyFromEnvironment(getenv func(string) string) (func(*http.Request) (*url.URL, error), error) {
	proxy := strings.TrimSpace(cmp.Or(getenv("HTTPS_PROXY"), getenv("https_proxy")))
	if err := checkProxy(proxy); err != nil {
		return nil, err
	}
	except := strings.TrimSpace(cmp.Or(getenv("NO_PROXY"), getenv("no_proxy")))
	find := (&httpproxy.Config{HTTPSProxy: proxy, NoProxy: except}).ProxyFunc()
	return func(request *http.Request) (*url.URL, error) { return find(request.URL) }, nil
}

var proxyHost = regexp.MustCompile(`^[\pL\pN._:%-]+$`)

// checkProxy returns an error for a value that isn't the URL of a proxy, because httpproxy would use no proxy, or the
// wrong one. The error doesn't contain the value, which may contain a password.
func checkProxy(value string) error {
	if value == "" {
		return nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	isProxy := err == nil && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) &&
		proxyHost.MatchString(u.Hostname()) && strings.Trim(u.Path, "/") == "" && !strings.ContainsAny(value, "#?")
	if isProxy {
		return nil
	}
	return explain.Advise(errors.New("HTTPS_PROXY must be the URL of a proxy, such as http://proxy.example.com:3128, without quotes; "+
		"percent-encode special characters in its user name and password (# is %23, / is %2F, % is %25)"),
		"Correct HTTPS_PROXY, or unset it if no proxy is needed.")
}

// ProxyError is the error of a proxy that rejected a request to open a tunnel.
type ProxyError struct {
	Proxy, Target string // HOST:PORT
	StatusCode    int    // of the proxy's response
}

func (e *ProxyError) Error() string {
	return fmt.Sprintf("the proxy %s rejected the connection to %s: %d %s", e.Proxy, e.Target, e.StatusCode, http.StatusText(e.StatusCode))
}

// Status returns the proxy's status.
func (e *ProxyError) Status() (int, time.Duration) { return e.StatusCode, 0 }

// checkProxyResponse returns a typed error, because net/http's own error has only a text.
func checkProxyResponse(_ context.Context, proxy *url.URL, request *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, Target: request.Host, StatusCode: response.StatusCode}
}
