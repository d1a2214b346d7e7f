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
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// sdkError wraps an error as the SDK's clients do.
func sdkError(status int, header http.Header, err error) error {
	response := &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: header}}
	return &smithy.OperationError{ServiceID: "STS", OperationName: "X", Err: &smithyhttp.ResponseError{Response: response, Err: err}}
}

func from(err error) error { return awserr.From("STS", credentials.Credentials{}, err) }

func apiError(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}

func TestRetryAfter(t *testing.T) {
	for name, err := range map[string]error{"an AWS error": apiError("Throttling", ""), "a page": errors.New("a page")} {
		t.Run(name, func(t *testing.T) {
			var returned *awserr.Error
			got := from(sdkError(503, http.Header{"Retry-After": {"7"}}, err))
			if !errors.As(got, &returned) || returned.StatusCode != 503 || returned.RetryAfter != 7*time.Second {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"an AWS error":     {sdkError(400, nil, apiError("AccessDeniedException", "may not\nsee")), "STS returned AccessDeniedException: may not see"},
		"without message":  {sdkError(400, nil, apiError("AccessDenied", "")), "STS returned AccessDenied"},
		"not from AWS":     {sdkError(418, nil, apiError("UnknownError", "UnknownError")), "STS returned 418 I'm a teapot"},
		"unknown, no code": {apiError("UnknownError", "x"), "STS returned UnknownError: x"},
		"page with 200":    {sdkError(200, nil, &smithy.DeserializationError{Err: errors.New("secret")}), "the response of STS could not be read"},
		"page, no status":  {&smithy.DeserializationError{Err: errors.New("secret")}, "the response of STS could not be read"},
		"page with 502":    {sdkError(502, nil, errors.New("secret")), "STS returned 502 Bad Gateway"},
		"too large":        {sdkError(200, nil, &smithy.DeserializationError{Err: transport.ErrTooLarge}), "read the response of STS: " + transport.ErrTooLarge.Error()},
		"no connection":    {&url.Error{Op: "Post", URL: "https://sts.x/?secret", Err: errors.New("reset")}, "no response from STS at sts.x: reset"},
		"no host":          {&url.Error{Op: "Post", URL: ":", Err: errors.New("reset")}, "no response from STS at its endpoint: reset"},
		"deadline":         {&smithy.OperationError{Err: context.DeadlineExceeded}, "no response from STS: context deadline exceeded"},
		"anything":         {errors.New("unheard\nof"), "call STS: unheard of"},
		"no endpoint":      {errors.New("resolve https://u:p@x: endpoint rule error, FIPS is not supported"), "call STS: endpoint rule error, FIPS is not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := from(row.err).Error(); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	table := []explain.Explanation{{Match: "Throttling: special", Cause: "by the table"}}
	for name, row := range map[string]struct {
		err   error
		cause string
		do    string
		said  bool
	}{
		"by the table":     {&awserr.Error{Service: "STS", Code: "Throttling", Message: "Special"}, "by the table", "", true},
		"throttled":        {&awserr.Error{Service: "STS", Code: "Throttling"}, "STS was still throttling requests", "Increase timeout", true},
		"expired":          {&awserr.Error{Service: "ECR", Code: "ExpiredTokenException"}, "the credentials had expired when ECR received them", "session_duration", true},
		"signature":        {&awserr.Error{Service: "ECR", Code: "InvalidSignatureException"}, "ECR rejected the request's signature", "clock", true},
		"unknown key":      {&awserr.Error{Service: "ECR", Code: "UnrecognizedClientException"}, "ECR does not recognize the credentials", "Run the build again", true},
		"a server error":   {&awserr.Error{Service: "STS", Code: "X", StatusCode: 500}, "call: STS returned X", "Run the build again later", false},
		"an unknown code":  {&awserr.Error{Service: "STS", Code: "X", StatusCode: 499}, "call: STS returned X", "AWS's documentation of STS", false},
		"another error":    {errors.New("reset"), "call: reset", "", false},
		"an advised error": {explain.Advise(errors.New("reset"), "Plug it in."), "call: reset", "Plug it in.", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := fmt.Errorf("call: %w", row.err)
			got := awserr.Explain(err, table, awserr.Call{})
			x := explain.Of(got)
			if !strings.HasPrefix(x.Cause, row.cause) || !strings.Contains(strings.Join(x.Do, " "), row.do) ||
				(x.Said != "" && x.SaidBy == "AWS") != row.said {
				t.Errorf("got %+v", x)
			}
			if !errors.Is(got, row.err) {
				t.Errorf("the explanation does not wrap the error: %v", got)
			}
		})
	}
}
