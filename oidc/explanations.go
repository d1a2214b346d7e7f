package oidc

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// explainStatus explains an error of the token endpoint by its status.
func explainStatus(err error, buildURL BuildURL, audience string) error {
	var returned *StatusError
	if !errors.As(err, &returned) {
		return err
	}
	code := strconv.Itoa(returned.StatusCode)
	if returned.StatusCode >= http.StatusInternalServerError {
		code = "5xx"
	}
	x, found := endpointTable().Find(code, "", map[string]string{"build_url": buildURL.String(), "audience": audience})
	if !found {
		return explain.Advise(err, "Leave build_url at its default, $BITRISE_BUILD_URL.")
	}
	x.Said, x.SaidBy = returned.Error(), "Bitrise"
	return &explain.Error{Err: err, Explanation: x}
}

func endpointTable() explain.Table {
	const local = "For a local run, set build_url and build_api_token to those of a token endpoint, or set identity_token."
	return explain.Table{
		{
			Section: "build-api-token-rejected", Codes: []string{"401", "403"},
			Cause: "the token endpoint rejected the build's API token (build_api_token)",
			Means: []string{"The API token most likely belongs to a different build, or the build has ended. An API token is valid only while " +
				"its build runs."},
			Do: []string{
				"Leave build_api_token at its default, $BITRISE_BUILD_API_TOKEN, and build_url at $BITRISE_BUILD_URL. Both must belong to " +
					"the same build.",
				local, "If there is a proxy (HTTPS_PROXY), check that it allows build_url.",
			},
		},
		{
			Section: "no-token-endpoint-at-that-address", Codes: []string{"404", "405"},
			Cause: "there is no token endpoint at the address in build_url",
			Means: []string{"The server at {build_url} doesn't have this build, or isn't Bitrise."},
			Do:    []string{"Leave build_url at its default, $BITRISE_BUILD_URL.", local},
		},
		{
			Section: "token-endpoint-rejects-the-audience", Codes: []string{"400", "422"},
			Cause: "the token endpoint rejected the request, most likely because of its audience",
			Means: []string{"The audience, {audience}, is the only part of the request that an input sets."},
			Do:    []string{"Set audience to an audience of your OIDC provider in AWS, usually sts.amazonaws.com."},
		},
		{
			Section: "token-endpoint-unavailable", Codes: []string{"429"},
			Cause: "the token endpoint was still throttling requests when the Step's timeout expired",
			Do:    []string{"Increase timeout.", "Start fewer builds at the same time."},
		},
		{
			Section: "token-endpoint-unavailable", Codes: []string{"5xx"},
			Cause: "the token endpoint was still failing when the Step's timeout expired",
			Do:    []string{"Run the build again later, and check https://status.bitrise.io."},
		},
	}
}
