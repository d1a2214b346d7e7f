package awsauth_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// stsServer returns a client of an STS that responds to every call with the result of a function, and records the calls.
func stsServer(t *testing.T, respond func(n int, form url.Values) (int, string)) (*awsauth.Client, *[]*http.Request) {
	t.Helper()
	return stsServerAt(t, time.Now, respond)
}

// stsServerAt does the same for a client with its own clock.
func stsServerAt(
	t *testing.T, now func() time.Time, respond func(n int, form url.Values) (int, string),
) (*awsauth.Client, *[]*http.Request) {
	t.Helper()
	var calls []*http.Request
	handler := handlerTransport(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Form, _ = url.ParseQuery(string(body))
		calls = append(calls, r)
		status, text := respond(len(calls), r.Form)
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})
	region, err := awsid.ParseRegion("eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	config, err := awsclient.LoadConfig(t.Context(), region, &http.Client{Transport: handler})
	if err != nil {
		t.Fatal(err)
	}
	return awsauth.NewClient(config, now), &calls
}

func responding(status int, body string) func(int, url.Values) (int, string) {
	return func(int, url.Values) (int, string) { return status, body }
}

// handlerTransport handles requests without a network, which time in a bubble would wait for.
type handlerTransport http.HandlerFunc

func (h handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	h(recorder, r)
	return recorder.Result(), nil
}

type source interface {
	Session(context.Context, *awsauth.Client, retry.Policy) (awsauth.Session, error)
}

// obtain obtains a session in a bubble, where waiting takes no time, with up to n attempts.
func obtain(t *testing.T, from source, client *awsauth.Client, n int) (session awsauth.Session, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		session, err = from.Session(ctx, client, retry.Policy{Notify: func(attempt int, _ error, _ time.Duration) {
			if attempt == n {
				cancel()
			}
		}})
	})
	return session, err
}

const (
	sessionARN = "arn:aws:sts::123456789012:assumed-role/deploy/session"
	expiration = "<Expiration>2030-01-02T03:04:05Z</Expiration>"
)

func keysXML(id, key, token string) string {
	return "<AccessKeyId>" + id + "</AccessKeyId><SecretAccessKey>" + key + "</SecretAccessKey><SessionToken>" + token + "</SessionToken>"
}

// assumed returns the response to a call that assumes a role.
func assumed(action, arn, keys, expiration string) string {
	return "<" + action + `Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><` + action + "Result><AssumedRoleUser><Arn>" + arn +
		"</Arn><AssumedRoleId>AROA:session</AssumedRoleId></AssumedRoleUser><Credentials>" + keys + expiration +
		"</Credentials></" + action + "Result></" + action + "Response>"
}

func awsError(code, message string) string {
	return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code + "</Code><Message>" + message +
		"</Message></Error><RequestId>0a1b2c</RequestId></ErrorResponse>"
}

func roleARN(t *testing.T, s string) awsauth.RoleARN {
	t.Helper()
	role, err := awsauth.ParseRoleARN(s)
	if err != nil {
		t.Fatal(err)
	}
	return role
}

func sessionName(t *testing.T) awsauth.SessionName {
	t.Helper()
	name, err := awsauth.ParseSessionName("session")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestEndpoint(t *testing.T) {
	for name, row := range map[string]struct {
		region    string
		variables map[string]string
		want      string
	}{
		"commercial": {"eu-west-1", nil, "https://sts.eu-west-1.amazonaws.com"},
		"China":      {"cn-north-1", nil, "https://sts.cn-north-1.amazonaws.com.cn"},
		"FIPS":       {"us-east-1", map[string]string{"AWS_USE_FIPS_ENDPOINT": "true"}, "https://sts-fips.us-east-1.amazonaws.com"},
		"dual-stack": {"us-east-1", map[string]string{"AWS_USE_DUALSTACK_ENDPOINT": "true"}, "https://sts.us-east-1.api.aws"},
		"moved":      {"us-east-1", map[string]string{"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, "http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range row.variables {
				t.Setenv(key, value)
			}
			region, err := awsid.ParseRegion(row.region)
			if err != nil {
				t.Fatal(err)
			}
			config, err := awsclient.LoadConfig(t.Context(), region, http.DefaultClient)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := awsauth.NewClient(config, time.Now).Endpoint(t.Context()); err != nil || got != row.want {
				t.Errorf("got %s, %v; want %s", got, err, row.want)
			}
		})
	}
}
