package transport_test

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

func newClient(t *testing.T, options transport.Options) *http.Client {
	t.Helper()
	client, err := transport.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func TestAnswersAreReadUpTo1MiB(t *testing.T) {
	for size, want := range map[int]error{0: nil, transport.MaxAnswer - 1: nil, transport.MaxAnswer: nil, transport.MaxAnswer + 1: transport.ErrTooLarge, 3 * transport.MaxAnswer: transport.ErrTooLarge} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", size)) }))
		answer, err := newClient(t, transport.Options{}).Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if !errors.Is(err, want) || want == nil && (err != nil || len(body) != size) || len(body) > transport.MaxAnswer {
			t.Errorf("%d bytes: read %d, %v", size, len(body), err)
		}
		server.Close()
	}
}

func TestRedirectsStayOnTheirHost(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	var target string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/end":
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	client := newClient(t, transport.Options{})
	for _, status := range []string{elsewhere.URL, strings.Replace(server.URL, "http:", "https:", 1), "//evil.example/"} {
		target = status
		_, err := client.Post(server.URL, "text/plain", strings.NewReader("secret"))
		var redirect *transport.RedirectError
		if !errors.As(err, &redirect) || redirect.From != server.URL {
			t.Errorf("%s: %v", target, err)
		}
	}
	if reached {
		t.Error("the other host was called")
	}
	target = "/end"
	if answer, err := client.Post(server.URL, "text/plain", strings.NewReader("x")); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("a redirect on the same host: %v", err)
	}
	if _, err := client.Get(server.URL + "/loop"); err == nil || !strings.Contains(err.Error(), "more than 3 redirects") {
		t.Errorf("a loop: %v", err)
	}
}

func TestCABundle(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = nil
	defer server.Close()
	folder := t.TempDir()
	bundle := filepath.Join(folder, "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, transport.Options{CABundle: bundle}).Get(server.URL); err != nil {
		t.Errorf("with the bundle: %v", err)
	}
	_, err := newClient(t, transport.Options{}).Get(server.URL)
	if err == nil {
		t.Fatal("without the bundle it works too, so this test cannot fail")
	}
	if fault := new(retry.Fault); errors.As(transport.Fault(err), &fault) {
		t.Error("a certificate that is not trusted was taken for a fault that passes")
	}
	empty := filepath.Join(folder, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{filepath.Join(folder, "missing"): "AWS_CA_BUNDLE", empty: "holds no PEM certificate", os.DevNull: "is no regular file"} {
		if _, err := transport.New(transport.Options{CABundle: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TLS is of version 1.2 at least, whatever a server would like.
func TestOldTLSIsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	if _, err := newClient(t, transport.Options{}).Get(server.URL); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("got %v", err)
	}
}

func TestObserve(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	var seen []transport.Exchange
	client := newClient(t, transport.Options{Observe: func(e transport.Exchange) { seen = append(seen, e) }})
	for range 2 {
		answer, err := client.Get(strings.Replace(server.URL, "http://", "http://user:hunter2@", 1) + "/path?token=hunter2")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	server.Close()
	if _, err := client.Get(server.URL); err == nil {
		t.Fatal("a closed server answers")
	}
	if len(seen) != 3 || seen[0].URL != server.URL+"/path" || seen[0].StatusCode != http.StatusTeapot || !seen[0].NewConnection || seen[1].NewConnection || seen[2].Err == nil {
		t.Errorf("%+v", seen)
	}
}

func TestFault(t *testing.T) {
	passing := []error{io.ErrUnexpectedEOF, io.EOF, &net.OpError{Op: "dial", Err: errors.New("connection refused")}, &net.DNSError{IsTemporary: true}, &transport.ProxyError{StatusCode: 502}, errors.New("whatever")}
	lasting := []error{&transport.ProxyError{StatusCode: 403}, &transport.ProxyError{StatusCode: 407}, &transport.RedirectError{}, transport.ErrTooLarge, &net.DNSError{IsNotFound: true}, &tls.CertificateVerificationError{}, errors.New("net/http: invalid header field value"), errors.New("unsupported protocol scheme")}
	for _, err := range passing {
		if fault := new(retry.Fault); !errors.As(transport.Fault(err), &fault) || !errors.Is(transport.Fault(err), err) {
			t.Errorf("%v does not pass", err)
		}
	}
	for _, err := range lasting {
		if fault := new(retry.Fault); errors.As(transport.Fault(err), &fault) {
			t.Errorf("%v passes", err)
		}
	}
	if transport.Fault(nil) != nil {
		t.Error("no error became one")
	}
}

func TestRetryAfter(t *testing.T) {
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-1": 0, "soon": 0, "99999999999999999999": 0,
		date.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second, date.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		header := http.Header{"Retry-After": {value}, "Date": {date.Format(http.TimeFormat)}}
		if got := transport.RetryAfter(header); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestPassingStatus(t *testing.T) {
	for status, want := range map[int]bool{200: false, 301: false, 400: false, 401: false, 403: false, 404: false, 408: true, 429: true, 500: true, 502: true, 503: true, 504: true} {
		if transport.PassingStatus(status) != want {
			t.Errorf("%d: want %v", status, want)
		}
	}
}
