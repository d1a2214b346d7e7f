package awserr

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// Explain explains an [*Error], and returns other errors unchanged. The kind of policy that AWS identifies has priority over the table,
// and the table over what a code means for every service. values has the placeholders of the table and of [denials], except {service}.
// Its {where}, which defaults to the service, is shown with what the service returned.
func Explain(err error, table explain.Table, values map[string]string) error {
	var returned *Error
	if !errors.As(err, &returned) {
		return err
	}
	filled := map[string]string{"service": returned.Service, "effect": "", "why": ""}
	maps.Copy(filled, values)
	DenialOf(err).fill(filled)
	x, found := slices.Concat(denials(), table, common()).Find(returned.Code, returned.Message, filled)
	switch {
	case found:
		x.Said, x.SaidBy = returned.Said(cmp.Or(values["where"], returned.Service)), "AWS"
	case returned.StatusCode >= http.StatusInternalServerError:
		x.Do = []string{"Run the build again later, and check https://health.aws.amazon.com."}
	case returned.Code == unknownCode:
		x.Do = []string{
			"Check AWS_ENDPOINT_URL and similar variables, and HTTPS_PROXY, if they are set. The response doesn't look like one from AWS.",
		}
	default:
		x.Do = []string{"Look up the error code in AWS's documentation of " + returned.Service + ". AWS Support can look up the request ID."}
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
			Means:   []string{"AWS limits how often an account can call {service}. The limit includes other builds and programs in the account."},
			Do: []string{
				"Increase timeout. The Step spreads out its attempts, so more builds succeed with a longer timeout.",
				"Start fewer builds at the same time.",
			},
		},
		{
			Section: "credentials-have-expired", Codes: []string{"ExpiredToken", "ExpiredTokenException"},
			Cause: "the credentials had expired when {service} received them",
			Do:    []string{"Increase session_duration, or use a newer temporary access key.", "Check this machine's clock."},
		},
		{
			Section: "signature-of-a-call-rejected", Codes: []string{"InvalidSignatureException", "SignatureDoesNotMatch"},
			Cause: "{service} rejected the request's signature, most likely because this machine's clock is wrong",
			Means: []string{"A signature is valid for five minutes."},
			Do:    []string{"Check this machine's clock."},
		},
		{
			Section: "credentials-not-recognized", Codes: []string{"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"},
			Cause: "{service} does not recognize the credentials",
			Means: []string{"AWS has just issued them. New credentials can take seconds to propagate; the Step has already waited."},
			Do:    []string{"Run the build again. If it fails again, check that the role still exists and that its sessions weren't revoked."},
		},
	}
}
