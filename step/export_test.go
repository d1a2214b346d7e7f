package step_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/testenv"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/step"
)

func TestMain(m *testing.M) {
	testenv.RemoveAWS()
	m.Run()
}

// repository is an in-memory environment.
type repository map[string]string

func (r repository) Get(key string) string       { return r[key] }
func (r repository) Set(key, value string) error { r[key] = value; return nil }
func (r repository) Unset(key string) error      { delete(r, key); return nil }
func (r repository) List() []string              { return nil }

// envman is an in-memory store.
type envman struct {
	// failAt is the number of the call that fails, starting at 1. If broken is set, all later calls fail too.
	failAt    int
	broken    bool
	keys      []string
	values    map[string]string
	sensitive []string
}

func (m *envman) Add(_ context.Context, key string, value secret.Text, isSensitive bool) error {
	m.keys = append(m.keys, key)
	if m.broken && len(m.keys) > m.failAt {
		return errors.New("broken pipe")
	}
	m.values[key] = value.Reveal()
	if len(m.keys) == m.failAt {
		return errors.New("disk full") // after storing the value, because a failed call may have had an effect
	}
	if isSensitive {
		m.sensitive = append(m.sensitive, key)
	}
	return nil
}

// runWithKey runs the Step with an access key, against an STS that accepts it, and returns the log's lines.
func runWithKey(t *testing.T, store step.Envman, inputs repository, environment step.Environment) ([]string, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ci</Arn>` +
			`<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`))
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	if memory, ok := store.(*envman); ok {
		memory.values = map[string]string{}
	}
	all := repository{"region": "eu-west-1", "access_key_id": "AKIACANARY", "secret_access_key": "canary-secret"}
	for key, value := range inputs {
		all[key] = value
	}
	var log bytes.Buffer
	err := step.Step{
		Inputs: all, Environment: environment, Log: report.NewPlainLog(&log), Envman: store, Now: now,
		Exit: func(int) { t.Error("the watchdog stopped the Step") },
	}.Run(t.Context())
	if strings.Contains(strings.ToLower(log.String()), "canary") {
		t.Errorf("the log contains a secret:\n%s", &log)
	}
	return strings.Split(strings.TrimSpace(log.String()), "\n"), err
}

func TestExportsInAFixedOrder(t *testing.T) {
	store := &envman{}
	log, err := runWithKey(t, store, nil, nil)
	if err != nil || !strings.Contains(strings.Join(log, "\n"), "Verified the access key of arn:aws:iam::123456789012:user/ci") {
		t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
	}
	want := []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION",
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCOUNT_ID", "AWS_CALLER_ARN",
	}
	if !slices.Equal(store.keys, want) {
		t.Errorf("got exports %v", store.keys)
	}
	if !slices.Equal(store.sensitive, want[:3]) {
		t.Errorf("got sensitive exports %v", store.sensitive)
	}
	if token, found := store.values["AWS_SESSION_TOKEN"]; !found || token != "" {
		t.Errorf("got the session token %q, %v; want it empty", token, found)
	}
}

func TestFailedExportIsUndone(t *testing.T) {
	for failAt := 1; failAt <= 8; failAt++ {
		store := &envman{failAt: failAt}
		log, err := runWithKey(t, store, nil, nil)
		if want := "export " + store.keys[failAt-1] + ": disk full"; err == nil || log[len(log)-1] != want {
			t.Errorf("%d: got %v, %q; want %q", failAt, err, log[len(log)-1], want)
		}
		for key, value := range store.values {
			if value != "" {
				t.Errorf("%d: %s was left behind", failAt, key)
			}
		}
	}
}

func TestExportsThatCannotBeUndoneAreListed(t *testing.T) {
	log, err := runWithKey(t, &envman{failAt: 2, broken: true}, nil, nil)
	const want = "Could not empty these outputs again, so the next Steps may see them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: broken pipe"
	if err == nil || !slices.Contains(log, want) {
		t.Errorf("%v\n%s", err, strings.Join(log, "\n"))
	}
}

func TestLogoutEmptiesTheCredentials(t *testing.T) {
	store := &envman{}
	log, err := runWithKey(t, store, repository{"action": "logout", "access_key_id": "", "secret_access_key": ""}, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
	}
	want := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"}
	if !slices.Equal(store.keys, want) || strings.Join([]string{store.values[want[0]], store.values[want[1]], store.values[want[2]], store.values[want[3]]}, "") != "" {
		t.Errorf("got exports %v", store.values)
	}
}

// Files change only after the exports have worked, in a logout too.
func TestFailedLogoutChangesNoFile(t *testing.T) {
	const config = "# Written by Authenticate with AWS, a Bitrise Step, which replaces the lines from here on:\n[profile x]\n" +
		"credential_process = /x\n# End of what Authenticate with AWS wrote.\n"
	path := filepath.Join(t.TempDir(), "config")
	environment := step.Environment{"AWS_PROFILE": "x", "AWS_CONFIG_FILE": path, "HOME": t.TempDir()}
	for failAt, want := range []string{"", config, config, config, config} {
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		logout := repository{"action": "logout", "access_key_id": "", "secret_access_key": ""}
		if log, err := runWithKey(t, &envman{failAt: failAt}, logout, environment); (err == nil) != (failAt == 0) {
			t.Errorf("%d: %v\n%s", failAt, err, strings.Join(log, "\n"))
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != want {
			t.Errorf("%d: the file has %q, %v", failAt, content, err)
		}
	}
}

// Without envman, nothing can have been exported, so the log does not say that outputs may be left.
func TestNoEnvman(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	log, err := runWithKey(t, step.EnvmanProgram{}, nil, nil)
	if text := strings.Join(log, "\n"); err == nil || strings.Contains(text, "Could not empty") || !strings.Contains(text, "both provide") {
		t.Errorf("got %v\n%s", err, text)
	}
}

func TestInvalidInputsAreListed(t *testing.T) {
	log, err := runWithKey(t, &envman{}, repository{"region": "x", "timeout": "1", "role_arn": "y"}, nil)
	text := strings.Join(log, "\n")
	if err == nil || !strings.Contains(text, "Invalid inputs (nothing was sent):\n- timeout: must be") ||
		log[len(log)-1] != "invalid inputs: timeout, region, role_arn and access_key_id, role_arn, build_url, build_api_token" {
		t.Errorf("%v\n%s", err, text)
	}
}

// runWithRole runs the Step with the build's identity token, against servers that accept it, and returns the log.
func runWithRole(t *testing.T, inputs repository) (log string, actions []string, err error) {
	t.Helper()
	part := func(claims string) string { return base64.RawURLEncoding.EncodeToString([]byte(claims)) }
	token := part(`{"alg":"RS256"}`) + "." + part(`{"iss":"https://issuer.example","aud":"sts.amazonaws.com","sub":"the subject","exp":4102444800}`) + ".c2ln"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/id_token.json") {
			actions = append(actions, "token")
			_, _ = fmt.Fprintf(w, `{"id_token":%q}`, token)
			return
		}
		action := r.FormValue("Action")
		actions = append(actions, strings.TrimSpace(action+" "+r.FormValue("DurationSeconds")))
		_, _ = fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/%[1]s/x</Arn></AssumedRoleUser>"+
			"<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>canary-key</SecretAccessKey><SessionToken>canary-session</SessionToken>"+
			"<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></%[1]sResult></%[1]sResponse>", action)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	all := repository{
		"region": "us-east-1", "role_arn": "arn:aws:iam::123456789012:role/deploy", "build_url": server.URL, "build_api_token": "canary-build-token",
	}
	maps.Copy(all, inputs)
	var written bytes.Buffer
	err = step.Step{
		Inputs: all, Log: report.NewPlainLog(&written), Envman: &envman{values: map[string]string{}}, Now: now,
		Exit: func(int) { t.Error("the watchdog stopped the Step") },
	}.Run(t.Context())
	if strings.Contains(strings.ToLower(written.String()), "canary") {
		t.Errorf("the log contains a secret:\n%s", &written)
	}
	return written.String(), actions, err
}

func TestRunWithARole(t *testing.T) {
	const first = "token, AssumeRoleWithWebIdentity"
	const claims, hop = "condition keys of a trust policy", "Hop 1 of 1: assumed arn:aws:sts::123456789012:assumed-role/AssumeRole/x"
	for name, row := range map[string]struct {
		inputs   repository
		calls    string
		has, not string
	}{
		"a role":     {nil, first, "Assumed arn:aws:sts::123456789012:assumed-role/AssumeRoleWithWebIdentity/x", claims},
		"a chain":    {repository{"role_chain": "arn:aws:iam::123456789012:role/next"}, first + ", AssumeRole", hop, claims},
		"a duration": {repository{"session_duration": "1800"}, first + " 1800", "Assumed", hop},
		"a chain with a duration": {
			repository{"role_chain": "arn:aws:iam::123456789012:role/next", "session_duration": "1800"}, first + ", AssumeRole 1800", hop, claims,
		},
		"a chain of two": {
			repository{"role_chain": "arn:aws:iam::123456789012:role/next\narn:aws:iam::123456789012:role/last", "session_duration": "1800"},
			first + ", AssumeRole, AssumeRole 1800", "Hop 2 of 2: assumed", claims,
		},
		"verbose":                 {repository{"verbose": "true"}, first, claims, hop},
		"other accounts":          {repository{"allowed_account_ids": "210987654321"}, first, "which is not allowed", "Exported"},
		"other accounts, verbose": {repository{"allowed_account_ids": "210987654321", "verbose": "true"}, first, claims, "Exported"},
	} {
		t.Run(name, func(t *testing.T) {
			log, actions, err := runWithRole(t, row.inputs)
			calls := strings.Join(actions, ", ")
			if (err != nil) != strings.HasPrefix(name, "other accounts") || calls != row.calls || !strings.Contains(log, row.has) || strings.Contains(log, row.not) {
				t.Errorf("got %v, calls %s, want %s\n%s", err, calls, row.calls, log)
			}
		})
	}
}
