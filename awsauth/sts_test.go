package awsauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// stsServer starts a server that responds to every call with the result of a function, and records the calls.
func stsServer(t *testing.T, answer func(n int, form url.Values) (int, string)) (*awsauth.Client, *[]*http.Request) {
	t.Helper()
	return stsServerAt(t, time.Now, answer)
}

// stsServerAt does the same for a client with its own clock.
func stsServerAt(
	t *testing.T, now func() time.Time, answer func(n int, form url.Values) (int, string),
) (*awsauth.Client, *[]*http.Request) {
	t.Helper()
	var calls []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Form, _ = url.ParseQuery(string(body))
		calls = append(calls, r)
		status, text := answer(len(calls), r.Form)
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	region, err := awsid.ParseRegion("eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	config, err := awsclient.LoadConfig(t.Context(), region, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return awsauth.NewClient(config, now), &calls
}

func answering(status int, body string) func(int, url.Values) (int, string) {
	return func(int, url.Values) (int, string) { return status, body }
}

func noWait() retry.Policy {
	return retry.Policy{Wait: func(context.Context, time.Duration) error { return nil }}
}

// upTo returns a policy that gives up after n calls.
func upTo(n int, calls *[]*http.Request) retry.Policy {
	return retry.Policy{Wait: func(context.Context, time.Duration) error {
		if len(*calls) == n {
			return errors.New("enough")
		}
		return nil
	}}
}

const (
	sessionARN = "arn:aws:sts::123456789012:assumed-role/deploy/session"
	expiration = "<Expiration>2030-01-02T03:04:05Z</Expiration>"
)

func keysXML(id, key, token string) string {
	return "<AccessKeyId>" + id + "</AccessKeyId><SecretAccessKey>" + key + "</SecretAccessKey><SessionToken>" + token + "</SessionToken>"
}

// assumed returns STS's answer to a call that assumes a role.
func assumed(action, arn, keys, expiration string) string {
	return "<" + action + `Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><` + action + "Result><AssumedRoleUser><Arn>" + arn +
		"</Arn><AssumedRoleId>AROA:session</AssumedRoleId></AssumedRoleUser><Credentials>" + keys + expiration +
		"</Credentials></" + action + "Result></" + action + "Response>"
}

func refused(code, message string) string {
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
