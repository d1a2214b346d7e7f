package oidc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

// hangUp closes the connection without a response.
func hangUp(_ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// Transient errors are retried; permanent ones fail immediately.
func TestTransientErrorsAreRetried(t *testing.T) {
	for name, row := range map[string]struct {
		first http.HandlerFunc
		calls int
	}{
		"connection closed": {hangUp, 2}, "429": {status(429), 2}, "408": {status(408), 2}, "500": {status(500), 2}, "503": {status(503), 2},
		"a page with 200": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, 2},
		"empty response":  {status(204), 2},
		"not a JWT":       {respondWith("a.b"), 2},
		"400":             {status(400), 1}, "401": {status(401), 1}, "403": {status(403), 1}, "404": {status(404), 1},
		"another audience": {respondWith(token(`{"aud":"other"}`)), 1}, "expired": {respondWith(token(`{"aud":"sts","exp":1}`)), 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				if calls++; calls == 1 {
					row.first(w, r)
					return
				}
				respondWith(token(`{"aud":"sts","exp":4102444800}`))(w, r)
			})
			_, err := fetch(t, client, "sts")
			if calls != row.calls || (err == nil) != (row.calls == 2) {
				t.Errorf("got %d calls, %v; want %d", calls, err, row.calls)
			}
		})
	}
}

func TestRetryAfterIsHonored(t *testing.T) {
	calls := 0
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		respondWith(token(`{"aud":"sts","exp":4102444800}`))(w, r)
	})
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		if _, err := client.Token(t.Context(), "sts"); err != nil || time.Since(started) < 7*time.Second {
			t.Errorf("got a response after %v, %v", time.Since(started), err)
		}
	})
}

// net/http would also send the header with the API token to another host.
func TestAPITokenIsNotRedirected(t *testing.T) {
	var reached []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		reached = append(reached, r.Header.Get("BUILD_API_TOKEN"))
	}))
	t.Cleanup(elsewhere.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/?secret-query", code))
		t.Cleanup(server.Close)
		address, err := oidc.ParseBuildURL(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		guarded, err := transport.New(func(string) string { return "" }, func(context.Context, string) {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(guarded.CloseIdleConnections)
		client := oidc.Client{HTTP: guarded.Client, BuildURL: address, BuildAPIToken: secret.New(apiToken), Now: now}
		_, err = client.Token(t.Context(), "sts")
		var redirect transport.RedirectError
		if !errors.As(err, &redirect) || !strings.HasPrefix(redirect.Error(), server.URL+" redirects to "+elsewhere.URL+", ") {
			t.Errorf("%d: got %v", code, err)
		}
		if err != nil && (strings.Contains(err.Error(), apiToken) || strings.Contains(err.Error(), "secret-query")) {
			t.Errorf("%d: the error contains a secret: %v", code, err)
		}
	}
	if len(reached) != 0 {
		t.Errorf("the other host got %q", reached)
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	client := newClient(t, func(_ http.ResponseWriter, r *http.Request) {
		calls++
		cancel()
		<-r.Context().Done()
	})
	if _, err := client.Token(ctx, "sts"); !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("got %d calls, %v", calls, err)
	}
}

// Skew is optional, and an invalid Date is ignored.
func TestServerWithoutADate(t *testing.T) {
	client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "not a date")
		_, _ = io.WriteString(w, `{"id_token":"`+token(`{"aud":"sts","exp":1700000001}`)+`"}`)
	})
	if got, err := fetch(t, client, "sts"); err != nil || !got.Expires.Equal(now().Add(time.Second)) {
		t.Errorf("got %v, %v", got, err)
	}
}
