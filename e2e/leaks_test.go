package e2e

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

// leak returns how a text shows one of the secrets: raw, in base64, or encoded for a URL; empty if it shows none.
func leak(text string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) < 8 {
			continue // too short to tell from chance
		}
		for name, form := range map[string]string{
			"raw":               secret,
			"in base64":         strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
			"in base64url":      strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(secret)), "="),
			"encoded for a URL": url.QueryEscape(secret),
		} {
			if strings.Contains(text, form) {
				return name
			}
		}
		// A part of a secret is a leak too. Half of it cannot stand there by chance.
		if len(secret) >= 32 && (strings.Contains(text, secret[:len(secret)/2]) || strings.Contains(text, secret[len(secret)/2:])) {
			return "in part"
		}
	}
	return ""
}

func TestLeakFindsEveryForm(t *testing.T) {
	const secret = "a secret/with+signs&of=all kinds in it"
	for name, text := range map[string]string{
		"raw":               "x" + secret + "x",
		"in base64":         base64.StdEncoding.EncodeToString([]byte(secret)),
		"in base64url":      base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"encoded for a URL": url.QueryEscape(secret),
		"in part":           "x" + secret[:25] + "x",
	} {
		if got := leak(text, []string{"", secret}); got == "" {
			t.Errorf("a secret %s was not found", name)
		}
	}
	if got := leak("nothing here", []string{"", secret}); got != "" {
		t.Errorf("a secret was found %s where there is none", got)
	}
}
