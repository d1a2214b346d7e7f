// Package oidc fetches the identity token of a Bitrise build, and parses OpenID Connect tokens of any issuer.
//
// It knows neither AWS nor the Step's inputs.
package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// Client requests identity tokens from a build's token endpoint.
type Client struct {
	// HTTP sends the requests. It must not follow redirects to other hosts, because they would receive the API token.
	HTTP     *http.Client
	BuildURL BuildURL
	// BuildAPIToken authenticates the request to Bitrise.
	BuildAPIToken secret.Text
	Now           func() time.Time // for the token's expiry
	Retry         retry.Policy
	// Skew, if not nil, is called with how far the server's clock is ahead of this machine's, to the second.
	Skew func(time.Duration)
}

// StatusError is a response from the token endpoint with a status other than 2xx.
type StatusError struct {
	StatusCode int
	// Message is the endpoint's error_msg, on one line, or empty if there is none.
	Message string
	// RetryAfter is how long the endpoint asked the client to wait, or zero if it didn't ask.
	RetryAfter time.Duration
}

// Status returns the HTTP status, and how long the endpoint asked the client to wait.
func (r *StatusError) Status() (int, time.Duration) { return r.StatusCode, r.RetryAfter }

func (r *StatusError) Error() string {
	text := strings.TrimSpace(fmt.Sprintf("the token endpoint returned %d %s", r.StatusCode, http.StatusText(r.StatusCode)))
	if r.Message != "" {
		text += ": " + r.Message
	}
	return text
}

// Token fetches an identity token for an audience. It verifies that it is a JSON Web Token for that audience and has not expired, but
// not its signature.
func (c Client) Token(ctx context.Context, audience string) (idtoken.Token, error) {
	var token idtoken.Token
	err := c.Retry.Do(ctx, func(ctx context.Context) error {
		var err error
		token, err = c.fetch(ctx, tokenRequest{Audience: audience})
		return err
	})
	if err != nil {
		return idtoken.Token{}, explainStatus(fmt.Errorf("fetch an identity token from %s: %w", c.BuildURL, err), c.BuildURL, audience)
	}
	return token, nil
}

// TokenWithSubject requests an identity token with a sub of the caller's choice, in a single attempt. Bitrise documents no such
// request: the token may have this sub or a different one.
func (c Client) TokenWithSubject(ctx context.Context, audience, subject string) (idtoken.Token, error) {
	return c.fetch(ctx, tokenRequest{Audience: audience, Subject: subject})
}

// tokenRequest is the body of a request for a token.
type tokenRequest struct {
	Audience string `json:"aud"`
	Subject  string `json:"sub,omitempty"`
}

// fetch makes one attempt.
func (c Client) fetch(ctx context.Context, body tokenRequest) (idtoken.Token, error) {
	request, err := c.request(ctx, body)
	if err != nil {
		return idtoken.Token{}, err
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return idtoken.Token{}, transport.Failed(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return idtoken.Token{}, transport.Failed(fmt.Errorf("read the response: %w", err))
	}
	now := c.serverTime(response.Header)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return idtoken.Token{}, &StatusError{
			StatusCode: response.StatusCode, Message: errorMessage(content), RetryAfter: transport.RetryAfter(response.Header),
		}
	}
	return c.parseResponse(content, body.Audience, now)
}

func (c Client) request(ctx context.Context, body tokenRequest) (*http.Request, error) {
	encoded, _ := json.Marshal(body) // cannot fail for strings
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BuildURL.tokenEndpoint(), bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("BUILD_API_TOKEN", c.BuildAPIToken.Reveal())
	return request, nil
}

// serverTime returns the time by the server's clock if the response includes it, else by this machine's, which may be wrong.
func (c Client) serverTime(header http.Header) time.Time {
	now := c.Now()
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return now
	}
	if c.Skew != nil {
		c.Skew(date.Sub(now))
	}
	return date
}

// parseResponse parses a response with status 2xx. The error is a [transport.Error] unless there is a well-formed token that
// can't be used.
func (c Client) parseResponse(content []byte, audience string, now time.Time) (idtoken.Token, error) {
	var fields struct {
		IDToken secret.Text `json:"id_token"`
	}
	// The cause is left out, because it may quote the response, which contains the token.
	if err := json.Unmarshal(content, &fields); err != nil {
		return idtoken.Token{}, transport.Garbled("the response (%d bytes) is not the expected JSON object", len(content))
	}
	if fields.IDToken.IsEmpty() {
		return idtoken.Token{}, transport.Garbled("the response has no id_token")
	}
	token, err := ParseToken(fields.IDToken)
	if err != nil {
		return idtoken.Token{}, transport.Garbled("the id_token in the response %w", err)
	}
	if len(token.Audience) != 1 || token.Audience[0] != audience {
		got := text.Line(fmt.Sprintf("%q", token.Audience))
		return idtoken.Token{}, fmt.Errorf("the token in the response must be for the audience %q, got %s", audience, got)
	}
	// OpenID Connect Core 1.0, section 2: exp is required.
	if token.Expires.IsZero() {
		return idtoken.Token{}, errors.New("the token in the response does not say when it expires (exp)")
	}
	if !now.Before(token.Expires) {
		return idtoken.Token{}, fmt.Errorf("the token in the response expired at %s; the time is %s",
			token.Expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	token.Expires = c.Now().Add(token.Expires.Sub(now))
	return token, nil
}

// errorMessage returns the endpoint's error_msg, if there is one.
func errorMessage(body []byte) string {
	var fields struct {
		Message string `json:"error_msg"`
	}
	if err := json.Unmarshal(body, &fields); err != nil {
		return ""
	}
	return text.Line(fields.Message)
}
