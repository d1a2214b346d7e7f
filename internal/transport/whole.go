package transport

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// whole gives net/http the bodies of requests in one piece. It then sends a request's head and body in one packet, where it
// would make two of them otherwise. And it does not read a body any more that AWS's SDK closes as soon as the answer begins,
// which it would take for a fault, and for a reason not to use the connection again.
type whole struct{ next http.RoundTripper }

func (w whole) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return w.next.RoundTrip(request)
	}
	body, err := io.ReadAll(request.Body)
	_ = request.Body.Close()
	if err != nil {
		return nil, err
	}
	request = request.WithContext(request.Context()) // a copy: a RoundTripper must not change what it is given
	request.Body = io.NopCloser(bytes.NewReader(body))
	return w.next.RoundTrip(request)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (w whole) CloseIdleConnections() { closeIdle(w.next) }

func (w whole) connect(ctx context.Context, address string) { connect(ctx, w.next, address) }
