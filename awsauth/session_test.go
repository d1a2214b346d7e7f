package awsauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// stsServer answers every call with what the function returns, and keeps the forms.
func stsServer(t *testing.T, answer func(n int, form url.Values) (int, string)) (awsauth.Config, *[]*http.Request) {
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
	config, err := awsauth.NewConfig(awsauth.Settings{Region: region, HTTP: server.Client(), Getenv: func(key string) string {
		return map[string]string{"AWS_ENDPOINT_URL_STS": server.URL}[key]
	}})
	if err != nil {
		t.Fatal(err)
	}
	return config, &calls
}

func noWait() retry.Policy {
	return retry.Policy{Wait: func(context.Context, time.Duration) error { return nil }}
}

func assumed(expiration string) string {
	return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
		<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/deploy/session</Arn><AssumedRoleId>AROA:session</AssumedRoleId></AssumedRoleUser>
		<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>secret-canary</SecretAccessKey><SessionToken>session-canary</SessionToken>` +
		expiration + `</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`
}

func refused(code, text string) string {
	return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code + `</Code><Message>` + text +
		`</Message></Error><RequestId>0a1b2c</RequestId></ErrorResponse>`
}

func webIdentity(t *testing.T, token func(context.Context) (awsauth.IdentityToken, error)) awsauth.WebIdentity {
	t.Helper()
	role, err := awsauth.ParseRoleARN("arn:aws:iam::123456789012:role/deploy")
	if err != nil {
		t.Fatal(err)
	}
	name, err := awsauth.ParseSessionName("session")
	if err != nil {
		t.Fatal(err)
	}
	return awsauth.WebIdentity{Role: role, SessionName: name, Token: token, Retry: noWait(), Now: time.Now}
}

func oneToken(context.Context) (awsauth.IdentityToken, error) {
	return awsauth.IdentityToken{Text: secret.New("token-canary")}, nil
}

func TestWebIdentityIsExchangedUnsigned(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIALEFTBEHIND")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "left-behind")
	config, calls := stsServer(t, func(int, url.Values) (int, string) {
		return 200, assumed("<Expiration>2030-01-02T03:04:05Z</Expiration>")
	})
	session, err := webIdentity(t, oneToken).Session(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	call := (*calls)[0]
	if call.Header.Get("Authorization") != "" || call.Form.Get("Action") != "AssumeRoleWithWebIdentity" || call.Form.Get("WebIdentityToken") != "token-canary" ||
		call.Form.Get("RoleArn") != "arn:aws:iam::123456789012:role/deploy" || call.Form.Get("RoleSessionName") != "session" || call.Form.Has("DurationSeconds") {
		t.Errorf("%v %v", call.Header, call.Form)
	}
	if session.AccountID != "123456789012" || session.CallerARN != "arn:aws:sts::123456789012:assumed-role/deploy/session" ||
		session.AccessKeyID.Reveal() != "ASIAEXAMPLE" || session.SecretAccessKey.Reveal() != "secret-canary" || session.SessionToken.Reveal() != "session-canary" ||
		!session.Expires.Equal(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("%+v", session)
	}
	if got := fmt.Sprintf("%v %+v %#v", session, session, session); strings.Contains(got, "canary") {
		t.Errorf("a session shows its secrets: %s", got)
	}
	credentials, err := session.Retrieve(t.Context())
	if err != nil || credentials.SecretAccessKey != "secret-canary" || !credentials.CanExpire || credentials.AccountID != "123456789012" {
		t.Errorf("the SDK gets %v, %v", credentials.AccessKeyID, err)
	}
}

func TestWebIdentityRefusals(t *testing.T) {
	for name, row := range map[string]struct {
		status   int
		body     string
		want     string
		attempts int // 0: it is tried again until the policy of this test gives up
	}{
		"denied":              {403, refused("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"), "assume role arn:aws:iam::123456789012:role/deploy: STS answered AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity (request ID 0a1b2c)", 1},
		"echoes the token":    {400, refused("ValidationError", "Value 'token-canary' is wrong"), "STS answered ValidationError: Value '[REDACTED]' is wrong", 1},
		"wrong audience":      {400, refused("InvalidIdentityToken", "Incorrect token audience"), "Incorrect token audience", 1},
		"key not retrieved":   {400, refused("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"), "retrieve verification key", 0},
		"throttled":           {400, refused("Throttling", "Rate exceeded"), "STS answered Throttling: Rate exceeded", 0},
		"provider":            {400, refused("IDPCommunicationError", "timed out"), "IDPCommunicationError", 0},
		"no credentials":      {200, "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>", "STS answered without credentials", 0},
		"no expiration":       {200, assumed(""), "credentials without an expiration", 0},
		"cut short":           {200, assumed("")[:300], "the answer of STS, 200 OK, could not be read", 0},
		"a page, unavailable": {503, "<html>", "the answer of STS, 503 Service Unavailable, could not be read", 0},
	} {
		t.Run(name, func(t *testing.T) {
			const most = 3
			config, calls := stsServer(t, func(int, url.Values) (int, string) { return row.status, row.body })
			identity := webIdentity(t, oneToken)
			identity.Retry.Wait = func(context.Context, time.Duration) error {
				if len(*calls) == most {
					return errors.New("enough")
				}
				return nil
			}
			_, err := identity.Session(t.Context(), config)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, row.want)
			}
			want := row.attempts
			if want == 0 {
				want = most
			}
			if len(*calls) != want {
				t.Errorf("%d calls, want %d", len(*calls), want)
			}
		})
	}
}

func TestStaleTokenIsAskedForAgain(t *testing.T) {
	now := time.Unix(1700000000, 0)
	minted := 0
	config, calls := stsServer(t, func(n int, _ url.Values) (int, string) {
		if n == 1 {
			return 400, refused("Throttling", "Rate exceeded")
		}
		return 200, assumed("<Expiration>2030-01-02T03:04:05Z</Expiration>")
	})
	identity := webIdentity(t, func(context.Context) (awsauth.IdentityToken, error) {
		minted++
		return awsauth.IdentityToken{Text: secret.New(fmt.Sprintf("token-%d", minted)), Expires: now.Add(10 * time.Second)}, nil
	})
	identity.Now = func() time.Time { return now }
	if _, err := identity.Session(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if minted != 2 || len(*calls) != 2 || (*calls)[1].Form.Get("WebIdentityToken") != "token-2" {
		t.Errorf("%d tokens, %d calls", minted, len(*calls))
	}
}

func TestTokenErrorPassesThrough(t *testing.T) {
	want := errors.New("no token")
	config, calls := stsServer(t, nil)
	_, err := webIdentity(t, func(context.Context) (awsauth.IdentityToken, error) { return awsauth.IdentityToken{}, want }).Session(t.Context(), config)
	if !errors.Is(err, want) || len(*calls) != 0 {
		t.Errorf("%v, %d calls", err, len(*calls))
	}
}

func TestAccessKeysAreVerified(t *testing.T) {
	keys := awsauth.Keys{AccessKeyID: secret.New("AKIAEXAMPLECANARY"), SecretAccessKey: secret.New("secret-canary")}
	config, calls := stsServer(t, func(int, url.Values) (int, string) {
		return 200, `<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::012345678901:user/ci</Arn><Account>012345678901</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`
	})
	session, err := awsauth.AccessKeys{Keys: keys, Retry: noWait()}.Session(t.Context(), config)
	if err != nil || session.AccountID != "012345678901" || session.CallerARN != "arn:aws:iam::012345678901:user/ci" || !session.Expires.IsZero() {
		t.Errorf("%+v, %v", session, err)
	}
	if got := (*calls)[0].Header.Get("Authorization"); !strings.Contains(got, "Credential=AKIAEXAMPLECANARY/") || !strings.Contains(got, "/eu-central-1/sts/aws4_request") {
		t.Errorf("signed as %q", got)
	}

	config, calls = stsServer(t, func(int, url.Values) (int, string) {
		return 403, refused("InvalidClientTokenId", "The security token AKIAEXAMPLECANARY is invalid.")
	})
	_, err = awsauth.AccessKeys{Keys: keys, Retry: noWait()}.Session(t.Context(), config)
	var refusal *awserr.Refusal
	if !errors.As(err, &refusal) || refusal.Code != "InvalidClientTokenId" || refusal.StatusCode != 403 || len(*calls) != 1 || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%v, %d calls", err, len(*calls))
	}
}
