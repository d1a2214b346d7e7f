// Package idtoken has the type of an OpenID Connect identity token: its text and what it claims.
package idtoken

import (
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Token is an OpenID Connect identity token. Its text is a secret: until it expires, anyone who has it can act as the build.
type Token struct {
	Text secret.Text
	// Issuer is the claim iss, a URL that is safe to log, or empty if there is none.
	Issuer string
	// Audience is the claim aud, which may not be safe to log. It is empty if there is none, or several.
	Audience string
	// Expires is when the token expires by this machine's clock, or zero if the token doesn't say.
	Expires time.Time
	// Claims are the claims that a trust policy can compare with a value, by name.
	Claims map[string]Claim
}

// Claim is a claim of a token, as text that is safe to log.
type Claim struct {
	Value string
	// IsAltered reports whether Value differs from the claim, because the claim is not a string, or not safe to log.
	IsAltered bool
}

// Provider returns the name of the issuer's provider in IAM, which is the issuer without the scheme. IAM keeps a trailing slash.
func (t Token) Provider() string {
	if _, host, found := strings.Cut(t.Issuer, "://"); found {
		return host
	}
	return t.Issuer
}
