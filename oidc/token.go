package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// ParseToken parses a JSON Web Token (RFC 7519) in compact serialization (RFC 7515, section 7.1).
// It does not verify the signature: STS does, with keys that it fetches itself, and nothing in the
// Step trusts a claim. Errors describe the token's format and never quote it.
func ParseToken(s secret.Text) (idtoken.Token, error) {
	// STS: WebIdentityToken has 4 to 20000 characters,
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html.
	const longest = 20000

	revealed := s.Reveal()
	if n := len(revealed); n > longest {
		return idtoken.Token{}, fmt.Errorf("must be a JSON Web Token of at most %d characters, got %d", longest, n)
	}
	// encoding/base64 skips line breaks; STS does not.
	if strings.ContainsAny(revealed, "\r\n") {
		return idtoken.Token{}, errors.New("must be a JSON Web Token on one line, got a line break in it")
	}
	parts := strings.Split(revealed, ".")
	if len(parts) != 3 {
		return idtoken.Token{}, fmt.Errorf("must be a JSON Web Token: three parts separated by dots, got %d", len(parts))
	}
	if _, err := decodeObject(parts[0]); err != nil {
		return idtoken.Token{}, fmt.Errorf("must be a JSON Web Token, but its header %w", err)
	}
	claims, err := decodeObject(parts[1])
	if err != nil {
		return idtoken.Token{}, fmt.Errorf("must be a JSON Web Token, but its payload %w", err)
	}
	if _, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil || parts[2] == "" {
		return idtoken.Token{}, errors.New("must be a JSON Web Token, but its signature is not base64url")
	}
	if list, isList := claims["aud"].([]any); isList && len(list) == 1 {
		claims["aud"] = list[0] // which means the same (RFC 7519, section 4.1.3)
	}
	issuer, _ := claims["iss"].(string)
	audience, _ := claims["aud"].(string)
	return idtoken.Token{
		Text: s, Issuer: text.Line(issuer), Audience: audience, Expires: expiry(claims), Claims: policyClaims(claims),
	}, nil
}

// decodeObject decodes a token's header or payload. Its errors don't quote the token.
func decodeObject(part string) (map[string]any, error) {
	decoded, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return nil, errors.New("is not base64url")
	}
	var object map[string]any
	if err := json.Unmarshal(decoded, &object); err != nil || object == nil {
		return nil, errors.New("is not a JSON object")
	}
	return object, nil
}

// expiry returns the claim exp, or zero if it isn't a time.
func expiry(claims map[string]any) time.Time {
	const lastOfYear9999 = 253402300799 // keeps the conversion defined

	seconds, ok := claims["exp"].(float64)
	if !ok || seconds < 0 || seconds > lastOfYear9999 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

// policyClaims returns the claims that a trust policy can compare with a value. It leaves out iss,
// which is the policy's principal, the times, and jti, which is different in every token.
func policyClaims(claims map[string]any) map[string]idtoken.Claim {
	all := map[string]idtoken.Claim{}
	for name, value := range claims {
		if !slices.Contains([]string{"iss", "iat", "nbf", "exp", "jti"}, name) {
			all[name] = claim(value)
		}
	}
	return all
}

// claim makes a claim safe to log. The log truncates it, after it has removed secrets.
func claim(value any) idtoken.Claim {
	full, isString := value.(string)
	if !isString && value != nil {
		var encoded strings.Builder
		encoder := json.NewEncoder(&encoded)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(value) // what was decoded from JSON can be encoded
		full = strings.TrimSpace(encoded.String())
	}
	line := text.Line(full)
	return idtoken.Claim{Value: line, IsAltered: !isString || line != full}
}
