package awsauth_test

import (
	"strings"
	"testing"
	"time"
)

// Answers that STS would not give are rejected (issue 16, item 15).
func TestAnswersAreChecked(t *testing.T) {
	const invalid = "STS answered without a valid "
	good := keysXML("ASIAEXAMPLE", "secret-canary", "session-canary")
	for name, row := range map[string]struct{ arn, keys, expiration, want string }{
		"no expiration":                    {sessionARN, good, "", "have expired, or without an expiration"},
		"expired":                          {sessionARN, good, "<Expiration>1999-01-01T00:00:00Z</Expiration>", "have expired"},
		"ID is a space":                    {sessionARN, keysXML("&#32;", "s", "t"), expiration, invalid + "access key ID"},
		"ID with a control character":      {sessionARN, keysXML("ASIA&#9;X", "s", "t"), expiration, invalid + "access key ID"},
		"ID with a bidirectional override": {sessionARN, keysXML("ASIA\u202eX", "s", "t"), expiration, invalid + "access key ID"},
		"key with a newline":               {sessionARN, keysXML("ASIAX", "one&#10;two", "t"), expiration, invalid + "secret access key"},
		"no session token":                 {sessionARN, keysXML("ASIAX", "s", ""), expiration, invalid + "session token"},
		"caller is not an ARN":             {"deploy", good, expiration, "not an ARN"},
		"caller is too long":               {"arn:aws:sts::RGW33567154695143645:" + strings.Repeat("x", 2015), good, expiration, "not an ARN"},
		"caller with two lines":            {"arn:aws:sts::123456789012:x&#10;y", good, expiration, "not an ARN"},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, answering(200, assumed("AssumeRoleWithWebIdentity", row.arn, row.keys, row.expiration)))
			session, err := obtain(t, webIdentity(t), client, 2)
			if err == nil || !strings.Contains(err.Error(), row.want) || len(*calls) != 2 {
				t.Errorf("got %v, %v after %d calls; want %q", session, err, len(*calls), row.want)
			}
		})
	}
}

// The expiration is relative to the service's clock, because this machine's may be wrong.
func TestExpirationByTheClockOfSTS(t *testing.T) {
	now := func() time.Time { return time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC) }
	client, _ := stsServerAt(t, now, answering(200, goodAnswer()))
	if _, err := obtain(t, webIdentity(t), client, 100); err != nil {
		t.Error(err)
	}
}

// STS-compatible services may not return the caller, or their account IDs may have another form.
func TestOtherServices(t *testing.T) {
	for name, arn := range map[string]string{
		"no ARN":          "",
		"another account": "arn:aws:sts::RGW33567154695143645:assumed-role/deploy/session",
		"longest ARN":     "arn:aws:sts::RGW33567154695143645:" + strings.Repeat("x", 2014),
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := stsServer(t, answering(200, assumed("AssumeRoleWithWebIdentity", arn, keysXML("A", "!~", "t"), expiration)))
			session, err := obtain(t, webIdentity(t), client, 100)
			if err != nil || session.CallerARN != arn || session.AccountID != "" {
				t.Errorf("got %v, %v", session, err)
			}
		})
	}
}
