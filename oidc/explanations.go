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
	switch status := returned.StatusCode; {
	case status >= http.StatusInternalServerError:
		code = "5xx"
	case returned.Message == "" && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		code += " without a reason"
	}
	x, found := endpointTable().Find(code, "", map[string]string{"build_url": buildURL.String(), "audience": audience})
	if !found {
		return explain.Advise(err, "Leave build_url at its default, $BITRISE_BUILD_URL.")
	}
	x.Said, x.SaidBy = returned.Error(), "Bitrise"
	return &explain.Error{Err: err, Explanation: x}
}

func endpointTable() explain.Table {
	const (
		local = "A local run has no token endpoint, unless build_url and build_api_token are set to one. An existing identity_token works, too."
		same  = "Leave build_api_token at its default, $BITRISE_BUILD_API_TOKEN, and build_url at $BITRISE_BUILD_URL: both must " +
			"belong to the same build."
	)
	return explain.Table{
		{
			Section: "build-api-token-rejected", Codes: []string{"401", "403"},
			Cause: "Bitrise does not accept the build's API token (build_api_token)",
			Means: []string{"The address is right, but the API token is not valid for it: it belongs to a different build, or this build " +
				"has ended. A build's token is valid while the build runs."},
			Do: []string{same, local},
		},
		{
			Section: "build-api-token-rejected", Codes: []string{"401 without a reason", "403 without a reason"},
			Cause: "the token request was rejected, most likely because of build_api_token",
			Means: []string{"Bitrise always gives a reason for an error, and this response has none, so a proxy or a firewall may have " +
				"rejected the request. Otherwise, the token belongs to a different build, or this build has ended."},
			Do: []string{same, local, "If there is a proxy (HTTPS_PROXY), check that it allows {build_url}."},
		},
		{
			Section: "no-token-endpoint-at-that-address", Codes: []string{"404", "405"},
			Cause: "there is no token endpoint at the address in build_url",
			Means: []string{"The server at {build_url} does not know this build, or is not Bitrise."},
			Do:    []string{"Leave build_url at its default, $BITRISE_BUILD_URL.", local},
		},
		{
			Section: "token-endpoint-rejects-the-audience", Codes: []string{"400", "422"},
			Cause: "the token endpoint rejected the request, most likely because of its audience",
			Means: []string{"The audience {audience} is the only part of the request that an input sets."},
			Do:    []string{"Set audience to an audience of your OIDC provider in AWS, usually sts.amazonaws.com."},
		},
		{
			Section: "token-endpoint-unavailable", Codes: []string{"429"},
			Cause: "the token endpoint was still throttling requests when the Step's timeout expired",
			Do:    []string{"Raise timeout.", "Start fewer builds at the same time."},
		},
		{
			Section: "token-endpoint-unavailable", Codes: []string{"5xx"},
			Cause: "the token endpoint was still failing when the Step's timeout expired",
			Do:    []string{"Run the build again later, and check https://status.bitrise.io."},
		},
	}
}
