package awserr_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

func TestFromJSON(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		header http.Header
		body   string
		read   error
		want   string
		passes bool
	}{
		"a refusal":               {400, http.Header{"X-Amzn-Requestid": {"id-1"}}, `{"__type":"AccessDeniedException","message":"no"}`, nil, "ECR answered AccessDeniedException: no (request ID id-1)", false},
		"with a namespace":        {400, nil, `{"__type":"com.amazonaws.ecr#ServerException:http://x/","Message":"no"}`, nil, "ECR answered ServerException: no", false},
		"code in the header":      {400, http.Header{"X-Amzn-Errortype": {"ThrottlingException:http://x/"}}, `{"message":"slow"}`, nil, "ECR answered ThrottlingException: slow", true},
		"code without type":       {400, nil, `{"code":"X"}`, nil, "ECR answered X", false},
		"with the secret in it":   {400, nil, `{"__type":"X","message":"token canary is bad"}`, nil, "ECR answered X: token [REDACTED] is bad", false},
		"with control characters": {400, nil, `{"__type":"X","message":"a\u001b[31m\nb"}`, nil, "ECR answered X: a [31m b", false},
		"no code":                 {400, nil, `{"message":"canary"}`, nil, "the answer of ECR, 400 Bad Request, could not be read", false},
		"a page":                  {403, nil, `<html>canary`, nil, "the answer of ECR, 403 Forbidden, could not be read", false},
		"a balancer's page":       {503, nil, `<html>canary`, nil, "the answer of ECR, 503 Service Unavailable, could not be read", true},
		"a failure":               {500, nil, `{"__type":"ServerException","message":"oops"}`, nil, "ECR answered ServerException: oops", true},
		"broken off":              {200, nil, `{"canary`, io.ErrUnexpectedEOF, "the answer of ECR, 200 OK, could not be read", true},
		"too large":               {200, nil, ``, transport.ErrTooLarge, "the answer of ECR, 200 OK, could not be read: the answer is larger than 1 MiB", false},
	} {
		err := awserr.FromJSON("ECR", &http.Response{StatusCode: row.status, Header: row.header}, []byte(row.body), row.read, secret.New("canary"))
		if err.Error() != row.want || awserr.Passes(err) != row.passes {
			t.Errorf("%s: got %q, passes %v", name, err, awserr.Passes(err))
		}
	}
	header := http.Header{"Retry-After": {"7"}}
	var fault *retry.Fault
	if err := awserr.FromJSON("ECR", &http.Response{StatusCode: 429, Header: header}, []byte(`{"__type":"X"}`), nil); !errors.As(err, &fault) || fault.After != 7*time.Second {
		t.Errorf("%v", err)
	}
}

func TestSkewed(t *testing.T) {
	for code, skewed := range map[string]bool{"InvalidSignatureException": true, "RequestExpired": true, "AccessDeniedException": false} {
		got, marked := awserr.Skewed(&awserr.Refusal{Code: code})
		if got != skewed || awserr.Passes(marked) != skewed {
			t.Errorf("%s: %v, %v", code, got, marked)
		}
	}
	other := errors.New("no refusal")
	if got, marked := awserr.Skewed(other); got || !errors.Is(marked, other) {
		t.Errorf("%v, %v", got, marked)
	}
}

func FuzzFromJSON(f *testing.F) {
	f.Add([]byte(`{"__type":"a#b:c","message":"m"}`), "c#d:e")
	f.Add([]byte(`{`), "")
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		err := awserr.FromJSON("ECR", &http.Response{StatusCode: 400, Header: http.Header{"X-Amzn-Errortype": {kind}}}, body, nil)
		if err == nil || len(err.Error()) > 10000+4*len(kind) {
			t.Errorf("an error of %d characters", len(err.Error()))
		}
	})
}
