package awsauth_test

import (
	"slices"
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
	client, calls := stsServer(t, responding(200, assumed("AssumeRole", sessionARN, keysXML("NEXT", "s", "t"), expiration)))
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
			client, calls := stsServer(t, responding(403, awsError("InvalidClientTokenId", "The security token is invalid.")))
			_, err := obtain(t, assumedRole(t, row.expires), client, 100)
			if err == nil || len(*calls) != row.calls {
				t.Errorf("%v, %d calls, want %d", err, len(*calls), row.calls)
			}
		})
	}
}

// An error is about the action that AWS names, on the side that AWS names, and identifies the two roles once.
func TestErrorsOfAChain(t *testing.T) {
	const (
		next       = "arn:aws:iam::123456789012:role/one"
		user       = "User: " + sessionARN + " is not authorized to perform: "
		mayNot     = "deploy may not assume one"
		trust      = "Allow %s in the trust policy of " + next + ", with deploy or its account as the principal."
		inTrust    = "Ask an administrator of the role's account to allow %s on " + next + " in the role's trust policy, and to check its conditions."
		policies   = "Allow %s on " + next + " in the policies of deploy."
		conditions = "If the trust policy has conditions, check that they are met."
	)
	for name, row := range map[string]struct {
		code, message string
		bare          bool // no external ID and no tags
		cause, means  string
		advice        []string // the beginning of each, %s is the action
		action        string
	}{
		"no action": {"AccessDenied", "no", false, mayNot, "must allow sts:AssumeRole", []string{trust, policies, conditions}, "sts:AssumeRole"},
		"bare":      {"AccessDenied", user + "sts:AssumeRole on resource: " + next, true, mayNot, "Both the trust policy", []string{trust, policies, conditions}, "sts:AssumeRole"},
		"tags": {
			"AccessDenied", user + "sts:TagSession on resource: " + next, true, mayNot + " because sts:TagSession is not allowed",
			"must allow sts:TagSession", []string{trust, policies, conditions}, "sts:TagSession",
		},
		"source identity": {
			"AccessDenied", user + "sts:SetSourceIdentity on resource: " + next, false, mayNot + " because sts:SetSourceIdentity is not allowed",
			"The session has a source identity", []string{trust, policies, conditions}, "sts:SetSourceIdentity",
		},
		"its policies": {
			"AccessDenied", user + "sts:AssumeRole because no identity-based policy allows the sts:AssumeRole action", false, mayNot,
			"", []string{policies}, "sts:AssumeRole",
		},
		"tags, its policies": {
			"AccessDenied", user + "sts:TagSession because no identity-based policy allows the sts:TagSession action", true, mayNot,
			"an earlier session that passes on its tags", []string{policies}, "sts:TagSession",
		},
		"the trust policy": {
			"AccessDenied", user + "sts:AssumeRole because no role trust policy allows the sts:AssumeRole action", false, mayNot,
			"", []string{inTrust}, "sts:AssumeRole",
		},
		"a resource-based policy": {
			"AccessDenied", user + "sts:AssumeRole because no resource-based policy allows the sts:AssumeRole action", true, mayNot,
			"", []string{inTrust}, "sts:AssumeRole",
		},
		"the organization": {
			"AccessDenied", user + "sts:AssumeRole with an explicit deny in a service control policy", false, mayNot,
			"overrides every Allow statement", []string{"Ask an administrator of the AWS organization"}, "",
		},
		"a deny in the trust policy": {
			"AccessDenied", user + "sts:AssumeRole with an explicit deny in the role trust policy", false, mayNot,
			"overrides every Allow statement", []string{"Ask an administrator of the role's account to change the statement"}, "",
		},
		"MFA": {
			"AccessDenied", "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.", false,
			"one requires multi-factor authentication (MFA), which a build can't provide", "",
			[]string{"Remove the condition on MFA from the trust policy of " + next, "Or change the trust policy to trust the build's identity token"}, "",
		},
		"the duration": {
			"ValidationError", "exceeds the MaxSessionDuration", true, "the session would be longer than role one allows",
			"maximum session duration", []string{"Decrease session_duration", "Or increase"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := stsServer(t, responding(403, awsError(row.code, row.message)))
			role := assumedRole(t, time.Time{})
			if row.bare {
				role.ExternalID, role.Tags = awsauth.ExternalID{}, nil
			}
			_, err := obtain(t, role, client, 100)
			x := explain.Of(err)
			if want := row.code + " (STS, request ID 0a1b2c)\n" + row.message; x.Said != want {
				t.Errorf("got said %q, want %q", x.Said, want)
			}
			if x.Cause != "role 1 of 1 in role_chain: "+row.cause || !strings.Contains(strings.Join(x.Means, " "), row.means) {
				t.Errorf("got cause %q, means %q", x.Cause, x.Means)
			}
			startsWith := func(got, want string) bool { return strings.HasPrefix(got, strings.ReplaceAll(want, "%s", row.action)) }
			if !slices.EqualFunc(x.Do, row.advice, startsWith) {
				t.Errorf("got advice %q, want %q", x.Do, row.advice)
			}
		})
	}
}

func TestCallersHaveNames(t *testing.T) {
	for arn, want := range map[string]string{
		sessionARN: "deploy", "arn:aws:iam::123456789012:user/ci/robot": "robot", "arn:aws:iam::123456789012:root": "arn:aws:iam::123456789012:root", "": "the caller",
	} {
		client, _ := stsServer(t, responding(403, awsError("AccessDenied", "no")))
		role := assumedRole(t, time.Time{})
		role.Caller.CallerARN = arn
		_, err := obtain(t, role, client, 100)
		if got := explain.Of(err).Cause; got != "role 1 of 1 in role_chain: "+want+" may not assume one" {
			t.Errorf("%s: got %q", arn, got)
		}
	}
}
