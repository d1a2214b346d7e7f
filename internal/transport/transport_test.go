package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

func TestResponsesAreReadUpTo1MiB(t *testing.T) {
	for size, want := range map[int]error{0: nil, MaxResponse - 1: nil, MaxResponse: nil, MaxResponse + 1: ErrTooLarge, 3 * MaxResponse: ErrTooLarge} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, strings.Repeat("x", size))
			}))
			defer server.Close()
			response, err := newClient(t).Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			if !errors.Is(err, want) || len(body) != min(size, MaxResponse) {
				t.Errorf("got %d bytes, error %v", len(body), err)
			}
		})
	}
}

// A response with status 101, or any other final 1xx, is an error.
func TestSwitchingProtocolsIsAnError(t *testing.T) {
	for name, head := range map[string]string{
		"with Upgrade":    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"without Upgrade": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"with a length":   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, func(connection net.Conn, number int) {
				_, _ = http.ReadRequest(bufio.NewReader(connection))
				if number == 1 {
					_, _ = io.WriteString(connection, head)
					return
				}
				_, _ = io.WriteString(connection, "HTTP/1.1 204 No Content\r\n\r\n")
			})
			client := newClient(t)
			response, err := client.Post("http://"+address, "text/plain", strings.NewReader("x"))
			if err == nil {
				_ = response.Body.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "unexpected response 101 Switching Protocols") {
				t.Errorf("got %v", err)
			}
			// The connection is not reused.
			mustGet(t, client, "http://"+address)
		})
	}
	t.Run("informational responses are skipped", func(t *testing.T) {
		address := listen(t, func(connection net.Conn, _ int) {
			_, _ = http.ReadRequest(bufio.NewReader(connection))
			_, _ = io.WriteString(connection, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
		})
		mustGet(t, newClient(t), "http://"+address)
	})
}

func TestRedirectsToOtherOriginsAreErrors(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, target := range map[string]string{
			"host": "http://evil.example/", "host without a scheme": "//evil.example/", "port": elsewhere.URL, "scheme": "https://127.0.0.1",
		} {
			// The AWS SDK's bodies cannot be sent twice, so net/http does not follow the redirect and does not call CheckRedirect.
			for _, repeatable := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d to another %s, repeatable body: %v", status, name, repeatable), func(t *testing.T) {
					server := httptest.NewServer(http.RedirectHandler(target, status))
					defer server.Close()
					request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("secret"))
					if err != nil {
						t.Fatal(err)
					}
					request.Header.Set("BUILD_API_TOKEN", "secret")
					if !repeatable {
						request.GetBody = nil
					}
					response, err := newClient(t).Do(request)
					if err == nil {
						_ = response.Body.Close()
					}
					var redirect RedirectError
					if !errors.As(err, &redirect) || !strings.HasPrefix(redirect.Error(), server.URL+" redirects to ") {
						t.Errorf("got %v", err)
					}
				})
			}
		}
	}
	if reached {
		t.Error("the other host was called")
	}
}

func TestRedirectsOnTheSameOriginAreFollowed(t *testing.T) {
	for _, status := range []int{307, 308} {
		for redirects, want := range map[int]bool{1: true, 3: true, 4: false} {
			t.Run(fmt.Sprintf("%d redirects with %d", redirects, status), func(t *testing.T) {
				bodies := 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if body, _ := io.ReadAll(r.Body); string(body) == "token" && r.Header.Get("BUILD_API_TOKEN") == "secret" {
						bodies++
					}
					if bodies <= redirects {
						http.Redirect(w, r, "http://"+r.Host+"/next", status)
					}
				}))
				defer server.Close()
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("token"))
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("BUILD_API_TOKEN", "secret")
				response, err := newClient(t).Do(request)
				if err == nil {
					_ = response.Body.Close()
				}
				var redirect RedirectError
				switch {
				case want && (err != nil || response.StatusCode != http.StatusOK || bodies != redirects+1):
					t.Errorf("got %d requests, error %v", bodies, err)
				case !want && (!errors.As(err, &redirect) || redirect.Error() != server.URL+" redirected the request more than 3 times" || bodies != 4):
					t.Errorf("got %d requests, error %v", bodies, err)
				}
			})
		}
	}
}

func TestCheckResponse(t *testing.T) {
	notFollowed := func(from, to string) error {
		return RedirectError(from + " redirects to " + to + ", and the redirect was not followed")
	}
	for name, row := range map[string]struct {
		from, location string
		status         int
		want           error
	}{
		"default port left out": {"https://a.example:443/x", "https://A.example/y", 307, nil},
		"default port of http":  {"http://127.0.0.1/x", "http://127.0.0.1:80/y", 307, nil},
		"other scheme's port":   {"https://a.example", "https://a.example:80", 307, notFollowed("https://a.example", "https://a.example:80")},
		"IPv6":                  {"https://[::1]:8/x", "https://[::1]/y", 307, notFollowed("https://[::1]:8", "https://[::1]")},
		"user name":             {"https://a.example/x", "https://b.example@a.example/y", 307, nil},
		"lowest status":         {"https://a.example", "https://b.example", 300, notFollowed("https://a.example", "https://b.example")},
		"highest status":        {"https://a.example", "https://b.example", 399, notFollowed("https://a.example", "https://b.example")},
		"status below":          {"https://a.example", "https://b.example", 299, nil},
		"status above":          {"https://a.example", "https://b.example", 400, nil},
		"no Location":           {"https://a.example", "", 304, nil},
		"invalid Location":      {"https://a.example", "https://%", 302, nil},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodGet, row.from, nil)
			header := http.Header{}
			if row.location != "" {
				header.Set("Location", row.location)
			}
			err := checkResponse(&http.Response{StatusCode: row.status, Request: request, Header: header})
			if fmt.Sprint(err) != fmt.Sprint(row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

// The bundle adds to the system's authorities.
func TestCABundleAddsToTheSystem(t *testing.T) {
	bundle := startServer(t, nil).bundle(t)
	pem, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	want, err := x509.SystemCertPool()
	if err != nil {
		t.Skip(err)
	}
	want.AppendCertsFromPEM(pem)
	if got, err := rootCAs(bundle); err != nil || !got.Equal(want) {
		t.Errorf("got other authorities, %v", err)
	}
}

func TestCABundle(t *testing.T) {
	server := startServer(t, nil)
	t.Run("valid", func(t *testing.T) {
		mustGet(t, newClient(t, "AWS_CA_BUNDLE="+server.bundle(t)), server.URL)
	})
	t.Run("none", func(t *testing.T) {
		if _, err := newClient(t).Get(server.URL); !errors.As(err, new(*tls.CertificateVerificationError)) {
			t.Errorf("got %v", err)
		}
	})
	folder := t.TempDir()
	empty := filepath.Join(folder, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(folder, "missing"): "read the file that AWS_CA_BUNDLE is set to: open ",
		empty:                            "AWS_CA_BUNDLE is set to " + empty + ", which contains no PEM certificate",
		os.DevNull:                       "AWS_CA_BUNDLE is set to /dev/null, which is not a regular file",
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := New(variables("AWS_CA_BUNDLE="+path), nil)
			if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(adviceOf(err), "path of a PEM file") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The minimum TLS version is 1.2.
func TestOldTLSIsAnError(t *testing.T) {
	server := startServer(t, nil)
	old := httptest.NewUnstartedServer(server.Config.Handler)
	old.Config.ErrorLog = server.Config.ErrorLog
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
	if _, err := client.Get(old.URL); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("got %v", err)
	}
}

// The log has a line for each request, without anything that may be secret.
func TestDebugLines(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	var lines []string
	client, err := New(variables(), func(_ context.Context, line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		mustGet(t, client, strings.Replace(server.URL, "http://", "http://user:hunter2@", 1)+"/path?token=hunter2#hunter2")
	}
	server.Close()
	if _, err := client.Get(server.URL); err == nil {
		t.Fatal("got a response from a closed server")
	}
	got := regexp.MustCompile(`\(\d+ ms`).ReplaceAllString(strings.Join(lines, "\n"), "(TIME")
	line := "GET " + server.URL + "/path: 418 (TIME, "
	want := regexp.MustCompile("^" + regexp.QuoteMeta(line+"new connection)\n"+line+"open connection)\nGET "+server.URL+": ") +
		`.*connection refused \(TIME, open connection\)$`)
	if !want.MatchString(got) {
		t.Errorf("got %s", got)
	}
}

// sdkBody behaves like a body of the AWS SDK, which is closed when the response begins and then returns an error other than EOF.
type sdkBody struct {
	*bytes.Reader
	responded chan struct{}
}

func (b sdkBody) WriteTo(w io.Writer) (int64, error) {
	if b.Len() > 0 {
		return b.Reader.WriteTo(w)
	}
	<-b.responded
	return 0, io.EOF
}

func TestEarlyClosedBodyKeepsTheConnection(t *testing.T) {
	server := startServer(t, func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); string(body) != "question" {
			t.Errorf("the server got %q, error %v", body, err)
		}
	})
	client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
	for range 2 {
		body := sdkBody{bytes.NewReader([]byte("question")), make(chan struct{})}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = int64(body.Len())
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		close(body.responded)
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	server.mustHaveSeen(t, 1, 2)
}

type failingBody struct{ closed bool }

func (*failingBody) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func (b *failingBody) Close() error { b.closed = true; return nil }

func TestBodyThatCannotBeRead(t *testing.T) {
	server := startServer(t, nil)
	body := &failingBody{}
	client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
	if _, err := client.Post(server.URL, "text/plain", body); !errors.Is(err, io.ErrClosedPipe) || !body.closed {
		t.Errorf("got closed %v, error %v", body.closed, err)
	}
	server.mustHaveSeen(t, 0, 0)
}

func adviceOf(err error) string {
	return strings.Join(explain.Of(err).Do, " ")
}
