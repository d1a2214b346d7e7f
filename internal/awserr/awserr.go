// Package awserr makes short errors of the long ones that AWS's SDK returns: what AWS said, or what kept the call from
// getting an answer, without URLs, wrappers and secrets.
//
// It knows the shape of the SDK's errors (smithy's interfaces), but no service, and imports no client.
package awserr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// maxMessage is how many characters of AWS's text are repeated.
const maxMessage = 1000

// Refusal is an error that a service of AWS answered.
type Refusal struct {
	// Service is who refused, such as "STS".
	Service string
	// Code is AWS's error code, such as "AccessDenied".
	Code string
	// Message is AWS's text, without secrets and control characters.
	Message string
	// RequestID names the call to AWS's support and in CloudTrail; empty if the answer had none.
	RequestID string
	// StatusCode is the HTTP status; 0 if it is not known.
	StatusCode int
}

// Error says what AWS said.
func (r *Refusal) Error() string {
	// The SDK's name for an answer that is no error of AWS's, such as a proxy's page. Its status says more.
	if r.Code == "UnknownError" && r.StatusCode != 0 {
		return fmt.Sprintf("%s answered %d %s", r.Service, r.StatusCode, http.StatusText(r.StatusCode))
	}
	text := r.Service + " answered " + r.Code
	if r.Message != "" {
		text += ": " + r.Message
	}
	if r.RequestID != "" {
		text += " (request ID " + r.RequestID + ")"
	}
	return text
}

// Shorten returns what is behind an error of the SDK for a call of service: a [*Refusal] where the service answered one,
// else the cause below the SDK's wrappers. The secrets, which were sent with the call, are taken out of the text. Faults
// that may pass are marked with [retry.Passing].
func Shorten(service string, err error, secrets ...secret.Text) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		refusal := &Refusal{Service: service, Code: clean(api.ErrorCode(), secrets), Message: clean(api.ErrorMessage(), secrets)}
		var withID interface{ ServiceRequestID() string }
		if errors.As(err, &withID) {
			refusal.RequestID = clean(withID.ServiceRequestID(), secrets)
		}
		var withStatus interface{ HTTPStatusCode() int }
		if errors.As(err, &withStatus) {
			refusal.StatusCode = withStatus.HTTPStatusCode()
		}
		if passes(refusal, err) {
			return retry.Passing(refusal, retryAfter(err))
		}
		return refusal
	}
	var unreadable *smithy.DeserializationError
	var answered *smithyhttp.ResponseError
	// The SDK wraps what kept a call from being answered in a ResponseError too, one without a status.
	if errors.As(err, &unreadable) || (errors.As(err, &answered) && answered.HTTPStatusCode() != 0) {
		return unreadableAnswer(service, err)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		host := "its endpoint"
		if u, parseErr := url.Parse(failed.URL); parseErr == nil && u.Host != "" {
			host = u.Host
		}
		return fmt.Errorf("no answer of %s at %s: %w", service, host, transport.Fault(failed.Err))
	}
	for _, ended := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, ended) {
			return fmt.Errorf("no answer of %s: %w", service, ended)
		}
	}
	return fmt.Errorf("call %s: %s", service, clean(err.Error(), secrets))
}

// clean makes a server's text fit for a log: no secret that was sent, nothing that moves the cursor, no flood.
func clean(said string, secrets []secret.Text) string {
	return text.OneLine(secret.Scrub(said, secrets...), maxMessage)
}
