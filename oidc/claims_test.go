package oidc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

func parsed(t *testing.T, payload string) oidc.Token {
	t.Helper()
	result, err := oidc.ParseToken(secret.New(token(payload)))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// The order is that of a person who compares the claims with a trust policy, and what no policy can test is not in the way.
func TestTestableClaimsComeInOrderWithoutThoseThatNoPolicyTests(t *testing.T) {
	var names []string
	for _, claim := range parsed(t, `{"workflow":"w","iss":"https://x","jti":"1","iat":1,"nbf":1,"exp":2,"app_slug":"s","aud":"a","sub":"b"}`).Testable() {
		names = append(names, claim.Name)
	}
	if want := []string{"aud", "sub", "app_slug", "workflow"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if got := parsed(t, `{}`).Testable(); len(got) != 0 {
		t.Errorf("a token without claims has %v", got)
	}
}

func TestTestableClaimsAreTextsForALog(t *testing.T) {
	for value, want := range map[string]oidc.Claim{
		`"plain"`:                            {Text: "plain"},
		`""`:                                 {},
		`null`:                               {},
		`["a","b"]`:                          {Text: "a,b", List: true},
		`["a",1,true]`:                       {Text: "a,1,true", List: true},
		`[]`:                                 {List: true},
		`true`:                               {Text: "true"},
		`4711`:                               {Text: "4711"},
		`{"a":[1]}`:                          {Text: `{"a":[1]}`},
		`"a\nb"`:                             {Text: "a b", Altered: true},
		`"\u001b[31mx"`:                      {Text: "[31mx", Altered: true},
		`" blank "`:                          {Text: "blank", Altered: true},
		`"` + strings.Repeat("x", 200) + `"`: {Text: strings.Repeat("x", 200)},
		`"` + strings.Repeat("ü", 201) + `"`: {Text: strings.Repeat("ü", 200) + "…", Altered: true},
	} {
		want.Name = "claim"
		if got := parsed(t, `{"claim":`+value+`}`).Testable(); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %+v, want %+v", value, got, want)
		}
	}
	if got := parsed(t, `{"a\nb`+strings.Repeat("x", 300)+`":"v"}`).Testable()[0].Name; strings.Contains(got, "\n") || len([]rune(got)) > 201 {
		t.Errorf("the name is %q", got)
	}
}

func TestClaimsOfOtherTypesAreNoText(t *testing.T) {
	if got := parsed(t, `{"iss":7}`).Issuer(); got != "" {
		t.Errorf("issuer %q", got)
	}
	if got := parsed(t, `{}`).Expires(); !got.IsZero() {
		t.Errorf("a token without an end ends at %v", got)
	}
	if got := fmt.Sprint(parsed(t, `{"iss":"https://i","aud":"a"}`)); got != `identity token of "https://i" for ["a"]` {
		t.Errorf("got %s", got)
	}
}

// The limit is STS's own: 20000 characters.
func TestParseTokenTakesSTSsLongestAndNoMore(t *testing.T) {
	short := token(`{}`)
	padding := strings.Repeat("A", 20000-len(short))
	padding = padding[:len(padding)-len(padding)%4] // whole groups keep the signature base64url
	longest := short + padding
	if _, err := oidc.ParseToken(secret.New(longest)); err != nil {
		t.Errorf("%d characters: %v", len(longest), err)
	}
	_, err := oidc.ParseToken(secret.New(longest + "AAAA"))
	if err == nil || !strings.Contains(err.Error(), "at most 20000 characters wanted, ") {
		t.Errorf("%d characters: %v", len(longest)+4, err)
	}
}

// A line's end in the midst of a token is a slip of copying. The standard library's base64 reads over it; STS does not.
func TestParseTokenRefusesLineEnds(t *testing.T) {
	valid := token(`{"aud":"a"}`)
	for name, at := range map[string]int{"header": 4, "payload": strings.Index(valid, ".") + 4, "signature": strings.LastIndex(valid, ".") + 4} {
		for _, end := range []string{"\n", "\r\n"} {
			if _, err := oidc.ParseToken(secret.New(valid[:at] + end + valid[at:])); err == nil {
				t.Errorf("a token with %q in its %s was taken", end, name)
			}
		}
	}
}
