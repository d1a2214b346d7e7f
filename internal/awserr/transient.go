package awserr

import (
	"errors"
	"slices"
	"strings"

	awsretry "github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// isTransient reports whether a refusal may not come again: by the SDK's lists, and by the codes that STS documents for itself,
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors.
func isTransient(r *Refusal, err error) bool {
	_, throttled := awsretry.DefaultThrottleErrorCodes[r.Code]
	_, retryable := awsretry.DefaultRetryableErrorCodes[r.Code]
	switch {
	case throttled, retryable, transport.IsTransientStatus(r.StatusCode):
		return true
	case r.Code == "IDPCommunicationError":
		// STS could not reach the identity provider, and says itself to try again.
		return true
	case r.Code == "InvalidIdentityToken":
		// The code of a dozen permanent errors, and of one that is not: STS could not fetch the provider's keys.
		return strings.Contains(strings.ToLower(r.Message), "retrieve verification key")
	}
	// The SDK marks refusals that a wrong clock explains. It corrects its own for the client's next call.
	var marked interface{ RetryableError() bool }
	return errors.As(err, &marked) && marked.RetryableError()
}

// NewCredentials marks the refusals that credentials can meet right after they were issued, because IAM is eventually
// consistent: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency.
// The zero value is ready for the attempts of one call.
type NewCredentials struct{ attempts int }

// Mark marks the error of one attempt as transient. IAM is consistent within seconds: after eight attempts, about half a
// minute, a refusal is final.
func (n *NewCredentials) Mark(err error) error {
	const mostAttempts = 8

	var refusal *Refusal
	if !errors.As(err, &refusal) || !slices.Contains(unknownKeyCodes(), refusal.Code) {
		return err
	}
	if n.attempts++; n.attempts < mostAttempts {
		return retry.Transient(err, 0)
	}
	return err
}

// unknownKeyCodes are the codes of a service that does not know the access key.
func unknownKeyCodes() []string {
	return []string{"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"}
}
