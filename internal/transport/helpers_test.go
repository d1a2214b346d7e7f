package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// server is a TLS server that counts connections and requests.
type server struct {
	*httptest.Server
	connections, requests atomic.Int64
	// handshakes receives a value after each TLS handshake.
	handshakes chan struct{}
}

func startServer(t *testing.T, handler http.HandlerFunc) *server {
	t.Helper()
	s := &server{handshakes: make(chan struct{}, 100)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if handler != nil {
			handler(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, VerifyConnection: func(tls.ConnectionState) error {
		s.handshakes <- struct{}{}
		return nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// bundle writes the server's certificate to a file.
func (s *server) bundle(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *server) mustHaveSeen(t *testing.T, connections, requests int64) {
	t.Helper()
	if got := [2]int64{s.connections.Load(), s.requests.Load()}; got != [2]int64{connections, requests} {
		t.Errorf("got %d connections and %d requests, want %d and %d", got[0], got[1], connections, requests)
	}
}

// variables returns a Getenv function for KEY=VALUE entries.
func variables(entries ...string) func(string) string {
	return func(key string) string {
		for _, entry := range entries {
			if value, ok := strings.CutPrefix(entry, key+"="); ok {
				return value
			}
		}
		return ""
	}
}

// newClient returns a client for KEY=VALUE entries.
func newClient(t *testing.T, environ ...string) *Client {
	t.Helper()
	client, err := New(variables(environ...), func(context.Context, string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// remoteTarget is a URL whose host is not this machine, so that the proxy variables apply to it. The certificates of httptest are
// valid for example.com.
const remoteTarget = "https://example.com"

// mustGet makes a request, which must succeed, and reads the whole response.
func mustGet(t *testing.T, client *Client, address string) {
	t.Helper()
	response, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// listen accepts connections and calls handle with each of them and its number, starting at 1.
func listen(t *testing.T, handle func(connection net.Conn, number int)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for number := 1; ; number++ {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = connection.Close() })
			go handle(connection, number)
		}
	}()
	return listener.Addr().String()
}

// connectProxy accepts a CONNECT request and relays to target.
func connectProxy(connection net.Conn, target string) {
	reader := bufio.NewReader(connection)
	if _, err := http.ReadRequest(reader); err != nil {
		return
	}
	_, _ = io.WriteString(connection, "HTTP/1.1 200 Connection established\r\n\r\n")
	relay(connection, target)
}

// socksProxy performs the server's side of a SOCKS 5 handshake (RFC 1928) and relays to target.
func socksProxy(connection net.Conn, target string) {
	buffer := make([]byte, 1024)
	if _, err := connection.Read(buffer); err != nil { // version and methods
		return
	}
	_, _ = connection.Write([]byte{5, 0})
	if _, err := connection.Read(buffer); err != nil { // the CONNECT command
		return
	}
	_, _ = connection.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
	relay(connection, target)
}

// relay copies in both directions until one side ends.
func relay(here net.Conn, target string) {
	defer func() { _ = here.Close() }()
	there, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(there, here)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
}

func unusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
