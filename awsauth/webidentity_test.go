package awsauth_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func webIdentity(t *testing.T) awsauth.WebIdentity {
	t.Helper()
	return awsauth.WebIdentity{
		Role: roleARN(t, "arn:aws:iam::123456789012:role/deploy"), SessionName: sessionName(t),
		Token: idtoken.Token{Text: secret.New("token-canary")},
	}
}

func goodResponse() string {
	return assumed("AssumeRoleWithWebIdentity", sessionARN, keysXML("ASIAEXAMPLE", "secret-canary", "session-canary"), expiration)
}

func TestWebIdentityIsExchangedUnsigned(t *testing.T) {
	client, calls := stsServer(t, responding(200, goodResponse()))
	session, err := obtain(t, webIdentity(t), client, 100)
	if err != nil {
		t.Fatal(err)
	}
	call := (*calls)[0]
	for key, want := range map[string]string{
		"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "token-canary", "RoleArn": "arn:aws:iam::123456789012:role/deploy",
		"RoleSessionName": "session", "DurationSeconds": "", "Policy": "",
	} {
		if got := call.Form.Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if call.Header.Get("Authorization") != "" {
		t.Error("the call was signed")
	}
	if session.AccountID != "123456789012" || session.CallerARN != sessionARN || session.AccessKeyID.Reveal() != "ASIAEXAMPLE" ||
		session.SecretAccessKey.Reveal() != "secret-canary" || session.SessionToken.Reveal() != "session-canary" ||
		!session.Expires.Equal(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("got %+v", session)
	}
	if got := fmt.Sprintf("%v %+v %#v", session, session, session); strings.Contains(got, "canary") {
		t.Errorf("the session prints its secrets: %s", got)
	}
}

func TestSettingsAreSent(t *testing.T) {
	client, calls := stsServer(t, responding(200, goodResponse()))
	w := webIdentity(t)
	policy, err := awsauth.ParseSessionPolicy("{ \"Version\": \"2012-10-17\" }")
	if err != nil {
		t.Fatal(err)
	}
	managed, err := awsauth.ParsePolicyARN("arn:aws:iam::aws:policy/ReadOnlyAccess")
	if err != nil {
		t.Fatal(err)
	}
	w.Settings = awsauth.SessionSettings{Duration: 900 * time.Second, Policy: policy, ManagedPolicies: []awsauth.PolicyARN{managed}}
	if _, err := obtain(t, w, client, 100); err != nil {
		t.Fatal(err)
	}
	form := (*calls)[0].Form
	// The policy is compacted before its length is checked and it is sent.
	if form.Get("DurationSeconds") != "900" || form.Get("Policy") != `{"Version":"2012-10-17"}` || form.Get("PolicyArns.member.1.arn") != "arn:aws:iam::aws:policy/ReadOnlyAccess" {
		t.Errorf("got form %v", form)
	}
}

// The first attempt is made with any token. Later ones are made only if the token lasts that long.
func TestStaleTokensAreNotSentAgain(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for name, row := range map[string]struct {
		expires time.Time
		calls   int
	}{
		"expired": {now, 1}, "about to expire": {now.Add(14 * time.Second), 1}, "valid": {now.Add(16 * time.Second), 2}, "unknown expiration": {time.Time{}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServerAt(t, func() time.Time { return now }, func(n int, _ url.Values) (int, string) {
				if n == 1 {
					return 400, awsError("Throttling", "Rate exceeded")
				}
				return 200, goodResponse()
			})
			w := webIdentity(t)
			w.Token.Expires = row.expires
			_, err := obtain(t, w, client, 100)
			if errors.Is(err, awsauth.ErrTokenExpired) != (row.calls == 1) || (err == nil) != (row.calls == 2) || len(*calls) != row.calls {
				t.Errorf("got %v after %d calls, want %d", err, len(*calls), row.calls)
			}
		})
	}
}

func TestErrorsOfSTS(t *testing.T) {
	const retried = 3
	for name, row := range map[string]struct {
		status   int
		body     string
		want     string
		attempts int
	}{
		"denied": {403, awsError("AccessDenied", "Not authorized"),
			"assume role arn:aws:iam::123456789012:role/deploy: STS returned AccessDenied: Not authorized (request ID 0a1b2c)", 1},
		"wrong audience":      {400, awsError("InvalidIdentityToken", "Incorrect token audience"), "Incorrect token audience", 1},
		"key not retrieved":   {400, awsError("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"), "retrieve verification key", retried},
		"throttled":           {400, awsError("Throttling", "Rate exceeded"), "STS returned Throttling: Rate exceeded", retried},
		"provider":            {400, awsError("IDPCommunicationError", "timed out"), "IDPCommunicationError", retried},
		"no credentials":      {200, "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>", "STS returned no valid credentials", retried},
		"cut short":           {200, goodResponse()[:300], "the response of STS could not be read", retried},
		"a page, unavailable": {503, "<html>", "STS returned 503 Service Unavailable", retried},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, responding(row.status, row.body))
			_, err := obtain(t, webIdentity(t), client, retried)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if len(*calls) != row.attempts {
				t.Errorf("%d calls, want %d", len(*calls), row.attempts)
			}
		})
	}
}
