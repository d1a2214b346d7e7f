package awsauth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// assumedRole returns the only hop of a chain.
func assumedRole(t *testing.T, callerExpires time.Time) awsauth.AssumedRole {
	t.Helper()
	external, err := awsauth.ParseExternalID("external")
	if err != nil {
		t.Fatal(err)
	}
	tag, err := awsauth.ParseTag("team=mobile")
	if err != nil {
		t.Fatal(err)
	}
	return awsauth.AssumedRole{
		Role: roleARN(t, "arn:aws:iam::123456789012:role/one"), SessionName: sessionName(t), ExternalID: external, Tags: []awsauth.Tag{tag},
		Settings: awsauth.SessionSettings{Duration: time.Hour}, Hop: 1, Hops: 1,
		Caller: awsauth.Session{
			Credentials: credentials.Credentials{
				AccessKeyID: secret.New("FIRST"), SecretAccessKey: secret.New("s"), SessionToken: secret.New("t"), Expires: callerExpires,
			},
			CallerARN: sessionARN,
		},
	}
}

func TestAssumedRole(t *testing.T) {
	client, calls := stsServer(t, answering(200, assumed("AssumeRole", sessionARN, keysXML("NEXT", "s", "t"), expiration)))
	session, err := obtain(t, assumedRole(t, time.Time{}), client, 100)
	if err != nil || session.AccessKeyID.Reveal() != "NEXT" || session.CallerARN != sessionARN {
		t.Fatalf("got %v, %v", session, err)
	}
	call := (*calls)[0]
	for key, want := range map[string]string{
		"RoleArn": "arn:aws:iam::123456789012:role/one", "RoleSessionName": "session", "DurationSeconds": "3600", "ExternalId": "external",
		"Tags.member.1.Key": "team", "Tags.member.1.Value": "mobile",
	} {
		if got := call.Form.Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got := call.Header.Get("Authorization"); !strings.Contains(got, "Credential=FIRST/") {
		t.Errorf("got signature %q, want the caller's", got)
	}
}

// STS may not recognize credentials that it has just issued, but always recognizes an existing access key.
func TestNewCredentialsAreRetried(t *testing.T) {
	for name, row := range map[string]struct {
		expires time.Time
		calls   int
	}{"new credentials": {time.Now().Add(time.Hour), 8}, "an access key": {time.Time{}, 1}} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, answering(403, refused("InvalidClientTokenId", "The security token is invalid.")))
			_, err := obtain(t, assumedRole(t, row.expires), client, 100)
			if err == nil || len(*calls) != row.calls {
				t.Errorf("%v, %d calls, want %d", err, len(*calls), row.calls)
			}
		})
	}
}

func TestChainRefusals(t *testing.T) {
	const tags, external, condition = "session_tags are sent", "external_id is sent", "has a condition on sts:ExternalId"
	for name, row := range map[string]struct {
		code, message string
		bare          bool
		means         string
		advice        []string
		missing       string
	}{
		"denied":       {"AccessDenied", "not authorized", false, "Both sides must allow it", []string{tags, external}, condition},
		"denied, bare": {"AccessDenied", "not authorized", true, "Both sides must allow it", []string{condition}, tags},
		"the duration": {"ValidationError", "exceeds the MaxSessionDuration", true, "The Step requested 3600 seconds", nil, tags},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := stsServer(t, answering(403, refused(row.code, row.message)))
			role := assumedRole(t, time.Time{})
			if row.bare {
				role.ExternalID, role.Tags = awsauth.ExternalID{}, nil
			}
			_, err := obtain(t, role, client, 100)
			x := explain.Of(err)
			do := strings.Join(x.Do, "\n")
			if !strings.Contains(x.Said, "hop 1 of 1, "+sessionARN+" assumes arn:aws:iam::123456789012:role/one: STS answered "+row.code) {
				t.Errorf("got said %q", x.Said)
			}
			if !strings.HasPrefix(x.Means[0], "Hop 1 of 1 of role_chain: ") || !strings.Contains(strings.Join(x.Means, " "), row.means) {
				t.Errorf("got means %q", x.Means)
			}
			for _, advice := range row.advice {
				if strings.Count(do, advice) != 1 {
					t.Errorf("the advice %q is missing or is there twice:\n%s", advice, do)
				}
			}
			if strings.Contains(do, row.missing) {
				t.Errorf("the advice %q must not be there:\n%s", row.missing, do)
			}
		})
	}
}
