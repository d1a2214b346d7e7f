package awserr

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// passes tells whether a refusal speaks of a fault that may pass. What AWS lists as such stands in its guides:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html and, for STS,
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors.
func passes(refusal *Refusal, err error) bool {
	switch refusal.Code {
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "EC2ThrottledException", "TransactionInProgressException", "RequestLimitExceeded", "LimitExceededException", "BandwidthLimitExceeded", "SlowDown",
		"PriorRequestNotComplete", "RequestTimeout", "RequestTimeoutException", "InternalFailure", "InternalError",
		"ServiceUnavailable":
		return true
	case "IDPCommunicationError":
		// STS could not reach the identity provider; it says itself to try again.
		return true
	case "InvalidIdentityToken":
		// The code of a dozen lasting faults, and of one that passes: STS could not fetch the provider's keys.
		return strings.Contains(strings.ToLower(refusal.Message), "retrieve verification key")
	}
	// The SDK marks a refusal that came of a wrong clock, and has corrected its own when the call is made again.
	var marked interface{ RetryableError() bool }
	if errors.As(err, &marked) && marked.RetryableError() {
		return true
	}
	return transport.PassingStatus(refusal.StatusCode)
}

// Fresh marks, besides what [Shorten] marked, the refusals that credentials can meet right after they were issued, because
// IAM is eventually consistent:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency.
type Fresh struct {
	// Credentials tells that STS has only just handed the credentials out: for others the same codes mean a wrong key.
	Credentials bool
	attempts    int
}

// Mark marks the error of one attempt. IAM is consistent within seconds: after about half a minute of attempts a refusal
// is taken for what it says.
func (f *Fresh) Mark(err error) error {
	const mostAttempts = 8

	var refusal *Refusal
	if !f.Credentials || !errors.As(err, &refusal) {
		return err
	}
	switch refusal.Code {
	case "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId":
		if f.attempts++; f.attempts < mostAttempts {
			return retry.Passing(err, 0)
		}
	}
	return err
}

// Passes tells whether an error was marked as one that may pass.
func Passes(err error) bool {
	var fault *retry.Fault
	return errors.As(err, &fault)
}

// Skewed marks a refusal that can come of a wrong clock as one that may pass, and tells whether it was one. It is for
// whoever knows that the clock is wrong, and corrects it before the next attempt. The codes are those of
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html.
func Skewed(err error) (skewed bool, marked error) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		return false, err
	}
	switch refusal.Code {
	case "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture", "InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure":
		return true, retry.Passing(err, 0)
	default:
		return false, err
	}
}

// unreadableAnswer is an answer to one of the SDK's calls that does not parse.
func unreadableAnswer(service string, err error) error {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil {
		return retry.Passing(fmt.Errorf("the answer of %s could not be read", service), 0)
	}
	return unreadable(service, response.HTTPStatusCode(), response.Response.Header, err)
}

// unreadable is an answer that does not parse. With a status of success, or of a passing fault (a balancer's page in
// place of the service's own words), the next one may. The cause is left out, because it may quote the answer, and the
// answer may hold credentials.
func unreadable(service string, status int, header http.Header, cause error) error {
	err := fmt.Errorf("the answer of %s, %d %s, could not be read", service, status, http.StatusText(status))
	if errors.Is(cause, transport.ErrTooLarge) {
		return fmt.Errorf("%w: %w", err, transport.ErrTooLarge)
	}
	if status < http.StatusBadRequest || transport.PassingStatus(status) {
		return retry.Passing(err, transport.RetryAfter(header))
	}
	return err
}

func retryAfter(err error) time.Duration {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		return transport.RetryAfter(response.Response.Header)
	}
	return 0
}
