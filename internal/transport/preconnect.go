package transport

import (
	"context"
	"net"
	"net/http"
	"net/url"
)

// Preconnect starts to open connections to the hosts of some URLs, through the proxy if there is one. Only handshakes
// are sent. A later request uses the connection, or waits until it is open. Errors are ignored, because that request
// opens a new connection and returns its own error. Call Preconnect once, before the first request.
//
// CloseIdleConnections closes the connections that were not used, including those that are still being opened.
func (c *Client) Preconnect(ctx context.Context, urls ...string) {
	started := map[string]bool{}
	for _, address := range urls {
		if u, err := url.Parse(address); err == nil && !started[origin(u)] {
			started[origin(u)] = true
			c.transport.preconnect(ctx, address)
		}
	}
}

// dialStarted is the key of a context's func() that is called when the dial starts.
type dialStarted struct{}

// preconnect starts a request and cancels it as soon as its dial starts. net/http continues such a dial and keeps the connection
// for the next request (see http.Transport.DialContext). It has no other way to open a connection without a request. The dial
// waits until the request has returned, so that the request is never sent.
func (rt *roundTripper) preconnect(ctx context.Context, address string) {
	returned := make(chan struct{})
	defer close(returned)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = context.WithValue(ctx, dialStarted{}, func() {
		cancel()
		<-returned
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return
	}
	_, _ = rt.Transport.RoundTrip(request) //nolint:bodyclose // the request is never sent, so there is no response
}

// dial opens a TCP connection. Neither it nor the following handshakes need a time limit, because [roundTripper.RoundTrip] ends them
// when the context of the waiting request is done.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if started, ok := ctx.Value(dialStarted{}).(func()); ok {
		started()
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}
