package retry

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// Servers that the client cannot talk to are not called again, and the error says what to do about them.
func TestServersWithoutTLS(t *testing.T) {
	for name, row := range map[string]struct {
		tls    *tls.Config
		advice string
	}{
		"old TLS": {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "must support TLS 1.2"},
		"no TLS":  {nil, "must support TLS 1.2"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = row.tls
			if row.tls != nil {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			client, err := transport.New(func(string) string { return "" }, func(context.Context, string) {})
			if err != nil {
				t.Fatal(err)
			}
			defer client.CloseIdleConnections()
			response, err := client.Get("https://" + server.Listener.Addr().String())
			if err == nil {
				_ = response.Body.Close()
			}
			err = transport.Failed(err)
			if most, _ := attempts(err); most != permanent || !strings.Contains(strings.Join(explain.Of(err).Do, " "), row.advice) {
				t.Errorf("got %d attempts, %v; advice %q", most, err, explain.Of(err).Do)
			}
		})
	}
}
