package oidc_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

func parsed(t *testing.T, payload string) idtoken.Token {
	t.Helper()
	result, err := oidc.ParseToken(secret.New(token(payload)))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestClaimsForTrustPolicies(t *testing.T) {
	got := parsed(t, `{"workflow":"w","iss":"https://x","jti":"1","iat":1,"nbf":1,"exp":2,"app_slug":"s","aud":"a","sub":"b"}`).Claims
	if want := []string{"app_slug", "aud", "sub", "workflow"}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := parsed(t, `{}`).Claims; len(got) != 0 {
		t.Errorf("got %v for a token without claims", got)
	}
}

func TestClaimValues(t *testing.T) {
	for value, want := range map[string]idtoken.Claim{
		`"plain"`:                             {Value: "plain"},
		`""`:                                  {},
		`["a"]`:                               {Value: `["a"]`, IsAltered: true},
		`["R&D","<"]`:                         {Value: `["R&D","<"]`, IsAltered: true},
		`null`:                                {IsAltered: true},
		`["a","b"]`:                           {Value: `["a","b"]`, IsAltered: true},
		`["a",1,true]`:                        {Value: `["a",1,true]`, IsAltered: true},
		`[]`:                                  {Value: "[]", IsAltered: true},
		`true`:                                {Value: "true", IsAltered: true},
		`4711`:                                {Value: "4711", IsAltered: true},
		`{"a":[1]}`:                           {Value: `{"a":[1]}`, IsAltered: true},
		`"a\nb"`:                              {Value: "a b", IsAltered: true},
		`"\u001b[31mx"`:                       {Value: "x", IsAltered: true},
		`" space "`:                           {Value: "space", IsAltered: true},
		`"` + strings.Repeat("ü", 5000) + `"`: {Value: strings.Repeat("ü", 5000)},
	} {
		if got := parsed(t, `{"claim":`+value+`}`).Claims["claim"]; got != want {
			t.Errorf("%s: got %+v, want %+v", value, got, want)
		}
	}
}

func TestClaimsOfOtherTypes(t *testing.T) {
	if got := parsed(t, `{"iss":7}`).Issuer; got != "" {
		t.Errorf("got issuer %q", got)
	}
	if got := parsed(t, `{}`).Expires; !got.IsZero() {
		t.Errorf("got the expiration %v for a token without exp", got)
	}
}

// The limit is that of STS.
func TestLongestToken(t *testing.T) {
	// The signature makes up the rest.
	parts := strings.Split(token(`{}`), ".")
	start := parts[0] + "." + parts[1] + "."
	longest := start + strings.Repeat("A", 20000-len(start))
	if _, err := oidc.ParseToken(secret.New(longest)); err != nil {
		t.Errorf("%d characters: got %v", len(longest), err)
	}
	_, err := oidc.ParseToken(secret.New(longest + "A"))
	if err == nil || !strings.Contains(err.Error(), "at most 20000 characters, got 20001") {
		t.Errorf("%d characters: got %v", len(longest)+1, err)
	}
}

// The standard library's base64 skips line breaks; STS does not.
func TestTokenWithLineBreaks(t *testing.T) {
	valid := token(`{"aud":"a"}`)
	for name, at := range map[string]int{"header": 4, "payload": strings.Index(valid, ".") + 4, "signature": strings.LastIndex(valid, ".") + 4} {
		for _, end := range []string{"\n", "\r\n"} {
			if _, err := oidc.ParseToken(secret.New(valid[:at] + end + valid[at:])); err == nil {
				t.Errorf("a token with %q in its %s was accepted", end, name)
			}
		}
	}
}

// An audience can be a list with one item (RFC 7519, section 4.1.3).
func TestAudience(t *testing.T) {
	for aud, want := range map[string]string{
		`"a"`: "a", `["a"]`: "a", `" a\u200b"`: " a\u200b", `["a","b"]`: "", `[]`: "", `5`: "", `[5]`: "", `null`: "",
	} {
		if got := parsed(t, `{"aud":`+aud+`}`).Audience; got != want {
			t.Errorf("%s: got %q, want %q", aud, got, want)
		}
	}
	if got := parsed(t, `{"aud":["a"]}`).Claims["aud"]; got != (idtoken.Claim{Value: "a"}) {
		t.Errorf("got %+v", got)
	}
}
