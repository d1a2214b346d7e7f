package step_test

import (
	"bytes"
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

	"github.com/bitrise-io/envman/v2/models"
	"gopkg.in/yaml.v2"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/step"
)

func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if key, _, _ := strings.Cut(variable, "="); strings.HasPrefix(key, "AWS_") {
			_ = os.Unsetenv(key)
		}
	}
	m.Run()
}

// newStore returns an empty store of envman's, as the Bitrise CLI creates it.
func newStore(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".envstore.yml")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// variable is a variable in a store.
type variable struct {
	key, value  string
	isSensitive bool
}

// readStore returns the variables in a store.
func readStore(t *testing.T, path string) []variable {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var store models.EnvsSerializeModel
	if err := yaml.Unmarshal(content, &store); err != nil {
		t.Fatal(err)
	}
	var variables []variable
	for _, item := range store.Envs {
		key, value, err := item.GetKeyValuePair()
		options, optionsErr := item.GetOptions()
		if err := errors.Join(err, optionsErr); err != nil || options.IsExpand == nil || *options.IsExpand {
			t.Errorf("%s: got %v, expand %v", key, err, options.IsExpand)
		}
		variables = append(variables, variable{key, value, options.IsSensitive != nil && *options.IsSensitive})
	}
	return variables
}

// runWithKey runs the Step with an access key, against an STS that accepts it, and returns the log's lines.
func runWithKey(t *testing.T, inputs step.Environment, environment step.Environment) ([]string, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ci</Arn>` +
			`<Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`))
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	all := step.Environment{"region": "eu-west-1", "access_key_id": "AKIACANARY", "secret_access_key": "canary-secret"}
	maps.Copy(all, inputs)
	maps.Copy(all, environment)
	var log bytes.Buffer
	run := step.Step{
		Environment: all, Log: report.NewPlainLog(&log), Now: now,
		Exit: func(int) { t.Error("the watchdog stopped the Step") },
	}
	err := run.Run(t.Context())
	if strings.Contains(strings.ToLower(log.String()), "canary") {
		t.Errorf("the log contains a secret:\n%s", &log)
	}
	return strings.Split(strings.TrimSpace(log.String()), "\n"), err
}

func TestExportsInAFixedOrder(t *testing.T) {
	for name, row := range map[string]struct {
		environment step.Environment
		want        []variable
	}{
		"nothing set": {nil, []variable{
			{"AWS_ACCESS_KEY_ID", "AKIACANARY", true}, {"AWS_SECRET_ACCESS_KEY", "canary-secret", true}, {"AWS_SESSION_TOKEN", "", true},
			{"AWS_CREDENTIAL_EXPIRATION", "", false},
			{"AWS_REGION", "eu-west-1", false}, {"AWS_DEFAULT_REGION", "eu-west-1", false}, {"AWS_ACCOUNT_ID", "123456789012", false},
			{"AWS_CALLER_ARN", "arn:aws:iam::123456789012:user/ci", false},
		}},
		"old name of the session token": {step.Environment{"AWS_SECURITY_TOKEN": "old"}, []variable{
			{"AWS_ACCESS_KEY_ID", "AKIACANARY", true}, {"AWS_SECRET_ACCESS_KEY", "canary-secret", true}, {"AWS_SESSION_TOKEN", "", true},
			{"AWS_CREDENTIAL_EXPIRATION", "", false}, {"AWS_SECURITY_TOKEN", "", true},
			{"AWS_REGION", "eu-west-1", false}, {"AWS_DEFAULT_REGION", "eu-west-1", false}, {"AWS_ACCOUNT_ID", "123456789012", false},
			{"AWS_CALLER_ARN", "arn:aws:iam::123456789012:user/ci", false},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			environment := step.Environment{"ENVMAN_ENVSTORE_PATH": newStore(t)}
			maps.Copy(environment, row.environment)
			log, err := runWithKey(t, nil, environment)
			if err != nil || !strings.Contains(strings.Join(log, "\n"), "Verified the access key in ") {
				t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
			}
			if got := readStore(t, environment["ENVMAN_ENVSTORE_PATH"]); !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

// A logout empties every variable of the credentials that is set, whatever name it has, and nothing else.
func TestLogoutEmptiesTheCredentials(t *testing.T) {
	logout := step.Environment{"action": "logout", "access_key_id": "", "secret_access_key": ""}
	set := step.Environment{
		"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c", "AWS_SECURITY_TOKEN": "c",
		"AWS_CREDENTIAL_EXPIRATION": "d", "AWS_REGION": "e", "AWS_CALLER_ARN": "f", "ENVMAN_ENVSTORE_PATH": newStore(t), "HOME": t.TempDir(),
	}
	unset := step.Environment{"AWS_SESSION_TOKEN": "c", "ENVMAN_ENVSTORE_PATH": newStore(t), "HOME": t.TempDir()}
	for name, row := range map[string]struct {
		environment step.Environment
		want        []variable
	}{
		"all set": {set, []variable{
			{"AWS_ACCESS_KEY_ID", "", true}, {"AWS_SECRET_ACCESS_KEY", "", true}, {"AWS_SESSION_TOKEN", "", true},
			{"AWS_CREDENTIAL_EXPIRATION", "", false}, {"AWS_SECURITY_TOKEN", "", true},
		}},
		"one set": {unset, []variable{{"AWS_SESSION_TOKEN", "", true}}},
	} {
		t.Run(name, func(t *testing.T) {
			if log, err := runWithKey(t, logout, row.environment); err != nil {
				t.Fatalf("%v\n%s", err, strings.Join(log, "\n"))
			}
			if got := readStore(t, row.environment["ENVMAN_ENVSTORE_PATH"]); !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

// Outside a build, there is no store. The Step says so before it sends anything.
func TestNoEnvstore(t *testing.T) {
	for name, environment := range map[string]step.Environment{
		"not set": nil, "missing": {"ENVMAN_ENVSTORE_PATH": filepath.Join(t.TempDir(), "none")},
	} {
		t.Run(name, func(t *testing.T) {
			log, err := runWithKey(t, nil, environment)
			text := strings.Join(log, "\n")
			if err == nil || !strings.Contains(text, `"bitrise run"`) || strings.Contains(text, "Verified") {
				t.Errorf("got %v\n%s", err, text)
			}
		})
	}
}

func TestInvalidInputsAreListed(t *testing.T) {
	log, err := runWithKey(t, step.Environment{"region": "x", "timeout": "1", "role_arn": "y"}, nil)
	text := strings.Join(log, "\n")
	if err == nil || !strings.Contains(text, "Nothing was sent.\n\nWhat to do\n- timeout: must be") ||
		log[len(log)-1] != "invalid inputs: timeout, region, access_key_id, role_arn, build_url and build_api_token" {
		t.Errorf("%v\n%s", err, text)
	}
}

// runWithRole runs the Step with the build's identity token, against servers that accept it, and returns the log.
func runWithRole(t *testing.T, inputs step.Environment) (log string, actions []string, err error) {
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
	all := step.Environment{
		"region": "us-east-1", "role_arn": "arn:aws:iam::123456789012:role/deploy", "build_url": server.URL, "build_api_token": "canary-build-token",
		"ENVMAN_ENVSTORE_PATH": newStore(t),
	}
	maps.Copy(all, inputs)
	var written bytes.Buffer
	run := step.Step{
		Environment: all, Log: report.NewPlainLog(&written), Now: now,
		Exit: func(int) { t.Error("the watchdog stopped the Step") },
	}
	err = run.Run(t.Context())
	if strings.Contains(strings.ToLower(written.String()), "canary") {
		t.Errorf("the log contains a secret:\n%s", &written)
	}
	return written.String(), actions, err
}

func TestRunWithARole(t *testing.T) {
	const first = "token, AssumeRoleWithWebIdentity"
	const claims, hop = "condition keys of a trust policy", "(1 of 1 in role_chain)"
	for name, row := range map[string]struct {
		inputs   step.Environment
		calls    string
		has, not string
	}{
		"a role":     {nil, first, "Assumed role deploy in account 123456789012 in ", claims},
		"a chain":    {step.Environment{"role_chain": "arn:aws:iam::123456789012:role/next"}, first + ", AssumeRole", hop, claims},
		"a duration": {step.Environment{"session_duration": "1800"}, first + " 1800", "Assumed", hop},
		"a chain with a duration": {
			step.Environment{"role_chain": "arn:aws:iam::123456789012:role/next", "session_duration": "1800"}, first + ", AssumeRole 1800", hop, claims,
		},
		"a chain of two": {
			step.Environment{"role_chain": "arn:aws:iam::123456789012:role/next\narn:aws:iam::123456789012:role/last", "session_duration": "1800"},
			first + ", AssumeRole, AssumeRole 1800", "(2 of 2 in role_chain)", claims,
		},
		"verbose":                 {step.Environment{"verbose": "true"}, first, claims, hop},
		"other accounts":          {step.Environment{"allowed_account_ids": "210987654321"}, first, "which is not allowed", "Exported"},
		"other accounts, verbose": {step.Environment{"allowed_account_ids": "210987654321", "verbose": "true"}, first, claims, "Exported"},
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
