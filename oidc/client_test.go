package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

const apiToken = "build-api-token-canary"

func now() time.Time { return time.Unix(1700000000, 0) }

// handlerTransport handles requests without a network, which time in a bubble would wait for. A handler that aborts breaks the
// connection.
type handlerTransport http.HandlerFunc

func (h handlerTransport) RoundTrip(r *http.Request) (response *http.Response, err error) {
	defer func() {
		if recover() == http.ErrAbortHandler { //nolint:errorlint // not wrapped
			err = io.EOF
		}
	}()
	recorder := httptest.NewRecorder()
	h(recorder, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// newClient returns a client of a token endpoint with the given handler.
func newClient(t testing.TB, handler http.HandlerFunc) oidc.Client {
	t.Helper()
	address, err := oidc.ParseBuildURL("http://127.0.0.1:1/build/1")
	if err != nil {
		t.Fatal(err)
	}
	return oidc.Client{
		HTTP: &http.Client{Transport: handlerTransport(handler)}, BuildURL: address, BuildAPIToken: secret.New(apiToken), Now: now,
	}
}

// fetch fetches a token in a bubble, where waiting takes no time, with up to three attempts.
func fetch(t *testing.T, client oidc.Client, audience string) (fetched idtoken.Token, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		client.Retry = retry.Policy{Notify: func(attempt int, _ error, _ time.Duration) {
			if attempt == 3 {
				cancel()
			}
		}}
		fetched, err = client.Token(ctx, audience)
	})
	return fetched, err
}

func respondWith(token string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil // so that the client uses its own clock
		_, _ = fmt.Fprintf(w, `{"id_token":%q,"token_type":"x","expires_in":600}`, token)
	}
}

func TestTokenRequest(t *testing.T) {
	valid := token(`{"aud":"sts.amazonaws.com","exp":1700000600}`)
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || r.URL.Path != "/build/1/id_token.json" || r.Header.Get("BUILD_API_TOKEN") != apiToken ||
			r.Header.Get("Content-Type") != "application/json" || string(body) != `{"aud":"sts.amazonaws.com"}` {
			t.Errorf("got %s %s %v %s", r.Method, r.URL, r.Header, body)
		}
		respondWith(valid)(w, r)
	})
	got, err := fetch(t, client, "sts.amazonaws.com")
	if err != nil || got.Text.Reveal() != valid {
		t.Errorf("got %v, %v", got, err)
	}
	if !got.Expires.Equal(now().Add(10 * time.Minute)) {
		t.Errorf("got the expiration %v", got.Expires)
	}
}

// A token with a sub of the caller's choice is requested once, even if the error is transient.
func TestTokenWithSubject(t *testing.T) {
	var bodies []string
	client := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bodies = append(bodies, string(body)); len(bodies) > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		respondWith(token(`{"aud":"a","sub":"any","exp":1700000600}`))(w, r)
	})
	got, err := client.TokenWithSubject(t.Context(), "a", "chosen")
	if err != nil || got.Claims["sub"].Value != "any" {
		t.Errorf("got sub %q, %v", got.Claims["sub"].Value, err)
	}
	if _, err := client.TokenWithSubject(t.Context(), "a", "chosen"); err == nil {
		t.Error("got no error for status 503")
	}
	if want := `{"aud":"a","sub":"chosen"}`; !slices.Equal(bodies, []string{want, want}) {
		t.Errorf("got the requests %v", bodies)
	}
}

// The token's expiration is relative to this machine's clock, even if it is wrong.
func TestExpiryWithAWrongClock(t *testing.T) {
	ahead := 2 * time.Hour
	client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", now().Add(ahead).UTC().Format(http.TimeFormat))
		_, _ = fmt.Fprintf(w, `{"id_token":%q}`, token(fmt.Sprintf(`{"aud":"a","exp":%d}`, now().Add(ahead+time.Minute).Unix())))
	})
	var skew time.Duration
	client.Skew = func(d time.Duration) { skew = d }
	got, err := fetch(t, client, "a")
	if err != nil || !got.Expires.Equal(now().Add(time.Minute)) || skew != ahead {
		t.Errorf("got expiration %v, skew %v, %v", got.Expires, skew, err)
	}
}

func TestClientErrors(t *testing.T) {
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	for name, row := range map[string]struct {
		response http.HandlerFunc
		want     string
	}{
		"error":                 {text(401, `{"error_msg":"no such token"}`), "the token endpoint returned 401 Unauthorized: no such token"},
		"error without reason":  {text(403, "<html>"), "the token endpoint returned 403 Forbidden"},
		"error with colors":     {text(400, `{"error_msg":"a\u001b[31mb\nc"}`), "400 Bad Request: ab c"},
		"not JSON":              {text(200, "<html>"), "(6 bytes) is not the expected JSON object"},
		"no token":              {text(200, `{"other":"x"}`), "the response has no id_token"},
		"token not a string":    {text(200, `{"id_token":{"a":"canary"}}`), "is not the expected JSON object"},
		"not a JWT":             {respondWith("canary"), "the id_token in the response must be a JSON Web Token: three parts"},
		"other audience":        {respondWith(token(`{"aud":"other"}`)), `must be for the audience "sts", got "other"`},
		"audience and another":  {respondWith(token(`{"aud":["sts","other"]}`)), `got ["sts","other"]`},
		"no audience":           {respondWith(token(`{}`)), "got none"},
		"audience with a space": {respondWith(token(`{"aud":" sts"}`)), `must be for the audience "sts", got " sts"`},
		"no exp":                {respondWith(token(`{"aud":"sts"}`)), "does not say when it expires"},
		"exp is a string":       {respondWith(token(`{"aud":"sts","exp":"4102444800"}`)), "does not say when it expires"},
		"exp before 1970":       {respondWith(token(`{"aud":"sts","exp":-1}`)), "does not say when it expires"},
		"expired":               {respondWith(token(`{"aud":"sts","exp":1700000000}`)), "expired at 2023-11-14T22:13:20Z; the time is 2023-11-14T22:13:20Z"},
		"500 for every attempt": {text(500, ""), "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, row.response)
			_, err := fetch(t, client, "sts")
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "fetch an identity token from http://127.0.0.1:") {
				t.Fatalf("got %v, want %q", err, row.want)
			}
			if strings.Contains(err.Error(), "canary") || len(err.Error()) > 600 {
				t.Errorf("the error is too long or quotes the response: %v", err)
			}
		})
	}
}

// An endpoint that repeats the API token as an audience can't bring it into the log.
func TestAPITokenAsAudienceIsRedacted(t *testing.T) {
	const apiToken = `&<>"\DEFGHIJKLMNOPQRSTUVWXYZ`
	for _, aud := range []any{apiToken, []string{apiToken}, []string{"x", apiToken}, map[string]string{"x": apiToken}} {
		payload, err := json.Marshal(map[string]any{"aud": aud})
		if err != nil {
			t.Fatal(err)
		}
		_, err = fetch(t, newClient(t, respondWith(token(string(payload)))), "sts")
		if err == nil || !strings.Contains(err.Error(), "must be for the audience") {
			t.Errorf("got %v", err)
			continue
		}
		var redactor secret.Redactor
		redactor.Add(secret.New(apiToken))
		if shown := redactor.Redact(err.Error()); strings.Contains(shown, "DEFGHIJK") || !strings.Contains(shown, secret.Redacted) {
			t.Errorf("got %s", shown)
		}
	}
}

// A token is used no matter what else the response has.
func TestMessageNextToAToken(t *testing.T) {
	for _, message := range []string{"false", "1e999", "{}", `"x"`} {
		client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"id_token":%q,"error_msg":%s}`, token(`{"aud":"sts","exp":4102444800}`), message)
		})
		if _, err := fetch(t, client, "sts"); err != nil {
			t.Errorf("%s: got %v", message, err)
		}
	}
}

func TestErrorKeepsItsStatus(t *testing.T) {
	client := newClient(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	_, err := fetch(t, client, "sts")
	var returned *oidc.StatusError
	if !errors.As(err, &returned) || returned.StatusCode != http.StatusNotFound {
		t.Errorf("got %v", err)
	}
}

// Any status from 200 to 299 is a success.
func TestSuccessfulStatus(t *testing.T) {
	body, err := json.Marshal(map[string]string{"id_token": token(`{"aud":"sts","exp":4102444800}`)})
	if err != nil {
		t.Fatal(err)
	}
	for status, succeeds := range map[int]bool{200: true, 299: true, 300: false} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = w.Write(body)
			})
			if _, err := fetch(t, client, "sts"); (err == nil) != succeeds {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzTokenResponse(f *testing.F) {
	valid, _ := json.Marshal(map[string]string{"id_token": token(`{"aud":"sts","exp":4102444800}`)})
	for _, seed := range [][]byte{nil, []byte("{}"), []byte(`{"id_token":null}`), []byte(`{"id_token":[]}`), []byte(`{"error_msg":7}`), valid} {
		f.Add(200, seed)
		f.Add(403, seed)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 100 || status > 999 {
			return // net/http does not let such a status through
		}
		client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write(body)
		})
		got, err := fetch(t, client, "sts")
		if err != nil && len(err.Error()) > 2500 {
			t.Errorf("got an error of %d bytes for a response of %d", len(err.Error()), len(body))
		}
		if aud := got.Claims["aud"]; err == nil && (aud.Value != "sts" || aud.IsAltered) {
			t.Errorf("got a token for %v", aud)
		}
	})
}
