package step

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
)

// subject finds out whether callers can choose sub, by requesting one more token, with a random sub, which is not used for
// anything else. Only suggested trust policies depend on the result, so it makes a single attempt and doesn't log it.
func (a *authenticator) subject(ctx context.Context, token idtoken.Token) awsauth.Subject {
	const timeout = 3 * time.Second

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	before := token.Claims["sub"].Value
	random := randomSubject(token)
	other, err := a.tokens.TokenWithSubject(ctx, a.config.Audience, random)
	if err != nil || before == random {
		return awsauth.SubjectUnknown
	}
	a.log.Protect(other.Text)
	switch other.Claims["sub"].Value {
	case random:
		return awsauth.SubjectChosen
	case before:
		return awsauth.SubjectFixed
	default:
		return awsauth.SubjectUnknown
	}
}

// randomSubject returns the token's sub with random values of its claims, because an endpoint may require the form of a sub.
func randomSubject(token idtoken.Token) string {
	sub := token.Claims["sub"].Value
	random := sub
	for _, name := range slices.Sorted(maps.Keys(token.Claims)) {
		if value := token.Claims[name].Value; name != "sub" && value != "" {
			random = strings.ReplaceAll(random, value, randomLike(value))
		}
	}
	if random == sub {
		return randomLike(sub)
	}
	return random
}

// randomLike replaces each letter with a random letter, and each digit with a random digit.
func randomLike(text string) string {
	random := func(first rune, n int32) rune { return first + rand.Int32N(n) } //nolint:gosec // it doesn't matter if it is guessed
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsUpper(r):
			return random('A', 26)
		case unicode.IsLetter(r):
			return random('a', 26)
		case unicode.IsDigit(r):
			return random('0', 10)
		default:
			return r
		}
	}, text)
}

// perBuild returns the values of variables that are different in every build.
func perBuild(environment Environment) (values []string) {
	for _, key := range []string{
		"BITRISE_BUILD_NUMBER", "BITRISE_BUILD_SLUG", "BITRISE_BUILD_TRIGGER_TIMESTAMP", "BITRISE_GIT_COMMIT", "GIT_CLONE_COMMIT_HASH",
	} {
		if value := environment.Get(key); value != "" {
			values = append(values, value)
		}
	}
	return values
}
