package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// proxyFromEnvironment returns what an http.Transport calls to find a request's proxy. Requests over plain HTTP never use one:
// a proxy could read the secrets in them. So HTTP_PROXY is checked, because other programs of the build use it, but not used.
func proxyFromEnvironment(getenv func(string) string) (func(*http.Request) (*url.URL, error), error) {
	if getenv == nil {
		return nil, nil
	}
	if _, err := readProxy(getenv, "HTTP_PROXY", "http_proxy"); err != nil {
		return nil, err
	}
	proxy, err := readProxy(getenv, "HTTPS_PROXY", "https_proxy")
	if err != nil {
		return nil, err
	}
	_, except := readVariable(getenv, "NO_PROXY", "no_proxy")
	find := (&httpproxy.Config{HTTPSProxy: proxy, NoProxy: except}).ProxyFunc()
	return func(request *http.Request) (*url.URL, error) { return find(request.URL) }, nil
}

// readVariable returns the first of the variables that is not empty, with its value trimmed.
func readVariable(getenv func(string) string, names ...string) (name, value string) {
	for _, name := range names {
		if value := strings.TrimSpace(getenv(name)); value != "" {
			return name, value
		}
	}
	return "", ""
}

// readProxy returns the URL of a proxy. Its error does not contain the variable's value, because that may contain a password.
func readProxy(getenv func(string) string, names ...string) (string, error) {
	name, value := readVariable(getenv, names...)
	if value == "" {
		return "", nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || strings.ContainsAny(value, "#?") || strings.Trim(u.Path, "/") != "" || !isProxyAddress(u) {
		return "", explain.Advise(errors.New(name+" must be the URL of a proxy, such as http://proxy.example.com:3128, without quotes; "+
			"percent-encode special characters in its user name and password (# is %23, / is %2F, % is %25)"),
			"Correct "+name+", or unset it if no proxy is needed.")
	}
	return value, nil
}

var hostPattern = regexp.MustCompile(`^[\pL\pN._:%-]+$`)

// isProxyAddress reports whether scheme, host and port are those of a proxy that net/http can use.
func isProxyAddress(u *url.URL) bool {
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
	}
	return slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) && hostPattern.MatchString(u.Hostname())
}

// ProxyError is a proxy's refusal to open a tunnel.
type ProxyError struct {
	Proxy, Target string // HOST:PORT
	StatusCode    int    // of the proxy's answer
}

func (e *ProxyError) Error() string {
	return fmt.Sprintf("the proxy %s refused to connect to %s: %d %s", e.Proxy, e.Target, e.StatusCode, http.StatusText(e.StatusCode))
}

// Status returns the proxy's status.
func (e *ProxyError) Status() (int, time.Duration) { return e.StatusCode, 0 }

// checkProxyAnswer returns a typed error; net/http's own error would only be a text.
func checkProxyAnswer(_ context.Context, proxy *url.URL, request *http.Request, response *http.Response) error {
	if response.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{Proxy: proxy.Host, Target: request.Host, StatusCode: response.StatusCode}
}
