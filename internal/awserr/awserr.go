// Package awserr turns the errors of AWS's SDK into short ones: what AWS answered, or why there was no answer, without URLs and
// the SDK's wrappers. It also knows which of them are transient, and explains those that mean the same for every service.
package awserr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// Refusal is an error that an AWS service answered.
type Refusal struct {
	// Service is the service's name, such as "STS".
	Service string
	// Code is the error code, such as "AccessDenied".
	Code string
	// Message is AWS's message, on one line.
	Message string
	// RequestID identifies the call to AWS Support and in CloudTrail; empty if the answer had none.
	RequestID string
	// StatusCode is the HTTP status; 0 if unknown.
	StatusCode int
}

// unknownCode is the SDK's name for an answer that is not an error of AWS's, such as a proxy's page. The status says more.
const unknownCode = "UnknownError"

func (r *Refusal) Error() string {
	if r.Code == unknownCode && r.StatusCode != 0 {
		return fmt.Sprintf("%s answered %d %s", r.Service, r.StatusCode, http.StatusText(r.StatusCode))
	}
	said := r.Service + " answered " + r.Code
	if r.Message != "" {
		said += ": " + r.Message
	}
	if r.RequestID != "" {
		said += " (request ID " + r.RequestID + ")"
	}
	return said
}

// From returns the core of an error of the SDK for a call of a service: a [*Refusal] if the service answered one, else the
// cause below the SDK's wrappers. Transient errors are marked with [retry.Transient].
func From(service string, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return refusal(service, api, err)
	}
	var unreadable *smithy.DeserializationError
	var answered *smithyhttp.ResponseError
	// The SDK also wraps failures to get an answer in a ResponseError, one without a status.
	if errors.As(err, &unreadable) || (errors.As(err, &answered) && answered.HTTPStatusCode() != 0) {
		return unreadableAnswer(service, err)
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		host := "its endpoint"
		if u, parseErr := url.Parse(failed.URL); parseErr == nil && u.Host != "" {
			host = u.Host
		}
		return fmt.Errorf("no answer from %s at %s: %w", service, host, transport.Transient(failed.Err))
	}
	for _, ended := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, ended) {
			return fmt.Errorf("no answer from %s: %w", service, ended)
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

func refusal(service string, api smithy.APIError, err error) error {
	r := &Refusal{Service: service, Code: text.Line(api.ErrorCode()), Message: text.Line(api.ErrorMessage())}
	var withID interface{ ServiceRequestID() string }
	if errors.As(err, &withID) {
		r.RequestID = text.Line(withID.ServiceRequestID())
	}
	var response *smithyhttp.ResponseError
	header := http.Header{}
	if errors.As(err, &response) && response.Response != nil {
		r.StatusCode, header = response.HTTPStatusCode(), response.Response.Header
	}
	if isTransient(r, err) {
		return retry.Transient(r, transport.RetryAfter(header))
	}
	return r
}

// unreadableAnswer is an answer that the SDK could not parse. After a success, or a balancer's page in place of the service's
// answer, the next attempt may do better. The cause is left out: it may quote the answer, which may hold credentials.
func unreadableAnswer(service string, err error) error {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil {
		return retry.Transient(fmt.Errorf("the answer of %s could not be read", service), 0)
	}
	status := response.HTTPStatusCode()
	unreadable := fmt.Errorf("the answer of %s, %d %s, could not be read", service, status, http.StatusText(status))
	if errors.Is(err, transport.ErrTooLarge) {
		return fmt.Errorf("%w: %w", unreadable, transport.ErrTooLarge)
	}
	if status < http.StatusBadRequest || transport.IsTransientStatus(status) {
		return retry.Transient(unreadable, transport.RetryAfter(response.Response.Header))
	}
	return unreadable
}
