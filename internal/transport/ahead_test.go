package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// countingServer is a TLS server that counts.
type countingServer struct {
	*httptest.Server
	connections, requests atomic.Int64
	// shaken gets a word for every handshake that is done, but for the client's last message.
	shaken chan struct{}
	// closed gets a word for every connection that ends.
	closed chan struct{}
}

func startServer(t *testing.T, handler http.HandlerFunc) *countingServer {
	t.Helper()
	s := &countingServer{shaken: make(chan struct{}, 100), closed: make(chan struct{}, 100)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if handler != nil {
			handler(w, r)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.connections.Add(1)
		case http.StateClosed:
			s.closed <- struct{}{}
		}
	}
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS13, VerifyConnection: func(tls.ConnectionState) error {
		s.shaken <- struct{}{}
		return nil
	}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// newAheadClient makes a client that trusts the server and goes through the proxy; nil: through none.
func newAheadClient(t *testing.T, certificate *x509.Certificate, proxy *url.URL) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if certificate != nil {
		roots.AddCert(certificate)
	}
	client := &http.Client{Transport: observed{observe: func(Exchange) {}, next: guarded{next: whole{next: newAhead(&http.Transport{
		Proxy:                  http.ProxyURL(proxy),
		OnProxyConnectResponse: refusedByProxy,
		DialContext:            dial(&net.Dialer{}),
		TLSClientConfig:        &tls.Config{RootCAs: roots},
	})}}}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func get(t *testing.T, client *http.Client, address string) {
	t.Helper()
	answer, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
}

func TestRequestsUseTheConnectionOpenedAhead(t *testing.T) {
	for name, wait := range map[string]bool{"it is open already": true, "it is not open yet": false} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, nil)
			client := newAheadClient(t, server.Certificate(), nil)
			Connect(t.Context(), client, server.URL)
			if wait {
				<-server.shaken
			}
			get(t, client, server.URL+"/path")
			get(t, client, server.URL)
			if server.connections.Load() != 1 || server.requests.Load() != 2 {
				t.Errorf("%d connections, %d requests", server.connections.Load(), server.requests.Load())
			}
		})
	}
}

// Until there is a request the server gets nothing but the handshake; and a connection that nobody used is closed.
func TestNothingIsSentAheadAndWhatIsNotUsedIsClosed(t *testing.T) {
	certificate := startServer(t, nil)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", certificate.TLS)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	type reading struct {
		n   int
		err error
	}
	read := make(chan reading, 1)
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = connection.Close() }()
		n, err := connection.Read(make([]byte, 1))
		read <- reading{n, err}
	}()
	client := newAheadClient(t, certificate.Certificate(), nil)
	Connect(t.Context(), client, "https://"+listener.Addr().String())
	<-certificate.shaken
	client.CloseIdleConnections()
	if got := <-read; got.n != 0 || got.err == nil {
		t.Errorf("the server read %d bytes, %v", got.n, got.err)
	}
}

// What is still being opened when the client is closed is given up.
func TestCloseEndsWhatIsStillBeingOpened(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	client := newAheadClient(t, nil, nil)
	Connect(t.Context(), client, "https://"+listener.Addr().String())
	connection, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	client.CloseIdleConnections()
	if _, err := io.Copy(io.Discard, connection); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

// A connection that could not be opened ahead is opened by the request, which reports its own error.
func TestRequestsFindOutByThemselves(t *testing.T) {
	server := startServer(t, nil)
	breaking, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = breaking.Close() }()
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		for first := true; ; first = false {
			here, err := breaking.Accept()
			if err != nil {
				return
			}
			if first {
				_ = here.Close()
				broken <- struct{}{}
				continue
			}
			go pipe(here, server.Listener.Addr().String())
		}
	}()
	client := newAheadClient(t, server.Certificate(), nil)
	address := "https://" + breaking.Addr().String()
	Connect(t.Context(), client, address)
	<-broken
	get(t, client, address)
	if server.requests.Load() != 1 {
		t.Errorf("%d requests", server.requests.Load())
	}

	refusing := "https://" + unusedAddress(t)
	for _, ahead := range []bool{true, false} {
		client := newAheadClient(t, server.Certificate(), nil)
		if ahead {
			Connect(t.Context(), client, refusing)
		}
		if _, err := client.Get(refusing); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("ahead %v: %v", ahead, err)
		}
	}
	untrusting := newAheadClient(t, nil, nil)
	Connect(t.Context(), untrusting, server.URL)
	if _, err := untrusting.Get(server.URL); !errors.As(err, new(*tls.CertificateVerificationError)) {
		t.Errorf("a certificate that is not trusted: %v", err)
	}
}

// Behind a proxy it is the tunnel that is opened ahead. A proxy's refusal is reported by the request.
func TestTunnelsAreOpenedAhead(t *testing.T) {
	server := startServer(t, nil)
	var tunnels atomic.Int64 // or requests
	var closed atomic.Bool
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tunnels.Add(1)
		if closed.Load() || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
		pipe(here, r.Host)
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := newAheadClient(t, server.Certificate(), address)
	Connect(t.Context(), client, server.URL)
	<-server.shaken // before there is a request
	get(t, client, server.URL)
	if tunnels.Load() != 1 || server.connections.Load() != 1 || server.requests.Load() != 1 {
		t.Errorf("%d tunnels, %d connections, %d requests", tunnels.Load(), server.connections.Load(), server.requests.Load())
	}

	closed.Store(true)
	client = newAheadClient(t, server.Certificate(), address)
	Connect(t.Context(), client, server.URL)
	var refusal *ProxyError
	if _, err := client.Get(server.URL); !errors.As(err, &refusal) || refusal.StatusCode != http.StatusForbidden {
		t.Errorf("got %v", err)
	}

	// Without TLS, one connection to the proxy is there for all hosts, and what it would get is requests.
	client = newAheadClient(t, nil, address)
	get(t, client, "http://one.example/")
	before := tunnels.Load()
	Connect(t.Context(), client, "http://another.example/")
	if tunnels.Load() != before {
		t.Error("the proxy got a request that nobody made")
	}
}

// Requests to one host that are made at once do not wait for each other.
func TestRequestsAtOnce(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	server := startServer(t, func(http.ResponseWriter, *http.Request) {
		both.Done()
		both.Wait()
	})
	client := newAheadClient(t, server.Certificate(), nil)
	Connect(t.Context(), client, server.URL)
	var done sync.WaitGroup
	for range 2 {
		done.Add(1)
		go func() {
			defer done.Done()
			get(t, client, server.URL)
		}()
	}
	done.Wait()
	if server.connections.Load() != 2 {
		t.Errorf("%d connections", server.connections.Load())
	}
}

// Hosts that there is a connection to get neither a second one nor a request; nor does anything happen when it is too late.
func TestConnectDoesNothingWhereItIsOfNoUse(t *testing.T) {
	server := startServer(t, nil)
	client := newAheadClient(t, server.Certificate(), nil)
	get(t, client, server.URL)
	Connect(t.Context(), client, server.URL, server.URL+"/other", "https://%", "ftp://host")
	Connect(t.Context(), &http.Client{Transport: http.DefaultTransport}, server.URL)
	get(t, client, server.URL)
	if server.connections.Load() != 1 || server.requests.Load() != 2 {
		t.Errorf("%d connections, %d requests", server.connections.Load(), server.requests.Load())
	}

	ended, end := context.WithCancel(t.Context())
	end()
	client = newAheadClient(t, server.Certificate(), nil)
	Connect(ended, client, server.URL)
	get(t, client, server.URL)
	if server.connections.Load() != 2 || server.requests.Load() != 3 {
		t.Errorf("too late: %d connections, %d requests", server.connections.Load(), server.requests.Load())
	}
}

func TestHostHasItsPort(t *testing.T) {
	for address, want := range map[string]string{"https://a": "https://a:443", "https://a:443/x": "https://a:443", "http://a": "http://a:80", "https://[::1]:8": "https://[::1]:8"} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := host(u); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// pipe passes on what comes and goes between a connection and an address, until one of them ends.
func pipe(here net.Conn, address string) {
	defer func() { _ = here.Close() }()
	there, err := net.Dial("tcp", address)
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
