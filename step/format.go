package step

import (
	"cmp"
	"fmt"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

// This file has how the log shows values.

func elapsed(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// clock formats a time as the log and the outputs show it.
func clock(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

// caller names whose the credentials are.
func caller(session awsauth.Session) string { return cmp.Or(session.CallerARN, "an unknown caller") }

func issuer(token idtoken.Token) string { return cmp.Or(token.Issuer, "an unknown issuer") }

// subjectOf says what the token's sub is.
func subjectOf(token idtoken.Token) string {
	return "sub " + cmp.Or(token.Claim("sub").Value, "is missing")
}
