package oidc

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// TokenError is an identity token that could not be got.
type TokenError struct {
	BuildURL BuildURL
	Audience string
	Err      error
}

// Error says from where, and why not.
func (e *TokenError) Error() string {
	return fmt.Sprintf("get an identity token from %s: %s", e.BuildURL, e.Err)
}

// Unwrap returns the cause.
func (e *TokenError) Unwrap() error { return e.Err }

// Explain tells which of the build's token, the audience and the URL is at fault.
func (e *TokenError) Explain() (explain.Explanation, bool) {
	var refusal *Refusal
	if !errors.As(e.Err, &refusal) {
		return explain.Explanation{}, false
	}
	const local = "A local run has no token endpoint, unless build_url and build_api_token name one; a ready identity_token does instead."
	var x explain.Explanation
	switch status := refusal.StatusCode; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		x = explain.Explanation{
			Cause: "Bitrise does not accept the build's API token (build_api_token)",
			Means: []string{"The address was right, and the token was not: it is another build's, or this build is over. A build's token is good for as long as the build runs."},
			Do:    []string{"Leave build_api_token at its default, $BITRISE_BUILD_API_TOKEN, and build_url at $BITRISE_BUILD_URL: both have to be of the same build.", local},
		}
		if refusal.Message == "" {
			x.Cause = "the call for a token was refused, likely because of build_api_token"
			x.Means = []string{"Bitrise gives a reason when it refuses, and there is none here: a proxy or a firewall on the way may have refused in its place. Otherwise the token is another build's, or this build is over."}
			x.Do = append(x.Do, "If there is a proxy (HTTPS_PROXY), check that it lets "+e.BuildURL.String()+" through.")
		}
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		x = explain.Explanation{
			Cause: "there is no token endpoint at the address in build_url",
			Means: []string{"What answered at " + e.BuildURL.String() + " does not know this build, or is not Bitrise."},
			Do:    []string{"Leave build_url at its default, $BITRISE_BUILD_URL.", local},
		}
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		x = explain.Explanation{
			Cause: "the token endpoint does not accept the request, likely because of its audience",
			Means: []string{fmt.Sprintf("The audience %q is the one thing in the request that an input decides.", e.Audience)},
			Do:    []string{"Set audience to the one of your OIDC provider in AWS, usually sts.amazonaws.com."},
		}
	case status == http.StatusTooManyRequests:
		x = explain.Explanation{
			Cause: "the token endpoint turned the call away for longer than the Step's timeout",
			Do:    []string{"Raise timeout, or start fewer builds at the same moment."},
		}
	case status >= http.StatusInternalServerError:
		x = explain.Explanation{
			Cause: "the token endpoint failed for longer than the Step's timeout allows",
			Do:    []string{"Run the build again later; look at https://status.bitrise.io."},
		}
	default:
		return x, false
	}
	x.Said = e.Err.Error()
	return x, true
}
