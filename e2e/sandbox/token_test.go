package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// An independent verifier finds the keys and accepts the token.
func TestTokenIsVerifiable(t *testing.T) {
	cloud := start(t, sandbox.Options{})
	token, err := cloud.MintToken("aud", nil)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := oidc.NewProvider(t.Context(), cloud.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: "aud"}).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil || claims["app_slug"] != sandbox.DefaultAppSlug {
		t.Errorf("%v, %v", claims, err)
	}
	if _, err := provider.Verifier(&oidc.Config{ClientID: "other"}).Verify(t.Context(), token); err == nil {
		t.Error("the verifier accepted a token for another audience")
	}
}

// requestToken calls the token endpoint and returns the status and the body of its response.
func requestToken(t *testing.T, cloud *sandbox.Sandbox, method, path, apiToken, contentType, body string) (int, []byte) {
	t.Helper()
	url := cloud.BuildURL() + path + "/id_token.json"
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("BUILD_API_TOKEN", apiToken)
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode, content
}

func TestTokenEndpoint(t *testing.T) {
	cloud := start(t, sandbox.Options{})
	for name, row := range map[string]struct {
		method, path, token, kind, body string
		status                          int
	}{
		"valid":       {"POST", "", cloud.BuildAPIToken(), "application/json", `{"aud":"x"}`, 200},
		"wrong token": {"POST", "", "other", "application/json", `{"aud":"x"}`, 401},
		"other build": {"POST", "x", cloud.BuildAPIToken(), "application/json", `{"aud":"x"}`, 404},
		"GET":         {"GET", "", cloud.BuildAPIToken(), "application/json", "", 405},
		"no JSON":     {"POST", "", cloud.BuildAPIToken(), "text/plain", `{"aud":"x"}`, 415},
		"no audience": {"POST", "", cloud.BuildAPIToken(), "application/json", `{}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := requestToken(t, cloud, row.method, row.path, row.token, row.kind, row.body)
			if status != row.status || (row.status != 200) != bytes.Contains(body, []byte("error_msg")) {
				t.Errorf("got %d %s, want %d", status, body, row.status)
			}
		})
	}
}

func TestSubject(t *testing.T) {
	for name, row := range map[string]struct {
		subject string
		claims  map[string]any
		want    string
	}{
		"app and workflow":     {"", nil, "app:0123456789abcdef:workflow:deploy"},
		"app and build number": {"{app_slug}/{build_number}", nil, "0123456789abcdef/4711"},
		"build only":           {"build:{build_number}", nil, "build:4711"},
		"no app_slug":          {"build:{build_number}", map[string]any{"app_slug": nil}, "build:4711"},
		"a missing claim":      {"app:{app_slug}", map[string]any{"app_slug": nil}, "app:"},
		"other claims":         {"{app_slug}/{build_number}", map[string]any{"app_slug": "other", "build_number": 7}, "other/7"},
		"overridden":           {"{app_slug}", map[string]any{"sub": "own"}, "own"},
	} {
		t.Run(name, func(t *testing.T) {
			config := sandbox.DefaultConfig()
			config.Subject = row.subject
			// No condition, so that every subject is let in.
			config.Accounts[0].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
				"Action":"sts:AssumeRoleWithWebIdentity","Principal":"*"}}`)
			response, err := exchange(t, start(t, sandbox.Options{Config: config}), row.claims, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := aws.ToString(response.SubjectFromWebIdentityToken); got != row.want {
				t.Errorf("sub is %q, want %q", got, row.want)
			}
		})
	}
}

// The endpoint ignores a sub that the caller requests, unless it is configured to use, replace, or reject it.
func TestRequestedSubject(t *testing.T) {
	const usual = "app:0123456789abcdef:workflow:deploy"
	for name, row := range map[string]struct {
		does   sandbox.RequestedSubject
		asked  string
		status int
		want   string // "" means neither the usual sub nor the requested one
	}{
		"ignored":           {sandbox.IgnoreSubject, "app:other", http.StatusOK, usual},
		"used":              {sandbox.UseSubject, "app:other", http.StatusOK, "app:other"},
		"not requested":     {sandbox.UseSubject, "", http.StatusOK, usual},
		"replaced":          {sandbox.ReplaceSubject, "app:other", http.StatusOK, ""},
		"nothing to reject": {sandbox.RejectSubject, "", http.StatusOK, usual},
		"rejected":          {sandbox.RejectSubject, "app:other", http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := sandbox.DefaultConfig()
			config.RequestedSubject = row.does
			cloud := start(t, sandbox.Options{Config: config})
			status, body := requestToken(t, cloud, "POST", "", cloud.BuildAPIToken(), "application/json", `{"aud":"x","sub":"`+row.asked+`"}`)
			if status != row.status {
				t.Fatalf("got %d %s, want %d", status, body, row.status)
			}
			if status != http.StatusOK {
				return
			}
			var response struct {
				Token string `json:"id_token"`
			}
			if err := json.Unmarshal(body, &response); err != nil {
				t.Fatal(err)
			}
			got := subjectOf(t, response.Token)
			if got != row.want && (row.want != "" || got == usual || got == row.asked || got == "") {
				t.Errorf("got sub %q, want %q", got, row.want)
			}
		})
	}
}

func TestUnknownRequestedSubject(t *testing.T) {
	config := sandbox.DefaultConfig()
	config.RequestedSubject = "other"
	if cloud, err := sandbox.Start(sandbox.Options{Config: config}); err == nil {
		_ = cloud.Close()
		t.Error("there is no error")
	}
}

func subjectOf(t *testing.T, token string) string {
	t.Helper()
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		t.Fatal(err)
	}
	return claims.Subject
}
