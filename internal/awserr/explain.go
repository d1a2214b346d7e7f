package awserr

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// Explain explains a refusal: by what AWS says about policies, else by the table, else by what its code means for every service.
// {service} stands for the service in all of them; values has the other placeholders, of the table and of [denials]. Errors that are
// not refusals are returned as they are.
func Explain(err error, table explain.Table, values map[string]string) error {
	var returned *Error
	if !errors.As(err, &returned) {
		return err
	}
	filled := map[string]string{"service": returned.Service, "effect": ""}
	maps.Copy(filled, values)
	DenialOf(err).fill(filled)
	x, found := slices.Concat(denials(), table, common()).Find(returned.Code, returned.Message, filled)
	switch {
	case found:
		x.Said, x.SaidBy = returned.Said(returned.Service), "AWS"
	case returned.StatusCode >= http.StatusInternalServerError:
		x.Do = []string{"Run the build again later, and check https://health.aws.amazon.com."}
	case returned.Code == unknownCode:
		x.Do = []string{
			"Check AWS_ENDPOINT_URL and similar variables, and HTTPS_PROXY, if they are set: the response does not look like one of AWS's.",
		}
	default:
		x.Do = []string{"Look up the code in AWS's documentation of " + returned.Service + ". AWS Support can find the call by its request ID."}
	}
	return &explain.Error{Err: err, Explanation: x}
}

// common explains the codes that mean the same for every service.
// See https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html.
func common() explain.Table {
	return explain.Table{
		denial("", "{Change} in {place}."),
		{
			Section: "throttled-until-the-timeout",
			Codes:   []string{"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"},
			Cause:   "{service} was still throttling requests when the Step's timeout expired",
			Means:   []string{"AWS limits how often an account can call {service}. Other builds and programs in the account count too."},
			Do: []string{
				"Raise timeout. The Step spreads its attempts, so more time lets more builds through.",
				"Start fewer builds at the same time.",
			},
		},
		{
			Section: "credentials-have-expired", Codes: []string{"ExpiredToken", "ExpiredTokenException"},
			Cause: "the credentials had expired when {service} received them",
			Do:    []string{"Use a longer session_duration, or newer temporary access keys.", "Check this machine's clock."},
		},
		{
			Section: "signature-of-a-call-rejected", Codes: []string{"InvalidSignatureException", "SignatureDoesNotMatch"},
			Cause: "{service} rejected the request's signature, most likely because this machine's clock is wrong",
			Means: []string{"AWS accepts a signature for five minutes."},
			Do:    []string{"Check this machine's clock."},
		},
		{
			Section: "credentials-not-recognized", Codes: []string{"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"},
			Cause: "{service} does not recognize the credentials",
			Means: []string{"AWS issued them a moment ago. New credentials can take seconds to be known everywhere; the Step waited for that."},
			Do:    []string{"Run the build again. If it fails again, check that the role still exists and that its sessions were not revoked."},
		},
	}
}
