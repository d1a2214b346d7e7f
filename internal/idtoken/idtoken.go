// Package idtoken has the type of an OpenID Connect identity token: its text and what it claims.
package idtoken

import (
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Token is an OpenID Connect identity token. Its text is a secret: until it expires, anyone who has it can act as the build.
type Token struct {
	Text secret.Text
	// Issuer is the claim iss, a URL that is safe to log, or empty if there is none.
	Issuer string
	// Audience is the claim aud, which RFC 7519 lets be one string or a list.
	Audience []string
	// Expires is when the token expires by this machine's clock, or zero if the token doesn't say.
	Expires time.Time
	// Claims are the claims that a trust policy can compare with a value, aud and sub first, then by name.
	Claims []Claim
}

// Claim is a claim of a token, as text.
type Claim struct {
	Name, Value string
	// IsList reports whether the claim is a list. Value then has its items, separated by commas.
	IsList bool
	// IsAltered reports whether Value differs from the claim because the claim isn't safe to log.
	IsAltered bool
}

// Claim returns the claim with a name, or the zero value if there is none.
func (t Token) Claim(name string) Claim {
	for _, claim := range t.Claims {
		if claim.Name == name {
			return claim
		}
	}
	return Claim{}
}
