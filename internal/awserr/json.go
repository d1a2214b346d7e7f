package awserr

import (
	"encoding/json"
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
	if passes(refusal, nil) {
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
