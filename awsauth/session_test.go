package awsauth_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
)

// Responses that STS would not send are rejected.
func TestResponsesAreChecked(t *testing.T) {
	const invalid = "STS returned no valid credentials"
	good := keysXML("ASIAEXAMPLE", "secret-canary", "session-canary")
	for name, row := range map[string]struct{ arn, keys, expiration, want string }{
		"no expiration":                    {sessionARN, good, "", "have expired or have no expiration"},
		"expired":                          {sessionARN, good, "<Expiration>1999-01-01T00:00:00Z</Expiration>", "have expired"},
		"ID is a space":                    {sessionARN, keysXML("&#32;", "s", "t"), expiration, invalid},
		"ID with a control character":      {sessionARN, keysXML("ASIA&#9;X", "s", "t"), expiration, invalid},
		"ID with a bidirectional override": {sessionARN, keysXML("ASIA\u202eX", "s", "t"), expiration, invalid},
		"key with a newline":               {sessionARN, keysXML("ASIAX", "one&#10;two", "t"), expiration, invalid},
		"no session token":                 {sessionARN, keysXML("ASIAX", "s", ""), expiration, invalid},
		"caller is not an ARN":             {"deploy", good, expiration, "not an ARN"},
		"caller with two lines":            {"arn:aws:sts::123456789012:x&#10;y", good, expiration, "not an ARN"},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, responding(200, assumed("AssumeRoleWithWebIdentity", row.arn, row.keys, row.expiration)))
			session, err := obtain(t, webIdentity(t), client, 2)
			if err == nil || !strings.Contains(err.Error(), row.want) || len(*calls) != 2 {
				t.Errorf("got %v, %v after %d calls; want %q", session, err, len(*calls), row.want)
			}
		})
	}
}

// By this machine's clock, which may be wrong, a session lasts as long as by the service's.
func TestExpirationByTheClockOfSTS(t *testing.T) {
	for name, row := range map[string]struct{ ahead, lifetime time.Duration }{
		"right": {0, time.Hour}, "ahead": {2 * time.Hour, time.Hour}, "behind": {-2 * time.Hour, time.Hour},
		"expired": {0, -time.Minute}, "expired, behind": {-2 * time.Hour, -time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := func() time.Time { return time.Now().Add(row.ahead) }
				expires := time.Now().Add(row.lifetime).UTC().Format("<Expiration>2006-01-02T15:04:05Z</Expiration>")
				response := assumed("AssumeRoleWithWebIdentity", sessionARN, keysXML("ASIAEXAMPLE", "s", "t"), expires)
				client, _ := stsServerAt(t, now, responding(200, response))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				session, err := webIdentity(t).Session(ctx, client, retry.Policy{})
				if isValid := row.lifetime > 0; isValid != (err == nil) {
					t.Fatalf("got %v", err)
				}
				if left := session.Expires.Sub(now()); err == nil && left != row.lifetime {
					t.Errorf("the session lasts for %s, want %s", left, row.lifetime)
				}
			})
		})
	}
}

// STS-compatible services may not return the caller, or their account IDs may have another form.
func TestOtherServices(t *testing.T) {
	for name, arn := range map[string]string{
		"no ARN":          "",
		"another account": "arn:aws:sts::RGW33567154695143645:assumed-role/deploy/session",
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := stsServer(t, responding(200, assumed("AssumeRoleWithWebIdentity", arn, keysXML("A", "!~", "t"), expiration)))
			session, err := obtain(t, webIdentity(t), client, 100)
			if err != nil || session.CallerARN != arn || session.AccountID != "" {
				t.Errorf("got %v, %v", session, err)
			}
		})
	}
}
