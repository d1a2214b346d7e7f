package awserr

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// FromJSON returns what an answer of AWS's JSON protocols says that is no success, as [Shorten] does for the SDK's calls:
// a [*Refusal], or that the answer could not be read, of which readErr is the cause if it broke off. Faults that may pass
// are marked. See https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization.
func FromJSON(service string, response *http.Response, body []byte, readErr error, secrets ...secret.Text) error {
	var fields struct {
		Type    string `json:"__type"`
		Code    string `json:"code"`
		Message string `json:"message"` // some services spell it Message, which encoding/json takes too
	}
	if readErr != nil || json.Unmarshal(body, &fields) != nil {
		return unreadable(service, response.StatusCode, response.Header, readErr)
	}
	code := shapeName(response.Header.Get("X-Amzn-Errortype"))
	for _, other := range []string{fields.Type, fields.Code} {
		if code == "" {
			code = shapeName(other)
		}
	}
	if code == "" {
		return unreadable(service, response.StatusCode, response.Header, nil)
	}
	refusal := &Refusal{
		Service: service, Code: clean(code, secrets), Message: clean(fields.Message, secrets),
		RequestID: clean(response.Header.Get("X-Amzn-Requestid"), secrets), StatusCode: response.StatusCode,
	}
	if isTransient(refusal, nil) {
		return retry.Passing(refusal, transport.RetryAfter(response.Header))
	}
	return refusal
}

// shapeName is the error's own name in NAMESPACE#NAME:URI, of which all but the name may be missing.
func shapeName(s string) string {
	s, _, _ = strings.Cut(s, ":")
	if _, name, found := strings.Cut(s, "#"); found {
		s = name
	}
	return strings.TrimSpace(s)
}

// Skewed is for dockerlogin/service.go.
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
