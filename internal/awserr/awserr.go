// Package awserr turns the errors of AWS's SDK into short ones: what AWS returned, or why there was no response, without URLs and
// the SDK's wrappers. It also explains the errors that mean the same for every service. internal/retry decides which are transient.
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

// Error is an error that an AWS service returned.
type Error struct {
	// Service is the service's name, such as "STS".
	Service string
	// Code is the error code, such as "AccessDenied".
	Code string
	// Message is AWS's message, on one line.
	Message string
	// RequestID identifies the call to AWS Support and in CloudTrail. Responses may have none.
	RequestID string
	// StatusCode is the HTTP status, or 0 if unknown.
	StatusCode int
	// RetryAfter is how long the service asked the client to wait, or zero if it didn't ask.
	RetryAfter time.Duration
	// NewCredentials reports whether the call was signed with credentials that STS had just issued.
	NewCredentials bool
	// ClockCorrected reports whether a wrong clock caused the error and the SDK has corrected its own clock for the next call.
	ClockCorrected bool
}

// Status returns the HTTP status, and how long the service asked the client to wait.
func (e *Error) Status() (int, time.Duration) { return e.StatusCode, e.RetryAfter }

// unknownCode is the SDK's code of a response that isn't AWS's, such as a proxy's page.
const unknownCode = "UnknownError"

func (e *Error) Error() string {
	if e.Code == unknownCode && e.StatusCode != 0 {
		return fmt.Sprintf("%s returned %d %s", e.Service, e.StatusCode, http.StatusText(e.StatusCode))
	}
	said := e.Service + " returned " + e.Code
	if e.Message != "" {
		said += ": " + e.Message
	}
	if e.RequestID != "" {
		said += " (request ID " + e.RequestID + ")"
	}
	return said
}

// said returns the code, where it is from, and the request ID on the first line, and AWS's message on the second.
func (e *Error) said(service string) string {
	if e.RequestID != "" {
		service += ", request ID " + e.RequestID
	}
	return e.Code + " (" + service + ")\n" + e.Message
}

// From returns the core of an SDK error for a call of a service: an [*Error] if the service returned an error, or else the cause
// below the SDK's wrappers. signer is the credentials that signed the call, or the zero value for an unsigned call.
func From(service string, signer credentials.Credentials, err error) error {
	r := &Error{Service: service, Code: unknownCode, NewCredentials: !signer.Expires.IsZero()}
	var response *smithyhttp.ResponseError
	// The SDK also wraps connection errors in a ResponseError, one without a response.
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
		return r // such as the page of a proxy or a load balancer
	case r.StatusCode != 0, errors.As(err, new(*smithy.DeserializationError)):
		// The cause is left out because it may quote the response, which may contain credentials.
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
