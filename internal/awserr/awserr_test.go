package awserr_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// sdkError wraps an error as the SDK's clients do.
func sdkError(status int, header http.Header, err error) error {
	response := &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: header}}
	return &smithy.OperationError{ServiceID: "STS", OperationName: "X", Err: &smithyhttp.ResponseError{Response: response, Err: err}}
}

func apiError(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

func TestWhatPasses(t *testing.T) {
	for name, row := range map[string]struct {
		err    error
		passes bool
	}{
		"throttled":         {sdkError(400, nil, apiError("Throttling", "Rate exceeded")), true},
		"ECR throttled":     {sdkError(400, nil, apiError("ThrottlingException", "")), true},
		"too many":          {sdkError(429, nil, apiError("Anything", "")), true},
		"500":               {sdkError(500, nil, apiError("InternalFailure", "")), true},
		"unknown 503":       {sdkError(503, nil, apiError("UnknownError", "")), true},
		"provider":          {sdkError(400, nil, apiError("IDPCommunicationError", "")), true},
		"key":               {sdkError(400, nil, apiError("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider,  please …")), true},
		"other token error": {sdkError(400, nil, apiError("InvalidIdentityToken", "Incorrect token audience")), false},
		"denied":            {sdkError(403, nil, apiError("AccessDenied", "")), false},
		"region":            {sdkError(403, nil, apiError("RegionDisabledException", "")), false},
		"expired":           {sdkError(400, nil, apiError("ExpiredTokenException", "")), false},
		"packed":            {sdkError(400, nil, apiError("PackedPolicyTooLarge", "")), false},
		"page with 200":     {sdkError(200, nil, &smithy.DeserializationError{Err: errors.New("canary")}), true},
		"page with 502":     {sdkError(502, nil, errors.New("canary")), true},
		"page with 403":     {sdkError(403, nil, errors.New("canary")), false},
		"too large":         {sdkError(200, nil, &smithy.DeserializationError{Err: transport.ErrTooLarge}), false},
		"connection":        {&smithy.OperationError{Err: &url.Error{Op: "Post", URL: "https://sts.amazonaws.com/?x=canary", Err: errors.New("connection reset")}}, true},
		"redirect":          {sdkError(0, nil, &smithyhttp.RequestSendError{Err: &url.Error{Op: "Post", URL: "https://x", Err: &transport.RedirectError{}}}), false},
		"bare redirect":     {&smithy.OperationError{Err: &url.Error{Op: "Post", URL: "https://x", Err: &transport.RedirectError{}}}, false},
		"cancelled":         {&smithy.OperationError{Err: context.Canceled}, false},
		"something else":    {errors.New("endpoint rule error"), false},
	} {
		got := awserr.Shorten("STS", row.err)
		fault := new(retry.Fault)
		if passes := errors.As(got, &fault); passes != row.passes {
			t.Errorf("%s: passes %v, want %v: %v", name, passes, row.passes, got)
		}
		if strings.Contains(got.Error(), "canary") {
			t.Errorf("%s: the error quotes what it must not: %v", name, got)
		}
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	for _, err := range []error{apiError("Throttling", ""), errors.New("a page")} {
		fault := new(retry.Fault)
		if got := awserr.Shorten("STS", sdkError(503, http.Header{"Retry-After": {"7"}}, err)); !errors.As(got, &fault) || fault.After != 7*time.Second {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestShortenTellsWhatAWSSaid(t *testing.T) {
	err := awserr.Shorten("ECR", sdkError(400, nil, apiError("AccessDeniedException", "User canary-secret\x1b[31m may not\n"+strings.Repeat("x", 3000))), secret.New("canary-secret"))
	var refusal *awserr.Refusal
	if !errors.As(err, &refusal) || refusal.Code != "AccessDeniedException" || refusal.StatusCode != 400 {
		t.Fatalf("%v", err)
	}
	if got := err.Error(); !strings.HasPrefix(got, "ECR answered AccessDeniedException: User [REDACTED] [31m may not x") || strings.ContainsAny(got, "\x1b\n") || len(got) > 1200 {
		t.Errorf("%q", got)
	}
	if got := awserr.Shorten("STS", sdkError(418, nil, apiError("UnknownError", "UnknownError"))).Error(); got != "STS answered 418 I'm a teapot" {
		t.Errorf("%q", got)
	}
}

func TestFresh(t *testing.T) {
	for code, want := range map[string]bool{"InvalidClientTokenId": true, "UnrecognizedClientException": true, "InvalidAccessKeyId": true, "AccessDenied": false, "SignatureDoesNotMatch": false} {
		err := fmt.Errorf("wrapped: %w", &awserr.Refusal{Code: code})
		fresh, old := awserr.Fresh{Credentials: true}, awserr.Fresh{}
		if awserr.Passes(fresh.Mark(err)) != want || awserr.Passes(old.Mark(err)) {
			t.Errorf("%s: %v of fresh credentials, %v of others", code, fresh.Mark(err), old.Mark(err))
		}
	}
	fresh := awserr.Fresh{Credentials: true}
	attempts := 1
	for awserr.Passes(fresh.Mark(&awserr.Refusal{Code: "InvalidClientTokenId"})) {
		attempts++
	}
	if attempts != 8 {
		t.Errorf("%d attempts, want 8", attempts)
	}
	if fresh.Mark(nil) != nil {
		t.Error("no error became one")
	}
}
