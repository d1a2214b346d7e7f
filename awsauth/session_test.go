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
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// stsServer starts a server that answers every call with the result of a function, and records the calls.
func stsServer(t *testing.T, answer func(n int, form url.Values) (int, string)) (*awsauth.Client, *[]*http.Request) {
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
	return awsauth.NewClient(config), &calls
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

func goodAnswer() string {
	return assumed("AssumeRoleWithWebIdentity", sessionARN, keysXML("ASIAEXAMPLE", "secret-canary", "session-canary"), expiration)
}

func identity(arn, account string) string {
	return "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>" + arn + "</Arn><Account>" + account + "</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
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

func webIdentity(t *testing.T, token func(context.Context) (idtoken.Token, error)) awsauth.WebIdentity {
	t.Helper()
	return awsauth.WebIdentity{
		Role: roleARN(t, "arn:aws:iam::123456789012:role/deploy"), SessionName: sessionName(t), Token: token, Retry: noWait(), Now: time.Now,
	}
}

func oneToken(context.Context) (idtoken.Token, error) {
	return idtoken.Token{Text: secret.New("token-canary")}, nil
}

func TestWebIdentityIsExchangedUnsigned(t *testing.T) {
	client, calls := stsServer(t, answering(200, goodAnswer()))
	session, err := client.AssumeRoleWithWebIdentity(t.Context(), webIdentity(t, oneToken))
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
	client, calls := stsServer(t, answering(200, goodAnswer()))
	w := webIdentity(t, oneToken)
	policy, err := awsauth.ParseSessionPolicy("{ \"Version\": \"2012-10-17\" }")
	if err != nil {
		t.Fatal(err)
	}
	managed, err := awsauth.ParsePolicyARN("arn:aws:iam::aws:policy/ReadOnlyAccess")
	if err != nil {
		t.Fatal(err)
	}
	w.Settings = awsauth.SessionSettings{Duration: 900 * time.Second, Policy: policy, ManagedPolicies: []awsauth.PolicyARN{managed}}
	if _, err := client.AssumeRoleWithWebIdentity(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	form := (*calls)[0].Form
	// The policy is compacted before its length is checked and it is sent (issue 16, item 22).
	if form.Get("DurationSeconds") != "900" || form.Get("Policy") != `{"Version":"2012-10-17"}` || form.Get("PolicyArns.member.1.arn") != managed.String() {
		t.Errorf("got form %v", form)
	}
}

func TestRefusals(t *testing.T) {
	const retried = 3
	for name, row := range map[string]struct {
		status   int
		body     string
		want     string
		attempts int
	}{
		"denied": {403, refused("AccessDenied", "Not authorized"),
			"assume role arn:aws:iam::123456789012:role/deploy: STS answered AccessDenied: Not authorized (request ID 0a1b2c)", 1},
		"wrong audience":      {400, refused("InvalidIdentityToken", "Incorrect token audience"), "Incorrect token audience", 1},
		"key not retrieved":   {400, refused("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider"), "retrieve verification key", retried},
		"throttled":           {400, refused("Throttling", "Rate exceeded"), "STS answered Throttling: Rate exceeded", retried},
		"provider":            {400, refused("IDPCommunicationError", "timed out"), "IDPCommunicationError", retried},
		"no credentials":      {200, "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>", "STS answered without a valid access key ID", retried},
		"cut short":           {200, goodAnswer()[:300], "the answer of STS, 200 OK, could not be read", retried},
		"a page, unavailable": {503, "<html>", "the answer of STS, 503 Service Unavailable, could not be read", retried},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, answering(row.status, row.body))
			w := webIdentity(t, oneToken)
			w.Retry = upTo(retried, calls)
			_, err := client.AssumeRoleWithWebIdentity(t.Context(), w)
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if len(*calls) != row.attempts {
				t.Errorf("%d calls, want %d", len(*calls), row.attempts)
			}
		})
	}
}

// Answers that STS would not give are rejected (issue 16, item 15).
func TestAnswersAreChecked(t *testing.T) {
	const invalid = "STS answered without a valid "
	good := keysXML("ASIAEXAMPLE", "secret-canary", "session-canary")
	for name, row := range map[string]struct{ arn, keys, expiration, want string }{
		"no expiration":                    {sessionARN, good, "", "have expired, or without an expiration"},
		"expired":                          {sessionARN, good, "<Expiration>2001-01-01T00:00:00Z</Expiration>", "have expired"},
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
			w := webIdentity(t, oneToken)
			w.Retry = upTo(2, calls)
			session, err := client.AssumeRoleWithWebIdentity(t.Context(), w)
			if err == nil || !strings.Contains(err.Error(), row.want) || len(*calls) != 2 {
				t.Errorf("got %v, %v after %d calls; want %q", session, err, len(*calls), row.want)
			}
		})
	}
}

// The expiration is relative to the service's clock, because this machine's may be wrong.
func TestExpirationByTheClockOfSTS(t *testing.T) {
	client, _ := stsServer(t, answering(200, goodAnswer()))
	w := webIdentity(t, oneToken)
	w.Now = func() time.Time { return time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC) }
	if _, err := client.AssumeRoleWithWebIdentity(t.Context(), w); err != nil {
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
			session, err := client.AssumeRoleWithWebIdentity(t.Context(), webIdentity(t, oneToken))
			if err != nil || session.CallerARN != arn || session.AccountID != "" {
				t.Errorf("got %v, %v", session, err)
			}
		})
	}
}

func TestStaleTokensAreReplaced(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for name, row := range map[string]struct {
		expires  time.Time
		onlyOne  bool
		requests int
	}{
		"about to expire":                 {now.Add(14 * time.Second), false, 2},
		"valid":                           {now.Add(16 * time.Second), false, 1},
		"unknown expiration":              {time.Time{}, false, 1},
		"about to expire, no other token": {now.Add(time.Second), true, 1},
		"expired, other token available":  {now, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, func(n int, _ url.Values) (int, string) {
				if n == 1 {
					return 400, refused("Throttling", "Rate exceeded")
				}
				return 200, goodAnswer()
			})
			requests := 0
			w := webIdentity(t, func(context.Context) (idtoken.Token, error) {
				requests++
				return idtoken.Token{Text: secret.New(fmt.Sprintf("token-%d", requests)), Expires: row.expires}, nil
			})
			w.Now, w.IsOnlyToken = func() time.Time { return now }, row.onlyOne
			if _, err := client.AssumeRoleWithWebIdentity(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			if got := (*calls)[1].Form.Get("WebIdentityToken"); requests != row.requests || got != fmt.Sprintf("token-%d", row.requests) {
				t.Errorf("got %d token requests, and the token %q was sent; want %d requests", requests, got, row.requests)
			}
		})
	}
}

func TestTokenErrorIsReturned(t *testing.T) {
	want := errors.New("no token")
	client, calls := stsServer(t, nil)
	_, err := client.AssumeRoleWithWebIdentity(t.Context(), webIdentity(t, func(context.Context) (idtoken.Token, error) { return idtoken.Token{}, want }))
	if !errors.Is(err, want) || len(*calls) != 0 {
		t.Errorf("got %v in %d calls", err, len(*calls))
	}
}

func TestAccessKeyIsVerified(t *testing.T) {
	key := credentials.Credentials{AccessKeyID: secret.New("AKIAEXAMPLECANARY"), SecretAccessKey: secret.New("secret-canary")}
	for name, row := range map[string]struct {
		status  int
		body    string
		account string
		want    string
		calls   int
	}{
		"a user":          {200, identity("arn:aws:iam::012345678901:user/ci", "012345678901"), "012345678901", "", 1},
		"no account":      {200, identity("arn:aws:iam::012345678901:user/ci", ""), "012345678901", "", 1},
		"no ARN":          {200, identity("", "012345678901"), "012345678901", "", 1},
		"nothing":         {200, identity("", ""), "", "did not say whose", 2},
		"11 digits":       {200, identity("", "12345678901"), "", "not the account", 2},
		"another account": {200, identity("arn:aws:iam::012345678901:user/ci", "123456789012"), "", "not the account", 2},
		"unknown":         {403, refused("InvalidClientTokenId", "The security token is invalid."), "", "STS answered InvalidClientTokenId", 1},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, answering(row.status, row.body))
			session, err := client.VerifyAccessKey(t.Context(), key, upTo(2, calls))
			if (err == nil) != (row.want == "") || (err != nil && !strings.Contains(err.Error(), "verify the access key: ")) ||
				(err != nil && !strings.Contains(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
			if session.AccountID != row.account || len(*calls) != row.calls {
				t.Errorf("got account %q in %d calls", session.AccountID, len(*calls))
			}
			got := (*calls)[0].Header.Get("Authorization")
			if !strings.Contains(got, "Credential=AKIAEXAMPLECANARY/") || !strings.Contains(got, "/eu-central-1/sts/aws4_request") {
				t.Errorf("got signature %q", got)
			}
		})
	}
}

func chain(t *testing.T, roles ...string) awsauth.Chain {
	t.Helper()
	external, err := awsauth.ParseExternalID("external")
	if err != nil {
		t.Fatal(err)
	}
	tag, err := awsauth.ParseTag("team=mobile")
	if err != nil {
		t.Fatal(err)
	}
	c := awsauth.Chain{
		SessionName: sessionName(t), ExternalID: external, Tags: []awsauth.Tag{tag}, Settings: awsauth.SessionSettings{Duration: time.Hour},
		Retry: noWait(), Now: time.Now, Assumed: func(int, awsauth.Session) {},
	}
	for _, role := range roles {
		c.Roles = append(c.Roles, roleARN(t, role))
	}
	return c
}

func firstSession(expires time.Time) awsauth.Session {
	return awsauth.Session{
		Credentials: credentials.Credentials{AccessKeyID: secret.New("FIRST"), SecretAccessKey: secret.New("s"), SessionToken: secret.New("t"), Expires: expires},
		CallerARN:   sessionARN,
	}
}

func TestChain(t *testing.T) {
	client, calls := stsServer(t, func(n int, _ url.Values) (int, string) {
		return 200, assumed("AssumeRole", sessionARN, keysXML(fmt.Sprintf("HOP%d", n), "s", "t"), expiration)
	})
	c := chain(t, "arn:aws:iam::123456789012:role/one", "arn:aws:iam::123456789012:role/two")
	var hops []string
	c.Assumed = func(hop int, s awsauth.Session) {
		hops = append(hops, fmt.Sprintf("%d %s", hop, s.AccessKeyID.Reveal()))
	}
	session, err := client.AssumeRoles(t.Context(), c, firstSession(time.Time{}))
	if err != nil || session.AccessKeyID.Reveal() != "HOP2" || strings.Join(hops, " ") != "1 HOP1 2 HOP2" {
		t.Fatalf("got %v, %v, hops %v", session, err, hops)
	}
	for i, want := range []struct{ signer, role, duration string }{
		{"FIRST", "arn:aws:iam::123456789012:role/one", ""}, {"HOP1", "arn:aws:iam::123456789012:role/two", "3600"},
	} {
		call := (*calls)[i]
		if !strings.Contains(call.Header.Get("Authorization"), "Credential="+want.signer+"/") || call.Form.Get("RoleArn") != want.role ||
			call.Form.Get("DurationSeconds") != want.duration || call.Form.Get("ExternalId") != "external" ||
			call.Form.Get("Tags.member.1.Key") != "team" || call.Form.Get("Tags.member.1.Value") != "mobile" || call.Form.Get("RoleSessionName") != "session" {
			t.Errorf("call %d: got %v", i+1, call.Form)
		}
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
			_, err := client.AssumeRoles(t.Context(), chain(t, "arn:aws:iam::123456789012:role/one"), firstSession(row.expires))
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
		"denied":          {"AccessDenied", "not authorized", false, "AWS does not say which of them is missing", []string{tags, external}, condition},
		"denied, bare":    {"AccessDenied", "not authorized", true, "AWS does not say which of them is missing", []string{condition}, tags},
		"denied by":       {"AccessDenied", "not authorized with an explicit deny", true, "AWS names the kind of policy", []string{condition}, tags},
		"tags are denied": {"AccessDenied", "to perform: sts:TagSession", false, "AWS names the kind of policy", []string{tags, external}, condition},
		"the duration":    {"ValidationError", "exceeds the MaxSessionDuration", true, "The Step requested 3600 seconds", nil, tags},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := stsServer(t, answering(403, refused(row.code, row.message)))
			c := chain(t, "arn:aws:iam::123456789012:role/one")
			if row.bare {
				c.ExternalID, c.Tags = awsauth.ExternalID{}, nil
			}
			_, err := client.AssumeRoles(t.Context(), c, firstSession(time.Time{}))
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

// For each of AWS's answers, a row of the tables is found, and all placeholders in it are replaced.
func TestExplanations(t *testing.T) {
	for code, messages := range map[string][]string{
		"AccessDenied":            {"Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		"InvalidIdentityToken":    {"No OpenIDConnect provider found in your account", "Incorrect token audience", "Couldn't retrieve verification key", "The ID Token provided is not a valid JWT", "the signature is invalid", "Something new"},
		"ExpiredTokenException":   {"Token expired"},
		"IDPRejectedClaim":        {"The token was revoked"},
		"IDPCommunicationError":   {"timed out"},
		"ValidationError":         {"exceeds the MaxSessionDuration set for this role", "1 validation error detected"},
		"RegionDisabledException": {"STS is not activated in this region"},
		"MalformedPolicyDocument": {"Syntax errors in policy"},
		"PackedPolicyTooLarge":    {"Packed size of session tags consumes 118%"},
		"Throttling":              {"Rate exceeded"},
	} {
		seen := map[string]bool{}
		for _, message := range messages {
			t.Run(code+" "+message, func(t *testing.T) {
				client, calls := stsServer(t, answering(400, refused(code, message)))
				w := webIdentity(t, func(context.Context) (idtoken.Token, error) {
					return idtoken.Token{
						Text: secret.New("token"), Issuer: "https://token.builds.bitrise.io/", Claims: []idtoken.Claim{{Name: "aud", Value: "my-audience"}},
					}, nil
				})
				w.Retry = upTo(1, calls)
				_, err := client.AssumeRoleWithWebIdentity(t.Context(), w)
				x := explain.Of(err)
				all := x.Cause + strings.Join(x.Means, "") + strings.Join(x.Do, "")
				if x.Said == "" || strings.Contains(x.Cause, "STS answered") || len(x.Do) == 0 || strings.ContainsAny(all, "{}") || seen[x.Cause] {
					t.Errorf("got %+v", x)
				}
				seen[x.Cause] = true
			})
		}
	}
}

func TestUnknownRefusals(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		code   string
		want   string
	}{
		"no code":        {404, "", "the answer does not look like one of AWS's"},
		"a new code":     {400, "SomethingNew", "Look up the code in AWS's documentation of STS"},
		"a server error": {500, "InternalFailure", "Run the build again later"},
	} {
		t.Run(name, func(t *testing.T) {
			client, calls := stsServer(t, answering(row.status, refused(row.code, "no")))
			_, err := client.VerifyAccessKey(t.Context(), firstSession(time.Time{}).Credentials, upTo(1, calls))
			var refusal *awserr.Refusal
			if x := explain.Of(err); !errors.As(err, &refusal) || x.Said != "" || len(x.Do) != 1 || !strings.Contains(x.Do[0], row.want) {
				t.Errorf("got %v, %+v", err, x)
			}
		})
	}
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
			if got, err := awsauth.NewClient(config).Endpoint(t.Context()); err != nil || got != row.want {
				t.Errorf("got %s, %v; want %s", got, err, row.want)
			}
		})
	}
}

func TestRequestedDurationIsExplained(t *testing.T) {
	for want, duration := range map[string]time.Duration{"requested AWS's default, 3600 seconds (": 0, "requested 7200 seconds (": 2 * time.Hour} {
		t.Run(want, func(t *testing.T) {
			client, _ := stsServer(t, answering(400, refused("ValidationError", "exceeds the MaxSessionDuration set for this role")))
			w := webIdentity(t, oneToken)
			w.Settings.Duration = duration
			_, err := client.AssumeRoleWithWebIdentity(t.Context(), w)
			if text := strings.Join(explain.Of(err).Means, " "); !strings.Contains(text, want) {
				t.Errorf("got %s", text)
			}
		})
	}
}
