package oidc_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

// token returns a JSON Web Token with a payload and a meaningless signature.
func token(payload string) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(payload)) + "." + part([]byte("signature"))
}

func TestParseToken(t *testing.T) {
	parsed, err := oidc.ParseToken(secret.New(token(`{"iss":"https://token.builds.bitrise.io","aud":"sts.amazonaws.com","exp":1700000000}`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := parsed.Issuer; got != "https://token.builds.bitrise.io" {
		t.Errorf("got issuer %s", got)
	}
	if got := parsed.Claims["aud"].Value; got != "sts.amazonaws.com" {
		t.Errorf("got audience %s", got)
	}
	if !parsed.Expires.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("got the expiration %v", parsed.Expires)
	}
	if got := fmt.Sprintf("%v %+v %#v", parsed, parsed, parsed); strings.Contains(got, "eyJ") {
		t.Errorf("the token is printed: %s", got)
	}
}

func TestTokenClaimsOfOtherShapes(t *testing.T) {
	for _, payload := range []string{`{}`, `{"exp":"soon"}`, `{"exp":-1}`, `{"exp":1e300}`} {
		parsed, err := oidc.ParseToken(secret.New(token(payload)))
		if err != nil || !parsed.Expires.IsZero() {
			t.Errorf("%s: got the expiration %v, %v", payload, parsed.Expires, err)
		}
	}
	for _, seconds := range []int64{0, 253402300799} {
		parsed, err := oidc.ParseToken(secret.New(token(fmt.Sprintf(`{"exp":%d}`, seconds))))
		if err != nil || parsed.Expires.Unix() != seconds {
			t.Errorf("%d: got the expiration %v, %v", seconds, parsed.Expires, err)
		}
	}
}

func TestParseTokenErrors(t *testing.T) {
	valid := token(`{}`)
	parts := strings.Split(valid, ".")
	for name, text := range map[string]string{
		"empty": "", "one part": "secretsecret", "two parts": "a.b", "four parts": valid + ".x",
		"empty signature": parts[0] + "." + parts[1] + ".", "payload not base64url": parts[0] + ".secret+/secret." + parts[2],
		"header not JSON": "c2VjcmV0." + parts[1] + "." + parts[2], "payload a list": parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`["secretsecret"]`)) + "." + parts[2],
		"payload null": parts[0] + ".bnVsbA." + parts[2], "signature not base64url": parts[0] + "." + parts[1] + ".secret+/secret", "too long": valid + strings.Repeat("x", 20000),
	} {
		_, err := oidc.ParseToken(secret.New(text))
		if err == nil || !strings.HasPrefix(err.Error(), "must be a JSON Web Token") {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes the token: %v", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{"", "a.b.c", token(`{"aud":["x"],"exp":1}`), token(`{"exp":1e400}`), "..", token(`{"iss":{}}`)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := oidc.ParseToken(secret.New(text))
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("got an error of %d bytes", len(err.Error()))
			}
			return
		}
		if parsed.Text.Reveal() != text {
			t.Error("the token's text differs from the input")
		}
	})
}

func TestParseBuildURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://app.bitrise.io/build/0123": "https://app.bitrise.io/build/0123", "https://app.bitrise.io/build/0123/": "https://app.bitrise.io/build/0123",
		"http://127.0.0.1:8080/x": "http://127.0.0.1:8080/x", "http://localhost/x": "http://localhost/x", "http://[::1]:1": "http://[::1]:1",
	} {
		if got, err := oidc.ParseBuildURL(in); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"http://app.bitrise.io/x": "must use https", "http://127.0.0.1.evil.example/": "must use https", "http://localhost.evil.example": "must use https", "http://evillocalhost/": "must use https",
		"ftp://x/": "starts with https://", "app.bitrise.io/build/1": "starts with https://", "https:///x": "starts with https://", "https://": "starts with https://",
		"https://user:hunter2hunter2@app.bitrise.io/": "without a user name", "https://x/?q=1": "without a user name", "https://x/#f": "without a user name", "https://x/?": "without a user name",
		"https://x/?token=hunter2": "without a user name", "https://x/#hunter2": "without a user name", "ftp://x/?hunter2": "without a user name",
		"x/?hunter2": "without a user name", "https:///x?hunter2": "without a user name", "http://x/?hunter2": "without a user name",
		"https://x/%zz": "must be a URL", "https://x y/": "must be a URL", "://": "must be a URL",
	} {
		_, err := oidc.ParseBuildURL(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error contains a secret: %v", err)
		}
	}
}

func FuzzParseBuildURL(f *testing.F) {
	for _, seed := range []string{"https://app.bitrise.io/build/1", "http://127.0.0.1", "http://[::1%25lo]/", "https://a@b/", "http://0x7f.1/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		parsed, err := oidc.ParseBuildURL(in)
		if err != nil {
			return
		}
		if again, err := oidc.ParseBuildURL(parsed.String()); err != nil || again != parsed {
			t.Errorf("%q was parsed as %q, which is parsed as %q, %v", in, parsed, again, err)
		}
		if !strings.HasPrefix(parsed.String(), "https://") && !strings.HasPrefix(parsed.String(), "http://127.") &&
			!strings.HasPrefix(parsed.String(), "http://[") && !strings.HasPrefix(strings.ToLower(parsed.String()), "http://localhost") {
			t.Errorf("%q was parsed as %q", in, parsed)
		}
	})
}
