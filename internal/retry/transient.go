package retry

import (
	"errors"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	awsretry "github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// This file is the list of what is retried.

// How often a call is attempted before its error is final.
const (
	permanent = 1
	// lookups is for host names that aren't found: a name server can fail for a moment. It takes less
	// than four seconds.
	lookups = 4
	// propagation is for credentials that are new. It takes about half a minute.
	propagation = 8
	unlimited   = math.MaxInt
)

// response is the error of a response with an HTTP status. after is how long the server asked the
// client to wait, or zero if it didn't ask.
type response interface {
	error
	Status() (code int, after time.Duration)
}

// attempts returns how often a call is made before err is final, and how long the server asked to wait.
func attempts(err error) (most int, after time.Duration) {
	var (
		returned response
		ofAWS    *awserr.Error
		failed   *transport.Error
		lookup   *net.DNSError
	)
	switch {
	case errors.As(err, &returned):
		code, after := returned.Status()
		if isTransientStatus(code) {
			return unlimited, after
		}
		if errors.As(err, &ofAWS) {
			return attemptsOf(ofAWS), after
		}
		return permanent, 0
	case !errors.As(err, &failed) || failed.IsPermanent:
		return permanent, 0
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return lookups, 0
	default:
		return unlimited, 0
	}
}

// isTransientStatus reports whether a status is transient: 408 (RFC 9110), 429 (RFC 6585), or 5xx.
func isTransientStatus(code int) bool {
	return code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}

// attemptsOf is attempts for an error that an AWS service returned: by the SDK's lists, and by the codes that STS documents,
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors.
func attemptsOf(r *awserr.Error) int {
	_, throttled := awsretry.DefaultThrottleErrorCodes[r.Code]
	_, retryable := awsretry.DefaultRetryableErrorCodes[r.Code]
	switch {
	case throttled, retryable, r.ClockCorrected:
		return unlimited
	case r.Code == "IDPCommunicationError":
		// STS could not reach the identity provider, and documents that callers should retry.
		return unlimited
	case r.Code == "InvalidIdentityToken" && strings.Contains(strings.ToLower(r.Message), "retrieve verification key"):
		// STS could not fetch the provider's keys. A dozen permanent errors have the same code.
		return unlimited
	case r.NewCredentials && slices.Contains([]string{"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}, r.Code):
		// New credentials take time to propagate, because IAM is eventually consistent:
		// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency.
		return propagation
	default:
		return permanent
	}
}
