package retry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

func TestErrorsOfTheClient(t *testing.T) {
	viaProxy := func(err error) error { return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: err} }
	closed := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	notFound, failed := &net.DNSError{Name: "x", IsNotFound: true}, &net.DNSError{Name: "x", IsTemporary: true}
	for name, row := range map[string]struct {
		err  error
		want int
	}{
		"cut short":                 {io.ErrUnexpectedEOF, unlimited},
		"closed":                    {io.EOF, unlimited},
		"closed port":               {closed, unlimited},
		"anything else":             {errors.New("whatever"), unlimited},
		"proxy down":                {viaProxy(closed), unlimited},
		"proxy fails":               {&transport.ProxyError{Target: "a:443", StatusCode: 502}, unlimited},
		"proxy returns 201":         {&transport.ProxyError{Target: "a:443", StatusCode: 201}, permanent},
		"proxy forbids":             {&transport.ProxyError{Target: "a:443", StatusCode: 403}, permanent},
		"proxy requires a password": {&transport.ProxyError{Target: "a:443", StatusCode: 407}, permanent},
		"redirect":                  {transport.RedirectError("redirected"), permanent},
		"too large":                 {transport.ErrTooLarge, permanent},
		"lookup fails":              {failed, unlimited},
		"host is not found":         {notFound, lookups},
		"lookup of the proxy fails": {viaProxy(failed), unlimited},
		"proxy is not found":        {viaProxy(notFound), lookups},
		"certificate":               {&tls.CertificateVerificationError{}, permanent},
		"certificate of the proxy":  {viaProxy(&tls.CertificateVerificationError{}), permanent},
		"http instead of https":     {tls.RecordHeaderError{}, permanent},
		"out of files":              {os.NewSyscallError("socket", syscall.EMFILE), permanent},
		"out of files in a lookup":  {&net.DNSError{Err: "dial udp [::1]:53: socket: too many open files"}, permanent},
		"address":                   {&net.AddrError{Err: "missing port"}, permanent},
	} {
		t.Run(name, func(t *testing.T) {
			if got, after := attempts(fmt.Errorf("call: %w", transport.Failed(row.err))); got != row.want || after != 0 {
				t.Errorf("got %d attempts, %v; want %d", got, after, row.want)
			}
		})
	}
	for name, err := range map[string]error{"not the client's": io.EOF, "canceled": context.Canceled} {
		if got, _ := attempts(err); got != permanent {
			t.Errorf("%s: got %d attempts", name, got)
		}
	}
}

// sdkError wraps an error as the SDK's clients do.
func sdkError(status int, err error) error {
	response := &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}}}
	return &smithy.OperationError{ServiceID: "STS", OperationName: "X", Err: &smithyhttp.ResponseError{Response: response, Err: err}}
}

type clockSkew struct{ smithy.GenericAPIError }

func (clockSkew) RetryableError() bool { return true }

func TestErrorsOfAWS(t *testing.T) {
	returned := func(status int, code, message string) error {
		return sdkError(status, &smithy.GenericAPIError{Code: code, Message: message})
	}
	unreadable := &smithy.DeserializationError{Err: errors.New("secret")}
	const key = "Couldn't retrieve verification key from your identity provider,  please …"
	for name, row := range map[string]struct {
		err    error
		newKey bool
		want   int
	}{
		"throttled":           {returned(400, "Throttling", "Rate exceeded"), false, unlimited},
		"ECR throttled":       {returned(400, "ThrottlingException", ""), false, unlimited},
		"timed out":           {returned(400, "RequestTimeout", ""), false, unlimited},
		"too many":            {returned(429, "Anything", ""), false, unlimited},
		"500":                 {returned(500, "InternalFailure", ""), false, unlimited},
		"unknown 503":         {returned(503, "UnknownError", ""), false, unlimited},
		"provider":            {returned(400, "IDPCommunicationError", ""), false, unlimited},
		"key":                 {returned(400, "InvalidIdentityToken", key), false, unlimited},
		"clock skew":          {sdkError(403, &clockSkew{smithy.GenericAPIError{Code: "SignatureDoesNotMatch"}}), false, unlimited},
		"signature":           {returned(403, "SignatureDoesNotMatch", ""), false, permanent},
		"other token error":   {returned(400, "InvalidIdentityToken", "Incorrect token audience"), false, permanent},
		"denied":              {returned(403, "AccessDenied", ""), true, permanent},
		"Region":              {returned(403, "RegionDisabledException", ""), false, permanent},
		"expired":             {returned(400, "ExpiredTokenException", ""), false, permanent},
		"old key":             {returned(403, "InvalidClientTokenId", ""), false, permanent},
		"new key":             {returned(403, "InvalidClientTokenId", ""), true, propagation},
		"new key, ECR":        {returned(400, "UnrecognizedClientException", ""), true, propagation},
		"new key, other":      {returned(403, "InvalidAccessKeyId", ""), true, propagation},
		"page with 200":       {sdkError(200, unreadable), false, unlimited},
		"page without status": {unreadable, false, unlimited},
		"page with 502":       {sdkError(502, errors.New("a page")), false, unlimited},
		"page with 403":       {sdkError(403, errors.New("a page")), false, permanent},
		"too large":           {sdkError(200, &smithy.DeserializationError{Err: transport.ErrTooLarge}), false, permanent},
		"connection":          {sdkError(0, &smithyhttp.RequestSendError{Err: &url.Error{Err: io.EOF}}), false, unlimited},
		"redirect":            {sdkError(0, &smithyhttp.RequestSendError{Err: &url.Error{Err: transport.RedirectError("")}}), false, permanent},
		"canceled":            {&smithy.OperationError{Err: context.Canceled}, false, permanent},
		"something else":      {errors.New("unknown"), false, permanent},
	} {
		t.Run(name, func(t *testing.T) {
			signer := credentials.Credentials{}
			if row.newKey {
				signer.Expires = time.Now()
			}
			if got, _ := attempts(awserr.From("STS", signer, row.err)); got != row.want {
				t.Errorf("got %d attempts, want %d", got, row.want)
			}
		})
	}
	if _, after := attempts(awserr.From("STS", credentials.Credentials{}, returned(503, "Busy", ""))); after != 7*time.Second {
		t.Errorf("got a wait of %v", after)
	}
}

func TestTransientStatus(t *testing.T) {
	for status, want := range map[int]bool{
		200: false, 301: false, 400: false, 401: false, 403: false, 404: false, 408: true, 429: true, 499: false,
		500: true, 502: true, 503: true, 504: true, 599: true,
	} {
		if isTransientStatus(status) != want {
			t.Errorf("%d: got %v, want %v", status, !want, want)
		}
	}
}

// Errors with a limit are tried again that often in total, whatever happens in between.
func TestLimits(t *testing.T) {
	notFound := transport.Failed(&net.DNSError{IsNotFound: true})
	newKey := &awserr.Error{Code: "InvalidClientTokenId", NewCredentials: true}
	for name, row := range map[string]struct {
		errs []error // in turn
		want int
	}{
		"host not found":       {[]error{notFound}, 4},
		"new credentials":      {[]error{newKey}, 8},
		"with others between":  {[]error{notFound, transport.Failed(io.EOF)}, 7},
		"garbled, then denied": {[]error{transport.Garbled("not JSON"), &awserr.Error{Code: "AccessDenied"}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				err := Policy{}.Do(t.Context(), func(context.Context) error { calls++; return row.errs[(calls-1)%len(row.errs)] })
				if calls != row.want || err == nil {
					t.Errorf("got %d attempts, %v; want %d", calls, err, row.want)
				}
			})
		})
	}
}
