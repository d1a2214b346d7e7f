package dockerlogin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go/middleware"
)

// Responses that are not logins are errors, and are never quoted (16.14).
func TestInvalidResponses(t *testing.T) {
	const (
		unknown  = `{"__type":"UnrecognizedClientException","message":"invalid"}`
		noToken  = "the response of ECR contains no authorization token"
		badToken = "the response of ECR contains an authorization token that is not AWS:PASSWORD in base64"
		expired  = "the response of ECR contains an authorization token that has expired, or has no expiration"
		badURL   = "the response of ECR contains no valid URL of the account's registry"
	)
	valid := encoded("AWS:canary-password")
	expiring := func(expiry string) string {
		return `{"authorizationData":[{"authorizationToken":"` + valid + `",` + expiry + `"proxyEndpoint":"https://x"}]}`
	}
	for name, row := range map[string]struct {
		status int
		body   string
		want   string
		isNew  bool // the credentials
		calls  int  // of at most three attempts
	}{
		"denied":            {400, denied("ecr:GetAuthorizationToken", ""), "ECR returned AccessDeniedException: User: x is not", true, 1},
		"throttled":         {400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`, "ThrottlingException", false, 3},
		"new credentials":   {400, unknown, "UnrecognizedClientException", true, 3},
		"old credentials":   {400, unknown, "UnrecognizedClientException", false, 1},
		"not JSON":          {200, `<html>canary`, "the response of ECR could not be read", false, 3},
		"not JSON, 400":     {400, `<html>canary`, "ECR returned 400 Bad Request", false, 1},
		"no code, 500":      {500, `{}`, "ECR returned 500 Internal Server Error", false, 3},
		"data is a text":    {200, `{"authorizationData":"canary"}`, "the response of ECR could not be read", false, 3},
		"no data":           {200, `{"authorizationData":[]}`, noToken, false, 3},
		"no token":          {200, `{"authorizationData":[{"proxyEndpoint":"https://x"}]}`, noToken, false, 3},
		"not base64":        {200, authorized("canary%", "https://x"), badToken, false, 3},
		"valid, then not":   {200, authorized(valid+"%canary", "https://x"), badToken, false, 3},
		"no colon":          {200, authorized(encoded("canary"), "https://x"), badToken, false, 3},
		"no username":       {200, authorized(encoded(":canary"), "https://x"), badToken, false, 3},
		"another username":  {200, authorized(encoded("aws:canary"), "https://x"), badToken, false, 3},
		"no password":       {200, authorized(encoded("canary:"), "https://x"), badToken, false, 3},
		"expired":           {200, expiring(`"expiresAt":900000000,`), expired, false, 3},
		"no expiration":     {200, expiring(""), expired, false, 3},
		"no registry":       {200, authorized(valid, ""), badURL, false, 3},
		"URL with path":     {200, authorized(valid, "https://x/canary-password"), badURL, false, 3},
		"URL with password": {200, authorized(valid, "https://AWS:canary-password@x"), badURL, false, 3},
		"URL with query":    {200, authorized(valid, "https://x?canary-password"), badURL, false, 3},
		"URL with port":     {200, authorized(valid, "https://x:canary-password"), badURL, false, 3},
		"URL with escape":   {200, authorized(valid, "https://%zzcanary-password"), badURL, false, 3},
		"not a URL":         {200, authorized(valid, "canary-password"), badURL, false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			fake := always(row.status, row.body)
			request := newRequest(own(t))
			if row.isNew {
				request.Credentials.Expires = time.Now().Add(time.Hour)
			}
			_, err := obtain(t, fake.client(t), 3, request)
			if err == nil || !strings.HasPrefix(err.Error(), "get a login to ECR in eu-west-1: ") || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %q", err, row.want)
			} else if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes the response: %v", err)
			}
			if len(fake.calls) != row.calls {
				t.Errorf("got %d calls, want %d", len(fake.calls), row.calls)
			}
		})
	}
}

// ECR Public's responses are structured differently from ECR's.
func TestErrorsOfECRPublic(t *testing.T) {
	for name, row := range map[string]struct{ body, want string }{
		"no data":     {`{}`, "the response of ECR Public contains no authorization token"},
		"no token":    {`{"authorizationData":{}}`, "the response of ECR Public contains no authorization token"},
		"not a token": {`{"authorizationData":{"authorizationToken":"canary"}}`, "contains an authorization token that is not AWS:PASSWORD"},
		"expired": {
			`{"authorizationData":{"authorizationToken":"` + encoded("AWS:canary") + `","expiresAt":900000000}}`,
			"contains an authorization token that has expired",
		},
		"not JSON": {`canary`, "the response of ECR Public could not be read"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := always(200, row.body)
			_, err := obtain(t, fake.client(t), 2, newRequest(registries(t, "public.ecr.aws")...))
			if err == nil || !strings.Contains(err.Error(), row.want) || len(fake.calls) != 2 {
				t.Errorf("got %v in %d calls, want %q in 2", err, len(fake.calls), row.want)
			} else if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes the response: %v", err)
			}
		})
	}
}

// Whether a token has expired depends on the service's clock, because this machine's may be wrong.
func TestExpiryByTheServersClock(t *testing.T) {
	expires := time.Unix(4000000000, 0)
	for name, row := range map[string]struct {
		now   time.Time
		valid bool
	}{
		"before": {expires.Add(-time.Minute), true},
		"after":  {expires.Add(time.Minute), false},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeECR{handlers: map[string]http.HandlerFunc{"": func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", row.now.UTC().Format(http.TimeFormat))
				reply(200, authorized(encoded("AWS:x"), "https://"+host))(w, r)
			}}}
			if _, err := obtain(t, fake.client(t), 1, newRequest(own(t))); (err == nil) != row.valid {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNewCredentialsAreNotRetriedForever(t *testing.T) {
	fake := always(400, `{"__type":"UnrecognizedClientException","message":"invalid"}`)
	request := newRequest(own(t))
	request.Credentials.Expires = time.Now().Add(time.Hour)
	if _, err := obtain(t, fake.client(t), 100, request); err == nil || len(fake.calls) != 8 {
		t.Errorf("got %d calls, %v; want 8", len(fake.calls), err)
	}
}

func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{"", "QVdTOng=", "Og==", "QQ==", "%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		expires := time.Unix(4000000000, 0)
		login, err := parseLogin(types.AuthorizationData{AuthorizationToken: &in, ExpiresAt: &expires}, middleware.Metadata{})
		if err == nil && login.Password.IsEmpty() {
			t.Errorf("%q was parsed as a login without a password", in)
		}
		if err != nil && len(in) >= 8 && strings.Contains(err.Error(), in) {
			t.Errorf("the error quotes the token: %v", err)
		}
	})
}
