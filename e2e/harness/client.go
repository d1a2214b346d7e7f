package harness

import (
	"bytes"
	"io"
	"net/http"
)

// HTTPClient returns a client for the AWS SDK, which closes a request's body before net/http has read its end. net/http can then close
// the connection before it has read all of a response that is larger than its buffer.
func HTTPClient() *http.Client { return &http.Client{Transport: bufferBodies{}} }

type bufferBodies struct{}

func (bufferBodies) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Body != nil {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		_ = request.Body.Close()
		request = request.Clone(request.Context())
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	return http.DefaultTransport.RoundTrip(request)
}
