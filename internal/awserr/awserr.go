// Package awserr turns the errors of AWS's SDK into short ones: what AWS returned, or why there was no response, without URLs and
// the SDK's wrappers. It also explains those that mean the same for every service. internal/retry decides which are transient.
package awserr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// Refusal is an error that an AWS service returned.
type Refusal struct {
	// Service is the service's name, such as "STS".
	Service string
	// Code is the error code, such as "AccessDenied".
	Code string
	// Message is AWS's message, on one line.
	Message string
	// RequestID identifies the call to AWS Support and in CloudTrail; empty if the response had none.
	RequestID string
	// StatusCode is the HTTP status; 0 if unknown.
	StatusCode int
	// RetryAfter is how long the service asked the client to wait; zero if it did not ask.
	RetryAfter time.Duration
	// NewCredentials reports that the call was signed with credentials that STS had issued a moment ago.
	NewCredentials bool
	// ClockCorrected reports that a wrong clock explains the error, and that the SDK has corrected its own for the next call.
	ClockCorrected bool
}

// Status returns the HTTP status, and how long the service asked the client to wait.
func (r *Refusal) Status() (int, time.Duration) { return r.StatusCode, r.RetryAfter }

// unknownCode is the SDK's name for a response that is not an error of AWS's, such as a proxy's page. The status says more.
const unknownCode = "UnknownError"

func (r *Refusal) Error() string {
	if r.Code == unknownCode && r.StatusCode != 0 {
		return fmt.Sprintf("%s returned %d %s", r.Service, r.StatusCode, http.StatusText(r.StatusCode))
	}
	said := r.Service + " returned " + r.Code
	if r.Message != "" {
		said += ": " + r.Message
	}
	if r.RequestID != "" {
		said += " (request ID " + r.RequestID + ")"
	}
	return said
}

// Said returns the code, with the service's name and the request ID, on the first line, and AWS's message on the second.
func (r *Refusal) Said(service string) string {
	if r.RequestID != "" {
		service += ", request ID " + r.RequestID
	}
	return r.Code + " (" + service + ")\n" + r.Message
}

// From returns the core of an error of the SDK for a call of a service: a [*Refusal] if the service returned an error, else the
// cause below the SDK's wrappers. signer is the credentials that signed the call; the zero value if it was not signed.
func From(service string, signer credentials.Credentials, err error) error {
	r := &Refusal{Service: service, Code: unknownCode, NewCredentials: !signer.Expires.IsZero()}
	var response *smithyhttp.ResponseError
	// The SDK also wraps failures to get a response in a ResponseError, one without a status.
	if errors.As(err, &response) && response.Response != nil {
		r.StatusCode, r.RetryAfter = response.HTTPStatusCode(), transport.RetryAfter(response.Response.Header)
	}
	var api smithy.APIError
	var failed *url.Error
	switch {
	case errors.As(err, &api):
		r.Code, r.Message = text.Line(api.ErrorCode()), text.Line(api.ErrorMessage())
		var withID interface{ ServiceRequestID() string }
		if errors.As(err, &withID) {
			r.RequestID = text.Line(withID.ServiceRequestID())
		}
		var corrected interface{ RetryableError() bool }
		r.ClockCorrected = errors.As(err, &corrected) && corrected.RetryableError()
		return r
	case errors.Is(err, transport.ErrTooLarge):
		return fmt.Errorf("read the response of %s: %w", service, transport.ErrTooLarge)
	case r.StatusCode >= http.StatusBadRequest:
		return r // with a page of a proxy or a load balancer
	case r.StatusCode != 0, errors.As(err, new(*smithy.DeserializationError)):
		// The cause is left out: it may quote the response, which may contain credentials.
		return transport.Garbled("the response of %s could not be read", service)
	case errors.As(err, &failed):
		host := "its endpoint"
		if u, parseErr := url.Parse(failed.URL); parseErr == nil && u.Host != "" {
			host = u.Host
		}
		return fmt.Errorf("no response from %s at %s: %w", service, host, transport.Failed(err))
	}
	for _, ended := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, ended) {
			return fmt.Errorf("no response from %s: %w", service, ended)
		}
	}
	if strings.Contains(err.Error(), "endpoint rule error") {
		// AWS has no such endpoint. The rule's own message is the last part.
		message := err.Error()[strings.LastIndex(err.Error(), "endpoint rule error"):]
		return explain.Advise(fmt.Errorf("call %s: %s", service, text.Line(message)),
			"Check region, AWS_USE_FIPS_ENDPOINT, and AWS_USE_DUALSTACK_ENDPOINT. The last two cannot be combined with "+
				"AWS_ENDPOINT_URL and similar variables.")
	}
	return fmt.Errorf("call %s: %s", service, text.Line(err.Error()))
}
