package oidc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

func TestRefusalsOfTheEndpointAreExplained(t *testing.T) {
	address, err := oidc.ParseBuildURL("https://app.bitrise.io/build/1")
	if err != nil {
		t.Fatal(err)
	}
	for status, row := range map[int]struct{ cause, text string }{
		400: {"does not accept the request", `audience "my-audience"`},
		401: {"does not accept the build's API token", "BITRISE_BUILD_API_TOKEN"},
		403: {"does not accept the build's API token", "BITRISE_BUILD_API_TOKEN"},
		404: {"no token endpoint at the address", "https://app.bitrise.io/build/1"},
		405: {"no token endpoint at the address", "BITRISE_BUILD_URL"},
		422: {"does not accept the request", "audience"},
		429: {"turned the call away", "Raise timeout"},
		500: {"the token endpoint failed", "status.bitrise.io"},
		503: {"the token endpoint failed", "status.bitrise.io"},
	} {
		// The way an error comes out of the retries: marked, and with what ended them.
		cause := fmt.Errorf("%w; %w", retry.Passing(&oidc.Refusal{StatusCode: status, Message: "their words"}, 0), retry.ErrNoTime)
		failure := &oidc.TokenError{BuildURL: address, Audience: "my-audience", Err: cause}
		x, found := failure.Explain()
		if !found || !strings.Contains(x.Cause, row.cause) || !strings.Contains(strings.Join(append(x.Means, x.Do...), " "), row.text) {
			t.Errorf("%d: %v %+v", status, found, x)
		}
		if !strings.Contains(x.Said, "their words") || len(x.Do) == 0 {
			t.Errorf("%d: the endpoint's own words, or what to do, are missing: %+v", status, x)
		}
		if !errors.Is(failure, retry.ErrNoTime) || !strings.HasPrefix(failure.Error(), "get an identity token from https://app.bitrise.io/build/1: ") {
			t.Errorf("%d: %v", status, failure)
		}
	}
}

// A proxy's page has no reason of Bitrise's; then nothing is said of the token as if it were known.
func TestRefusalsWithoutAReasonAreOnlyLikely(t *testing.T) {
	for _, status := range []int{401, 403} {
		x, found := (&oidc.TokenError{Err: &oidc.Refusal{StatusCode: status}}).Explain()
		if !found || !strings.Contains(x.Cause, "likely") || !strings.Contains(strings.Join(x.Do, " "), "HTTPS_PROXY") {
			t.Errorf("%d: %+v", status, x)
		}
	}
}

func TestOtherErrorsOfTheEndpointSpeakForThemselves(t *testing.T) {
	for _, cause := range []error{errors.New("connection refused"), &oidc.Refusal{StatusCode: 418}, &oidc.Refusal{StatusCode: 304}} {
		if x, found := (&oidc.TokenError{Err: cause}).Explain(); found {
			t.Errorf("%v is explained as %+v", cause, x)
		}
	}
}

func TestRefusalWithoutAKnownStatus(t *testing.T) {
	if got := (&oidc.Refusal{StatusCode: 599}).Error(); got != "the token endpoint answered 599" {
		t.Errorf("got %q", got)
	}
}
