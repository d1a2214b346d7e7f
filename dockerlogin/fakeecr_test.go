package dockerlogin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func region(t testing.TB, code string) awsid.Region {
	t.Helper()
	parsed, err := awsid.ParseRegion(code)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func registries(t *testing.T, items ...string) []Registry {
	t.Helper()
	var parsed []Registry
	for _, item := range items {
		registry, err := ParseRegistry(item, region(t, "eu-west-1"))
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, registry)
	}
	return parsed
}

// fakeECR handles calls depending on the REGION/SERVICE in their signature, and records them.
type fakeECR struct {
	mu       sync.Mutex
	calls    []string
	handlers map[string]http.HandlerFunc
}

// RoundTrip responds without a network, which time in a bubble would wait for.
func (f *fakeECR) RoundTrip(r *http.Request) (*http.Response, error) {
	scope := strings.Split(r.Header.Get("Authorization"), "/")
	if len(scope) < 4 {
		return nil, errors.New("the call is not signed")
	}
	where := scope[2] + "/" + scope[3]
	f.mu.Lock()
	f.calls = append(f.calls, where)
	f.mu.Unlock()
	handler := f.handlers[where]
	if handler == nil {
		handler = f.handlers[""]
	}
	recorder := httptest.NewRecorder()
	handler(recorder, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// client returns a client that calls the fake.
func (f *fakeECR) client(t *testing.T) *Client {
	t.Helper()
	return newClient(t, map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, &http.Client{Transport: f})
}

func always(status int, body string) *fakeECR {
	return &fakeECR{handlers: map[string]http.HandlerFunc{"": reply(status, body)}}
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// silence never responds.
func silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestMain(m *testing.M) {
	os.Clearenv() // AWS's SDK reads variables that the Step removes
	m.Run()
}

// environment sets AWS's variables.
func environment(t *testing.T, variables map[string]string) {
	t.Helper()
	for key, value := range variables {
		t.Setenv(key, value)
	}
}

func newClient(t *testing.T, variables map[string]string, http *http.Client) *Client {
	t.Helper()
	environment(t, variables)
	config, err := awsclient.LoadConfig(t.Context(), region(t, "eu-west-1"), http)
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(config)
}

// obtain obtains logins in a bubble, where waiting takes no time, with up to n attempts per call.
func obtain(t *testing.T, client *Client, n int, request loginRequest) (logins []Login, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		request.Retry.Notify = func(attempt int, _ error, _ time.Duration) {
			if attempt == n {
				cancel()
			}
		}
		logins, err = client.Logins(ctx, request.Credentials, request.Registries, request.Retry)
	})
	return logins, err
}

// loginRequest has the arguments of [Client.Logins].
type loginRequest struct {
	Credentials credentials.Credentials
	Registries  []Registry
	Retry       retry.Policy
}

func newRequest(registries ...Registry) loginRequest {
	return loginRequest{
		Credentials: credentials.Credentials{
			AccessKeyID: secret.New("AKIAEXAMPLE"), SecretAccessKey: secret.New("secret-canary"), SessionToken: secret.New("token-canary"),
		},
		Registries: registries,
	}
}

func own(t *testing.T) Registry { return OwnRegistry(region(t, "eu-west-1")) }

func encoded(pair string) string { return base64.StdEncoding.EncodeToString([]byte(pair)) }

func authorized(token, endpoint string) string {
	return fmt.Sprintf(`{"authorizationData":[{"authorizationToken":%q,"expiresAt":4000000000.5,"proxyEndpoint":%q}]}`, token, endpoint)
}

func denied(action, reason string) string {
	message := "User: x is not authorized to perform: " + action + " on resource: * " + reason
	return `{"__type":"com.amazonaws#AccessDeniedException","message":"` + message + `"}`
}
