package transport

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestProxyVariables(t *testing.T) {
	const target = "https://sts.us-east-1.amazonaws.com"
	both := []string{"HTTP_PROXY=http://proxy.example", "HTTPS_PROXY=http://proxy.example"}
	for name, row := range map[string]struct {
		environment []string
		target      string
		want        string
	}{
		"none":                        {nil, target, ""},
		"HTTPS_PROXY":                 {[]string{"HTTPS_PROXY=http://proxy.example:3128"}, target, "http://proxy.example:3128"},
		"lower case":                  {[]string{"https_proxy=http://proxy.example:3128"}, target, "http://proxy.example:3128"},
		"upper case comes first":      {[]string{"https_proxy=http://a.example", "HTTPS_PROXY=http://b.example"}, target, "http://b.example"},
		"no scheme":                   {[]string{"HTTPS_PROXY=user:pa%23ss@a.example:1"}, target, "http://user:pa%23ss@a.example:1"},
		"no port":                     {[]string{"HTTPS_PROXY=https://proxy.example/"}, target, "https://proxy.example/"},
		"highest port":                {[]string{"HTTPS_PROXY=https://proxy.example:65535"}, target, "https://proxy.example:65535"},
		"IPv6":                        {[]string{"HTTPS_PROXY=http://[fd00::1%25eth0]:3128"}, target, "http://[fd00::1%25eth0]:3128"},
		"underscore":                  {[]string{"HTTPS_PROXY=http://my_proxy:3128"}, target, "http://my_proxy:3128"},
		"umlaut":                      {[]string{"HTTPS_PROXY=http://bücher.example:3128"}, target, "http://b%C3%BCcher.example:3128"},
		"SOCKS":                       {[]string{"HTTPS_PROXY=socks5://proxy.example:1080"}, target, "socks5://proxy.example:1080"},
		"SOCKS, names by the proxy":   {[]string{"HTTPS_PROXY=socks5h://proxy.example:1080"}, target, "socks5h://proxy.example:1080"},
		"whitespace around it":        {[]string{"HTTPS_PROXY=\t http://proxy.example:3128\r\n"}, target, "http://proxy.example:3128"},
		"empty after trimming":        {[]string{"HTTPS_PROXY= \n"}, target, ""},
		"NO_PROXY":                    {[]string{"HTTPS_PROXY=http://proxy.example", "NO_PROXY= .amazonaws.com\n"}, target, ""},
		"no_proxy":                    {[]string{"HTTPS_PROXY=http://proxy.example", "no_proxy=.amazonaws.com"}, target, ""},
		"NO_PROXY for another":        {[]string{"HTTPS_PROXY=http://proxy.example", "NO_PROXY=.bitrise.io"}, target, "http://proxy.example"},
		"HTTP_PROXY is not for https": {[]string{"HTTP_PROXY=http://proxy.example"}, target, ""},
		// Plain HTTP requests never use a proxy.
		"plain http: LOCALHOST":       {both, "http://LOCALHOST:8080", ""},
		"plain http: LocalHost.":      {both, "http://LocalHost.:8080", ""},
		"plain http: 127.0.0.2":       {both, "http://127.0.0.2:8080", ""},
		"plain http: [::1]":           {both, "http://[::1]:8080", ""},
		"plain http: a name":          {both, "http://minio.internal:9000", ""},
		"plain http: only HTTP_PROXY": {[]string{"http_proxy=http://proxy.example"}, "http://minio.internal:9000", ""},
	} {
		t.Run(name, func(t *testing.T) {
			find, err := proxyFromEnvironment(variables(row.environment...))
			if err != nil {
				t.Fatal(err)
			}
			proxy, err := find(httptest.NewRequest(http.MethodGet, row.target, nil))
			got := ""
			if proxy != nil {
				got = proxy.String()
			}
			if err != nil || got != row.want {
				t.Errorf("got %q, want %q; error %v", got, row.want, err)
			}
		})
	}
}

// An invalid variable is an error that names the variable but not its value.
func TestInvalidProxyVariables(t *testing.T) {
	for name, value := range map[string]string{
		"escape":                     "http://user:hunter2%zz@proxy.example:3128",
		"percent sign":               "http://user:hunter2%@proxy.example:3128",
		"line break":                 "http://user:hunter2@proxy.\nexample:3128",
		"two lines":                  "http://user:hunter2@proxy.example:3128\nhttp://user:hunter2@proxy.example:3128",
		"quotes":                     `"http://user:hunter2@proxy.example:3128"`,
		"single quotes":              `'http://user:hunter2@proxy.example:3128'`,
		"quotes without a scheme":    `"proxy.example"`,
		"quotes around the host":     `http://"proxy.example":3128`,
		"# in the password":          "http://user:hunter2#@proxy.example:3128",
		"# after digits":             "http://user:12#hunter2@proxy.example:3128",
		"/ in the password":          "http://user:hunter2/@proxy.example:3128",
		"/ after digits":             "http://user:12/hunter2@proxy.example:3128",
		"? after digits":             "http://user:12?hunter2@proxy.example:3128",
		"space":                      "http://user:hunter 2@proxy.example:3128",
		"slash missing":              "http:/proxy.example:3128",
		"scheme alone":               "http://",
		"port alone":                 ":3128",
		"another scheme":             "ftp://proxy.example",
		"SOCKS 4":                    "socks4://proxy.example",
		"port that is not a number":  "http://proxy.example:http",
		"variable that was not set":  "http://$PROXY_HOST:3128",
		"variable in curly brackets": "${PROXY_URL}",
	} {
		for _, variable := range []string{"HTTPS_PROXY", "https_proxy"} {
			t.Run(name+" in "+variable, func(t *testing.T) {
				_, err := New(variables(variable+"="+value), nil)
				if err == nil || !strings.HasPrefix(err.Error(), "HTTPS_PROXY must be the URL of a proxy") ||
					!strings.Contains(err.Error(), "percent-encode") || !strings.Contains(adviceOf(err), "Correct HTTPS_PROXY") {
					t.Fatalf("got %v", err)
				}
				if shown := err.Error() + adviceOf(err); strings.Contains(shown, "hunter") || strings.Contains(shown, "$PROXY") {
					t.Errorf("the error contains the value: %s", shown)
				}
			})
		}
	}
}

// The same with a real proxy: the request, which contains the build's API token, is sent directly to the host.
func TestPlainHTTPDoesNotReachTheProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was called") }))
	defer proxy.Close()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	client := newClient(t, "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL)
	client.Preconnect(t.Context(), "http://LOCALHOST:"+port)
	mustGet(t, client, "http://LOCALHOST:"+port)
}

func TestTunnels(t *testing.T) {
	server := startServer(t, nil)
	target := server.Listener.Addr().String()
	for scheme, tunnel := range map[string]func(net.Conn, string){"http": connectProxy, "socks5": socksProxy} {
		t.Run(scheme, func(t *testing.T) {
			tunnels := make(chan int, 10)
			address := listen(t, func(connection net.Conn, number int) {
				tunnels <- number
				tunnel(connection, target)
			})
			client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t), "HTTPS_PROXY="+scheme+"://"+address)
			client.Preconnect(t.Context(), remoteTarget)
			<-server.handshakes // before the first request
			mustGet(t, client, remoteTarget)
			mustGet(t, client, remoteTarget)
			if len(tunnels) != 1 {
				t.Errorf("got %d tunnels, want 1", len(tunnels))
			}
		})
	}
}

// If the proxy's name does not resolve, the advice is about the proxy.
func TestProxyThatDoesNotResolve(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			client := newClient(t, "HTTPS_PROXY="+scheme+"://proxy.invalid:3128")
			_, err := client.Get(remoteTarget)
			var lookup *net.DNSError
			if !errors.As(err, &lookup) || lookup.Name != "proxy.invalid" {
				t.Fatalf("got %v", err)
			}
			if advice := adviceOf(Failed(err)); !strings.Contains(advice, "host name in HTTPS_PROXY") || strings.Contains(advice, "region") {
				t.Errorf("got advice %q for %v", advice, err)
			}
		})
	}
}

func TestProxyErrorShowsTheProxyWithoutItsPassword(t *testing.T) {
	proxy, err := url.Parse("http://user:hunter2@proxy.example:3128")
	if err != nil {
		t.Fatal(err)
	}
	request := &http.Request{Host: "a.example:443"}
	for status, want := range map[int]string{
		200: "<nil>", 201: "the proxy proxy.example:3128 rejected the connection to a.example:443: 201 Created",
		101: "the proxy proxy.example:3128 rejected the connection to a.example:443: 101 Switching Protocols",
	} {
		err := checkProxyResponse(t.Context(), proxy, request, &http.Response{StatusCode: status})
		got := "<nil>"
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%d: got %s, want %s", status, got, want)
		}
	}
}
