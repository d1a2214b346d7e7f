package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// clockSkew is the maximum difference between the time of a signature and the server's time:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html.
const clockSkew = 5 * time.Minute

// scope is the content of an Authorization header.
type scope struct {
	accessKeyID, date, region, service string
	signedHeaders                      []string
	signature                          string
}

// parseAuthorization parses the Authorization header of Signature Version 4.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
func parseAuthorization(header string) (scope, error) {
	rest, found := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !found {
		return scope{}, errors.New("not a Signature Version 4 header")
	}
	var s scope
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch key {
		case "Credential":
			fields := strings.Split(value, "/")
			if len(fields) != 5 || fields[4] != "aws4_request" {
				return scope{}, errors.New("the credential scope is malformed")
			}
			s.accessKeyID, s.date, s.region, s.service = fields[0], fields[1], fields[2], fields[3]
		case "SignedHeaders":
			s.signedHeaders = strings.Split(value, ";")
		case "Signature":
			s.signature = value
		}
	}
	if s.accessKeyID == "" || s.signature == "" || len(s.signedHeaders) == 0 {
		return scope{}, errors.New("the signature is incomplete")
	}
	return s, nil
}

// codes are a service's error codes for invalid signatures.
type codes struct {
	status                                             int
	missing, unknown, expired, mismatch, clock, format string
}

var (
	stsCodes = codes{
		http.StatusForbidden, "MissingAuthenticationToken", "InvalidClientTokenId", "ExpiredToken",
		"SignatureDoesNotMatch", "SignatureDoesNotMatch", "IncompleteSignature",
	}
	ecrCodes = codes{
		http.StatusBadRequest, "MissingAuthenticationTokenException", "UnrecognizedClientException", "ExpiredTokenException",
		"InvalidSignatureException", "InvalidSignatureException", "IncompleteSignatureException",
	}
)

// authenticate verifies the signature of a call and returns the caller. The caller of the function must hold the lock.
func (s *Sandbox) authenticate(r *http.Request, body []byte, service string, c codes) (principal, *apiError) {
	if r.Header.Get("Authorization") == "" {
		return principal{}, newError(c.status, c.missing, "Request is missing Authentication Token")
	}
	claimed, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return principal{}, newError(c.status, c.format, "%s", err)
	}
	credential, found := s.keys[claimed.accessKeyID]
	if !found || r.Header.Get("X-Amz-Security-Token") != credential.sessionToken {
		return principal{}, newError(c.status, c.unknown, "The security token included in the request is invalid.")
	}
	now := s.clock()
	if !credential.expires.IsZero() && !now.Before(credential.expires) {
		return principal{}, newError(c.status, c.expired, "The security token included in the request is expired")
	}
	signedAt, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || !strings.HasPrefix(r.Header.Get("X-Amz-Date"), claimed.date) || claimed.service != service {
		return principal{}, newError(c.status, c.mismatch,
			"Credential should be scoped to a valid region and service, and to the date of X-Amz-Date.")
	}
	if now.Sub(signedAt).Abs() > clockSkew {
		return principal{}, newError(c.status, c.clock, "Signature expired: %s is now earlier than %s (%s - 5 min.)",
			r.Header.Get("X-Amz-Date"), now.Add(-clockSkew).UTC().Format("20060102T150405Z"), now.UTC().Format("20060102T150405Z"))
	}
	if !slices.Contains(claimed.signedHeaders, "host") || !verify(r, body, claimed, credential, signedAt) {
		return principal{}, newError(c.status, c.mismatch, "The request signature we calculated does not match the signature you provided. "+
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return credential.principal, nil
}

// verify signs the request with the secret that the server knows and compares the signatures.
func verify(r *http.Request, body []byte, claimed scope, credential credential, at time.Time) bool {
	again, err := http.NewRequestWithContext(context.Background(), r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return false
	}
	for _, name := range claimed.signedHeaders {
		switch name {
		case "host", "content-length":
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	if !slices.Contains(claimed.signedHeaders, "content-length") {
		again.ContentLength = 0
	}
	hash := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{
		AccessKeyID: claimed.accessKeyID, SecretAccessKey: credential.secret, SessionToken: credential.sessionToken,
	}, again, hex.EncodeToString(hash[:]), claimed.service, claimed.region, at)
	if err != nil {
		return false
	}
	ours, err := parseAuthorization(again.Header.Get("Authorization"))
	return err == nil && subtle.ConstantTimeCompare([]byte(ours.signature), []byte(claimed.signature)) == 1
}
