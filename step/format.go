package step

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

// This file formats values for the log.

// elapsed formats how long something took.
func elapsed(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// expiry formats when something expires: the time, and how long that is from now, unless that can't be right.
func expiry(expires, now time.Time) string {
	left := expires.Sub(now)
	in := fmt.Sprintf("%d seconds", left/time.Second)
	switch minutes := left.Round(time.Minute) / time.Minute; {
	case minutes >= 120 && minutes%60 == 0:
		in = fmt.Sprintf("%d hours", minutes/60)
	case minutes >= 2:
		in = fmt.Sprintf("%d minutes", minutes)
	}
	at := "at " + expires.UTC().Format("15:04:05Z")
	if left <= 0 || left > 24*time.Hour {
		return at
	}
	return at + ", in " + in
}

// clock formats a time for outputs and errors.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// describe returns a token's issuer, audience, and subject.
func describe(token idtoken.Token) string {
	return fmt.Sprintf("%s (audience %s, subject %s)", cmp.Or(strings.TrimPrefix(token.Issuer, "https://"), "an unknown issuer"),
		token.Claims["aud"].Value, cmp.Or(token.Claims["sub"].Value, "unknown"))
}
