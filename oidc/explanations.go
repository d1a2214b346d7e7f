package oidc

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// explainStatus explains an error of the token endpoint by its status.
func (c Client) explainStatus(err error, audience string) error {
	var returned *StatusError
	if !errors.As(err, &returned) {
		return err
	}
	const local = "For a local run, set build_url and build_api_token to those of a token endpoint, or set identity_token."
	code := strconv.Itoa(returned.StatusCode)
	if returned.StatusCode >= http.StatusInternalServerError {
		code = "5xx"
	}
	x, found := explain.Find([]explain.Explanation{
		{
			Section: "build-api-token-rejected", Match: "401|403",
			Cause: "the token endpoint rejected the build's API token (build_api_token)",
			Means: []string{"The API token most likely belongs to a different build, or the build has " +
				"ended. An API token is valid only while its build runs."},
			Do: []string{
				"Leave build_api_token at its default, $BITRISE_BUILD_API_TOKEN, and build_url at " +
					"$BITRISE_BUILD_URL. Both must belong to the same build.",
				local, "If there is a proxy (HTTPS_PROXY), check that it allows build_url.",
			},
		},
		{
			Section: "no-token-endpoint-at-that-address", Match: "404|405",
			Cause: "there is no token endpoint at the address in build_url",
			Means: []string{"The server at " + c.BuildURL.String() + " doesn't have this build, or isn't Bitrise."},
			Do:    []string{"Leave build_url at its default, $BITRISE_BUILD_URL.", local},
		},
		{
			Section: "token-endpoint-rejects-the-audience", Match: "400|422",
			Cause: "the token endpoint rejected the request, most likely because of its audience",
			Means: []string{"The audience, " + audience + ", is the only part of the request that an input sets."},
			Do:    []string{"Set audience to an audience of your OIDC provider in AWS, usually sts.amazonaws.com."},
		},
		{
			Section: "token-endpoint-unavailable", Match: "429",
			Cause: "the token endpoint was still throttling requests when the Step's timeout expired",
			Do:    []string{"Increase timeout.", "Start fewer builds at the same time."},
		},
		{
			Section: "token-endpoint-unavailable", Match: "5xx",
			Cause: "the token endpoint was still failing when the Step's timeout expired",
			Do:    []string{"Run the build again later, and check https://status.bitrise.io."},
		},
	}, code, "")
	if !found {
		return explain.Advise(err, "Leave build_url at its default, $BITRISE_BUILD_URL.")
	}
	x.Said, x.SaidBy = returned.Error(), "Bitrise"
	return &explain.Error{Err: err, Explanation: x}
}
