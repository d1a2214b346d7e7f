// Package oidc fetches the identity token of a Bitrise build, and parses tokens of any issuer.
//
// It knows neither AWS nor the Step's inputs.
package oidc

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
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
	// Skew, if not nil, is called with how far the server's clock is ahead, to the second.
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

// Token fetches an identity token for an audience. It verifies that it is a JSON Web Token for that
// audience and has not expired, but not its signature.
func (c Client) Token(ctx context.Context, audience string) (idtoken.Token, error) {
	var token idtoken.Token
	err := c.Retry.Do(ctx, func(ctx context.Context) error {
		var err error
		token, err = c.TokenWithSubject(ctx, audience, "")
		return err
	})
	if err != nil {
		return idtoken.Token{}, c.explainStatus(fmt.Errorf("fetch an identity token from %s: %w", c.BuildURL, err), audience)
	}
	return token, nil
}

// TokenWithSubject makes one attempt to fetch an identity token, with a sub of the caller's choice if
// there is one. Bitrise documents no such request: the token may have this sub or a different one.
func (c Client) TokenWithSubject(ctx context.Context, audience, subject string) (idtoken.Token, error) {
	body, _ := json.Marshal(struct { // cannot fail for strings
		Audience string `json:"aud"`
		Subject  string `json:"sub,omitempty"`
	}{audience, subject})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BuildURL.tokenEndpoint(), bytes.NewReader(body))
	if err != nil {
		return idtoken.Token{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("BUILD_API_TOKEN", c.BuildAPIToken.Reveal())
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
	var fields struct {
		IDToken secret.Text     `json:"id_token"`
		Message json.RawMessage `json:"error_msg"`
	}
	err = json.Unmarshal(content, &fields)
	switch {
	case response.StatusCode < 200 || response.StatusCode > 299:
		var message string
		_ = json.Unmarshal(fields.Message, &message) // it may have a different form
		return idtoken.Token{}, &StatusError{
			StatusCode: response.StatusCode, Message: text.Line(message), RetryAfter: transport.RetryAfter(response.Header),
		}
	case err != nil: // which may quote the response, which contains the token
		return idtoken.Token{}, transport.Garbled("the response (%d bytes) is not the expected JSON object", len(content))
	case fields.IDToken.IsEmpty():
		return idtoken.Token{}, transport.Garbled("the response has no id_token")
	}
	token, err := ParseToken(fields.IDToken)
	if err != nil {
		return idtoken.Token{}, transport.Garbled("the id_token in the response %w", err)
	}
	if token.Audience != audience {
		got := token.Claims["aud"].Value // several, in JSON
		if token.Audience != "" {
			got = strconv.Quote(token.Audience)
		}
		return idtoken.Token{}, fmt.Errorf("the token in the response must be for the audience %q, got %s", audience, cmp.Or(got, "none"))
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
