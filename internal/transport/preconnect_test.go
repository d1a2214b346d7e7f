package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"syscall"
	"testing"
	"time"
)

func TestRequestUsesThePreconnectedConnection(t *testing.T) {
	for name, wait := range map[string]bool{"already open": true, "still being opened": false} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, nil)
			client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
			client.Preconnect(t.Context(), server.URL, server.URL+"/other")
			if wait {
				<-server.handshakes
			}
			mustGet(t, client, server.URL+"/path")
			mustGet(t, client, server.URL)
			server.mustHaveSeen(t, 1, 2)
		})
	}
}

func TestPreconnectSendsNothingAndCloseEndsIt(t *testing.T) {
	type reading struct {
		n   int
		err error
	}
	t.Run("open", func(t *testing.T) {
		server := startServer(t, nil)
		read := make(chan reading, 1)
		address := listen(t, func(connection net.Conn, _ int) {
			n, err := tls.Server(connection, server.TLS).Read(make([]byte, 1))
			read <- reading{n, err}
		})
		client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
		client.Preconnect(t.Context(), "https://"+address)
		<-server.handshakes
		client.CloseIdleConnections()
		if got := <-read; got.n != 0 || got.err == nil {
			t.Errorf("the server got %d bytes, error %v", got.n, got.err)
		}
	})
	t.Run("still being opened", func(t *testing.T) {
		accepted, ended := make(chan struct{}), make(chan error, 1)
		address := listen(t, func(connection net.Conn, _ int) {
			close(accepted)
			_, err := io.Copy(io.Discard, connection)
			ended <- err
		})
		client := newClient(t)
		client.Preconnect(t.Context(), "https://"+address)
		<-accepted
		client.CloseIdleConnections()
		if err := <-ended; err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
}

// If the connection could not be opened in advance, the request opens one and reports its own error.
func TestPreconnectThatFails(t *testing.T) {
	server := startServer(t, nil)
	t.Run("for a moment", func(t *testing.T) {
		broken := make(chan struct{})
		address := "https://" + listen(t, func(connection net.Conn, number int) {
			if number == 1 {
				_ = connection.Close()
				close(broken)
				return
			}
			relay(connection, server.Listener.Addr().String())
		})
		client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
		client.Preconnect(t.Context(), address)
		<-broken
		mustGet(t, client, address)
	})
	t.Run("connection refused", func(t *testing.T) {
		client, address := newClient(t), "https://"+unusedAddress(t)
		client.Preconnect(t.Context(), address)
		if _, err := client.Get(address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("untrusted certificate", func(t *testing.T) {
		client := newClient(t)
		client.Preconnect(t.Context(), server.URL)
		if _, err := client.Get(server.URL); !errors.As(err, new(*tls.CertificateVerificationError)) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("tunnel rejected", func(t *testing.T) {
		address := listen(t, func(connection net.Conn, _ int) {
			_, _ = http.ReadRequest(bufio.NewReader(connection))
			_, _ = io.WriteString(connection, "HTTP/1.1 403 Forbidden\r\n\r\n")
		})
		client := newClient(t, "HTTPS_PROXY="+address)
		client.Preconnect(t.Context(), remoteTarget)
		var rejected *ProxyError
		if _, err := client.Get(remoteTarget); !errors.As(err, &rejected) || *rejected != (ProxyError{address, "example.com:443", 403}) {
			t.Errorf("got %v", err)
		}
	})
}

func TestPreconnectWithoutEffect(t *testing.T) {
	t.Run("URL is invalid", func(t *testing.T) {
		server := startServer(t, nil)
		client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
		client.Preconnect(t.Context(), "https://%", "ftp://host")
		mustGet(t, client, server.URL)
		server.mustHaveSeen(t, 1, 1)
	})
	t.Run("context is done", func(t *testing.T) {
		server := startServer(t, nil)
		client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		client.Preconnect(canceled, server.URL)
		mustGet(t, client, server.URL)
		server.mustHaveSeen(t, 1, 1)
	})
}

func TestRequestsToOneHostShareAConnection(t *testing.T) {
	server := startServer(t, nil)
	client := newClient(t, "AWS_CA_BUNDLE="+server.bundle(t))
	done := make(chan error)
	for range 5 {
		go func() {
			response, err := client.Get(server.URL)
			if err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			done <- err
		}()
	}
	for range 5 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	server.mustHaveSeen(t, 1, 5)
}

// A handshake that is never completed does not block later requests to the host.
func TestStuckHandshakeDoesNotBlockTheHost(t *testing.T) {
	server := startServer(t, nil)
	target := server.Listener.Addr().String()
	for name, row := range map[string]struct {
		proxy  string
		tunnel func(net.Conn, string)
	}{
		"CONNECT": {"http://", connectProxy},
		"SOCKS":   {"socks5://", socksProxy},
		"TLS":     {"", relay},
	} {
		// start returns a client, the URL to call, and a channel that receives a value for each accepted connection.
		start := func(t *testing.T) (*Client, string, chan int) {
			accepted := make(chan int, 10)
			address := listen(t, func(connection net.Conn, number int) {
				accepted <- number
				if number == 1 {
					return // without a response
				}
				row.tunnel(connection, target)
			})
			if row.proxy == "" {
				return newClient(t, "AWS_CA_BUNDLE="+server.bundle(t)), "https://" + address, accepted
			}
			return newClient(t, "AWS_CA_BUNDLE="+server.bundle(t), "HTTPS_PROXY="+row.proxy+address), remoteTarget, accepted
		}
		// Without the fix, the second request would hang.
		t.Run(name+" of the attempt before", func(t *testing.T) {
			client, address, accepted := start(t)
			ctx, cancel := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				<-accepted
				cancel()
			}()
			if _, err := client.Do(request); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			getWithin10s(t, client, address)
		})
		t.Run(name+" of Preconnect", func(t *testing.T) {
			client, address, accepted := start(t)
			client.Preconnect(t.Context(), address)
			<-accepted
			ctx, cancel := context.WithCancel(t.Context())
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { cancel() }})
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Do(request); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			getWithin10s(t, client, address)
		})
	}
}

// getWithin10s fails the test instead of waiting for net/http's own limits, which are longer.
func getWithin10s(t *testing.T, client *Client, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}
