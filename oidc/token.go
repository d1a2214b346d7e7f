// Package oidc gets the identity token of a Bitrise build and reads what any OpenID Connect token says.
//
// [Client.Token] asks the build's token endpoint; [ParseToken] takes a ready token of any issuer. The signature is not
// verified here: STS does that, with keys that it fetches itself, and nothing in the Step trusts a claim.
//
// The package may import internal packages. It knows neither AWS nor the Step's inputs.
package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// maxTokenBytes is STS's limit for WebIdentityToken: 4–20000 characters.
// See https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
const maxTokenBytes = 20000

// Token is a JSON Web Token (RFC 7519) in compact serialisation (RFC 7515, section 7.1), whose claims can be read. Its
// text is a secret: for as long as it lives, whoever has it is the build.
type Token struct {
	text   secret.Text
	claims map[string]any
	// expires is exp by this machine's clock, where the difference to the issuer's is known.
	expires time.Time
}

// ParseToken reads a token's claims. Its errors speak of the token's shape, never of its text.
func ParseToken(text secret.Text) (Token, error) {
	if n := len(text.Reveal()); n > maxTokenBytes {
		return Token{}, fmt.Errorf("not a JSON Web Token that STS takes: at most %d characters wanted, %d found", maxTokenBytes, n)
	}
	// encoding/base64 passes over line ends, STS does not.
	if strings.ContainsAny(text.Reveal(), "\r\n") {
		return Token{}, errors.New("not a JSON Web Token: there is a line end in the midst of it")
	}
	parts := strings.Split(text.Reveal(), ".")
	if len(parts) != 3 {
		return Token{}, fmt.Errorf("not a JSON Web Token: 3 parts between dots wanted, %d found", len(parts))
	}
	for i, name := range []string{"header", "payload", "signature"} {
		if parts[i] == "" {
			return Token{}, fmt.Errorf("not a JSON Web Token: its %s is empty", name)
		}
	}
	if _, err := decodePart(parts[0]); err != nil {
		return Token{}, fmt.Errorf("not a JSON Web Token: its header %w", err)
	}
	claims, err := decodePart(parts[1])
	if err != nil {
		return Token{}, fmt.Errorf("not a JSON Web Token: its payload %w", err)
	}
	if _, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return Token{}, errors.New("not a JSON Web Token: its signature is not base64url")
	}
	return Token{text: text, claims: claims}, nil
}

// decodePart reads a token's header or payload. The causes are left out of its errors, since they may quote.
func decodePart(part string) (map[string]any, error) {
	plain, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, errors.New("is not base64url")
	}
	var object map[string]any
	if err := json.Unmarshal(plain, &object); err != nil || object == nil {
		return nil, errors.New("is not a JSON object")
	}
	return object, nil
}

// Text returns the token itself.
func (t Token) Text() secret.Text { return t.text }

// Issuer returns the claim iss, an URL, fit for a log; empty if there is none.
func (t Token) Issuer() string {
	const longest = 300 // IAM takes providers of up to 255 characters

	issuer, _ := t.claims["iss"].(string)
	return text.OneLine(issuer, longest)
}

// Audience returns the claim aud, which RFC 7519 lets be a string or a list of strings.
func (t Token) Audience() []string {
	switch aud := t.claims["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var all []string
		for _, item := range aud {
			if s, ok := item.(string); ok {
				all = append(all, s)
			}
		}
		return all
	default:
		return nil
	}
}

// Expires returns when the token ends by this machine's clock, whose difference to the issuer's has been allowed for where
// it is known; zero if the token does not say.
func (t Token) Expires() time.Time {
	if t.expires.IsZero() {
		expires, _ := t.ExpiresAt()
		return expires
	}
	return t.expires
}

// ExpiresAt returns the claim exp; false if there is none, or none that is a time.
func (t Token) ExpiresAt() (time.Time, bool) {
	seconds, ok := t.claims["exp"].(float64)
	// The bound keeps the conversion below defined: it is the last second of the year 9999.
	if !ok || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

// Claim is a claim of a token, as text.
type Claim struct {
	Name, Text string
	// List tells whether the claim is a list; Text then joins its items with commas.
	List bool
	// Altered tells whether Text is not quite what the claim says, because that does not fit a log.
	Altered bool
}

// Testable returns the claims that a trust policy can compare with a text, aud and sub first, then by name. Left out are
// iss, which the policy's principal stands for, the times, and jti, which is no other token's.
func (t Token) Testable() []Claim {
	var claims []Claim
	for _, name := range slices.Sorted(maps.Keys(t.claims)) {
		switch name {
		case "iss", "iat", "nbf", "exp", "jti", "aud", "sub":
			continue
		}
		claims = append(claims, claimOf(name, t.claims[name]))
	}
	for _, name := range []string{"sub", "aud"} {
		if value, found := t.claims[name]; found {
			claims = append([]Claim{claimOf(name, value)}, claims...)
		}
	}
	return claims
}

// claimOf makes a claim fit for a log: of one line, and of a length that does not fill it.
func claimOf(name string, value any) Claim {
	const longest = 200

	claim := Claim{Name: text.OneLine(name, longest)}
	switch v := value.(type) {
	case string:
		claim.Text = v
	case []any:
		claim.List = true
		texts := make([]string, 0, len(v))
		for _, item := range v {
			texts = append(texts, fmt.Sprint(item))
		}
		claim.Text = strings.Join(texts, ",")
	case nil:
	default:
		text, _ := json.Marshal(v)
		claim.Text = string(text)
	}
	shown := text.OneLine(claim.Text, longest)
	claim.Text, claim.Altered = shown, shown != claim.Text
	return claim
}

// String says what the token is without showing it.
func (t Token) String() string {
	return fmt.Sprintf("identity token of %q for %s", t.Issuer(), text.OneLine(fmt.Sprintf("%q", t.Audience()), maxMessage))
}
