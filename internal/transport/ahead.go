package transport

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// Connect begins to open connections of the client to the hosts of some URLs, through the proxy where there is one, and
// returns once that has begun. A request that comes later uses the connection, or waits for it if it is not open yet.
// Nothing but handshakes is sent. If a connection cannot be opened, nobody is told: the request that needs it tries by itself
// and finds out. For hosts that the client has had to do with before, nothing is done.
//
// CloseIdleConnections of the client closes what was opened and not used, and ends what is still being opened.
func Connect(ctx context.Context, client *http.Client, addresses ...string) {
	for _, address := range addresses {
		connect(ctx, client.Transport, address)
	}
}

// connector is a client's transport that opens connections ahead, or hands that on to the one below it.
type connector interface {
	connect(ctx context.Context, address string)
}

func connect(ctx context.Context, transport http.RoundTripper, address string) {
	if c, ok := transport.(connector); ok {
		c.connect(ctx, address)
	}
}

// ahead is a transport that can open a connection before there is a request for it.
type ahead struct {
	// single has at most one connection to a host. That makes a request which comes while the connection is being opened wait
	// for it, where net/http would open another.
	single *http.Transport
	// further carries the requests that come while single carries one to the same host: they need connections of their own.
	further *http.Transport

	mu sync.Mutex
	// busy tells, of every host that was connected to, whether single is carrying a request to it.
	busy map[string]bool
}

// dialing is the key of what a connection that is opened ahead does before its dial, a func().
type dialing struct{}

// newAhead makes the two transports of one; its DialContext must be dial's.
func newAhead(transport *http.Transport) *ahead {
	a := &ahead{single: transport, further: transport.Clone(), busy: map[string]bool{}}
	a.single.MaxConnsPerHost = 1
	return a
}

// dial is the DialContext of a transport that opens connections ahead.
func dial(dialer *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if before, ok := ctx.Value(dialing{}).(func()); ok {
			before()
		}
		return dialer.DialContext(ctx, network, address)
	}
}

// connect begins a request and breaks it off when its dial starts. net/http goes on with a dial whose request is gone, and
// keeps the connection for the next one (see http.Transport.DialContext); it has no other way to a connection without a
// request. The dial waits until the request has left, so that the request can never be sent.
func (a *ahead) connect(ctx context.Context, address string) {
	left := make(chan struct{})
	defer close(left)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = context.WithValue(ctx, dialing{}, func() {
		cancel()
		<-left
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil || a.shared(request) || !a.first(request.URL) {
		return
	}
	response, err := a.single.RoundTrip(request)
	if err == nil { // not to be reached
		_ = response.Body.Close()
	}
}

// shared tells whether the request's connection is one to a proxy, which is there for all hosts that are called in the
// clear: it may be open already, and the request would go out on it.
func (a *ahead) shared(request *http.Request) bool {
	proxy, err := a.single.Proxy(request)
	return err != nil || (proxy != nil && request.URL.Scheme == "http")
}

// RoundTrip sends a request on the one connection to its host, or, while that is busy, on another.
func (a *ahead) RoundTrip(request *http.Request) (*http.Response, error) {
	if !a.take(request.URL) {
		return a.further.RoundTrip(request)
	}
	defer a.release(request.URL)
	return a.single.RoundTrip(request)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (a *ahead) CloseIdleConnections() {
	a.single.CloseIdleConnections()
	a.further.CloseIdleConnections()
}

// first tells whether a host was not known yet; from then on it is.
func (a *ahead) first(u *url.URL) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, known := a.busy[host(u)]
	if !known {
		a.busy[host(u)] = false
	}
	return !known
}

func (a *ahead) take(u *url.URL) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[host(u)] {
		return false
	}
	a.busy[host(u)] = true
	return true
}

func (a *ahead) release(u *url.URL) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy[host(u)] = false
}

// host is the host of a URL with its port, as net/http keeps connections by it.
func host(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), port)
}
