package step_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/step"
)

// environment is a run's variables, in memory.
type environment map[string]string

func (e environment) Get(key string) string { return e[key] }
func (e environment) Set(key, value string) error {
	e[key] = value
	return nil
}
func (e environment) Unset(key string) error { delete(e, key); return nil }
func (e environment) List() []string         { return nil }

// envman is a store in memory that fails at one call, from 1; 0: never.
type envman struct {
	failAt int
	keys   []string
	values map[string]string
	hidden []string
}

func (m *envman) Add(_ context.Context, key string, value secret.Text, sensitive bool) error {
	m.keys = append(m.keys, key)
	m.values[key] = value.Reveal()
	if len(m.keys) == m.failAt {
		return errors.New("disk full") // too late: nobody knows how far a call that fails got
	}
	if sensitive {
		m.hidden = append(m.hidden, key)
	}
	return nil
}

// log keeps the lines of a run.
type log struct{ lines []string }

func (l *log) add(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}
func (l *log) Infof(format string, args ...any)  { l.add(format, args...) }
func (l *log) Printf(format string, args ...any) { l.add(format, args...) }
func (l *log) Donef(format string, args ...any)  { l.add(format, args...) }
func (l *log) Warnf(format string, args ...any)  { l.add(format, args...) }
func (l *log) Errorf(format string, args ...any) { l.add(format, args...) }
func (l *log) Debugf(format string, args ...any) { l.add(format, args...) }
func (l *log) Println()                          { l.add("") }
func (l *log) EnableDebugLog(bool)               {}

// runWithKeys runs the Step with an access key against an STS that knows it.
func runWithKeys(t *testing.T, store *envman) (*log, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ci</Arn><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`))
	}))
	t.Cleanup(server.Close)
	written := &log{}
	store.values = map[string]string{}
	err := step.Step{
		Environment: environment{"region": "eu-west-1", "access_key_id": "AKIACANARY", "secret_access_key": "canary-secret", "AWS_ENDPOINT_URL_STS": server.URL},
		Log:         written, Envman: store, Now: now, Annotations: step.BitriseAnnotations{},
	}.Run(t.Context())
	if text := strings.Join(written.lines, "\n"); strings.Contains(strings.ToLower(text), "canary") {
		t.Errorf("the log shows a secret:\n%s", text)
	}
	return written, err
}

func TestExportsInAFixedOrder(t *testing.T) {
	store := &envman{}
	if written, err := runWithKeys(t, store); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(written.lines, "\n"))
	}
	want := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCOUNT_ID", "AWS_CREDENTIAL_EXPIRATION", "AWS_CALLER_ARN"}
	if !slices.Equal(store.keys, want) {
		t.Errorf("exported %v", store.keys)
	}
	if !slices.Equal(store.hidden, want[:3]) {
		t.Errorf("sensitive are %v", store.hidden)
	}
	if token, found := store.values["AWS_SESSION_TOKEN"]; !found || token != "" {
		t.Errorf("the session token is %q, %v; an empty one was wanted", token, found)
	}
}

func TestFailedExportTakesEverythingBack(t *testing.T) {
	for failAt := 1; failAt <= 8; failAt++ {
		store := &envman{failAt: failAt}
		written, err := runWithKeys(t, store)
		if err == nil || !strings.Contains(written.lines[len(written.lines)-1], "export "+store.keys[failAt-1]+": disk full") {
			t.Errorf("%d: %v %v", failAt, err, written.lines)
		}
		for key, value := range store.values {
			if value != "" {
				t.Errorf("%d: %s was left behind", failAt, key)
			}
		}
	}
}
