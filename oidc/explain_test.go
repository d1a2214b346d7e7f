package oidc_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

func TestErrorsOfTheEndpointAreExplained(t *testing.T) {
	const reason = `{"error_msg":"their words"}`
	for name, row := range map[string]struct {
		status            int
		body, cause, text string
	}{
		"400":                   {400, reason, "rejected the request", "The audience, my-audience,"},
		"400 without a reason":  {400, "", "rejected the request", "The audience, my-audience,"},
		"401":                   {401, reason, "rejected the build's API token", "BITRISE_BUILD_API_TOKEN"},
		"401 without a reason":  {401, "<html>", "rejected the build's API token", "HTTPS_PROXY"},
		"403":                   {403, reason, "rejected the build's API token", "allows build_url"},
		"404":                   {404, reason, "no token endpoint at the address", "/build/1 doesn't have this build"},
		"405":                   {405, reason, "no token endpoint at the address", "BITRISE_BUILD_URL"},
		"422":                   {422, reason, "rejected the request", "audience"},
		"429":                   {429, reason, "still throttling requests", "Increase timeout"},
		"429 without a reason":  {429, "", "still throttling requests", "Increase timeout"},
		"500":                   {500, reason, "still failing", "status.bitrise.io"},
		"599 without a reason":  {599, "", "still failing", "status.bitrise.io"},
		"418, which is unknown": {418, reason, "fetch an identity token from", "Leave build_url at its default"},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(row.status)
				_, _ = w.Write([]byte(row.body))
			})
			_, err := fetch(t, client, "my-audience")
			x := explain.Of(err)
			if !strings.Contains(x.Cause, row.cause) || !strings.Contains(strings.Join(append(x.Means, x.Do...), " "), row.text) {
				t.Errorf("got %+v", x)
			}
			if isExplained := row.status != 418; isExplained != (x.SaidBy == "Bitrise") {
				t.Errorf("got an explanation of what %q said", x.SaidBy)
			}
			if row.body == reason && !strings.Contains(x.Said+x.Cause, "their words") {
				t.Errorf("the endpoint's response is missing: %+v", x)
			}
			var returned *oidc.StatusError
			if !errors.As(err, &returned) || returned.StatusCode != row.status {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestUnknownStatus(t *testing.T) {
	if got := fmt.Sprint(&oidc.StatusError{StatusCode: 599}); got != "the token endpoint returned 599" {
		t.Errorf("got %q", got)
	}
}
