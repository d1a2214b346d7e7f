package secret_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func TestScrubTakesOutEveryForm(t *testing.T) {
	const plain = "a secret/with+signs&of=all kinds"
	for name, form := range map[string]string{
		"raw": plain, "base64": base64.StdEncoding.EncodeToString([]byte(plain)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(plain)),
		"query": url.QueryEscape(plain), "path": url.PathEscape(plain),
	} {
		if got := secret.Scrub("<"+form+">", secret.New(plain)); strings.Contains(got, form) || !strings.HasPrefix(got, "<[REDACTED]") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestKeeper(t *testing.T) {
	var keeper secret.Keeper
	keeper.Keep(secret.New("first-canary"), secret.Text{}, secret.New("abc"), secret.New("second-canary"), secret.New("first-canary"))
	if got := keeper.Scrub("first-canary and second-canary and abc"); got != "[REDACTED] and [REDACTED] and abc" {
		t.Errorf("got %s", got)
	}
}
