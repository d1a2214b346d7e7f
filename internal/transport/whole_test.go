package transport

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

// closing is a body that ends like one of AWS's SDK: closed once the answer has begun, and then not quite at its end.
type closing struct {
	*bytes.Reader
	answered chan struct{}
}

func (c closing) WriteTo(w io.Writer) (int64, error) {
	if c.Len() > 0 {
		return c.Reader.WriteTo(w)
	}
	<-c.answered
	return 0, io.EOF
}

func TestBodiesThatAreClosedEarlyDoNotCostTheConnection(t *testing.T) {
	server := startServer(t, func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); string(body) != "question" {
			t.Errorf("the server got %q, %v", body, err)
		}
	})
	client := newAheadClient(t, server.Certificate(), nil)
	for range 2 {
		body := closing{bytes.NewReader([]byte("question")), make(chan struct{})}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = int64(body.Len())
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		close(body.answered)
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	if server.connections.Load() != 1 {
		t.Errorf("%d connections", server.connections.Load())
	}
}
