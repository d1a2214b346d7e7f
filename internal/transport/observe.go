package transport

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"time"
)

// observed tells of every request that passes.
type observed struct {
	next    http.RoundTripper
	observe func(Exchange)
}

func (o observed) RoundTrip(request *http.Request) (*http.Response, error) {
	bare := *request.URL
	bare.User, bare.RawQuery, bare.Fragment = nil, "", ""
	exchange := Exchange{Method: request.Method, URL: bare.String()}
	ctx := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { exchange.NewConnection = !info.Reused },
	})
	started := time.Now()
	response, err := o.next.RoundTrip(request.WithContext(ctx))
	exchange.Took, exchange.Err = time.Since(started), err
	if err == nil {
		exchange.StatusCode = response.StatusCode
	}
	o.observe(exchange)
	return response, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (o observed) CloseIdleConnections() { closeIdle(o.next) }

func (o observed) connect(ctx context.Context, address string) { connect(ctx, o.next, address) }
