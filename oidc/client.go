package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// maxMessage is how many characters of an endpoint's refusal are repeated in an error.
const maxMessage = 300

// Client asks a build's token endpoint for identity tokens. The fields above Retry are needed.
type Client struct {
	// HTTP sends the requests. It must refuse redirects to other hosts, which would be handed the API token.
	HTTP *http.Client
	// BuildURL is the build that the token speaks of.
	BuildURL BuildURL
	// BuildAPIToken proves to Bitrise that the caller is the build.
	BuildAPIToken secret.Text
	// Now tells the time, for the token's expiry.
	Now func() time.Time
	// Retry is how a request is tried again whose fault may pass.
	Retry retry.Policy
	// Skew is told how far the server's clock is ahead of this machine's, with a precision of a second and the answer's
	// way; nil: nobody is.
	Skew func(time.Duration)
}

// Refusal is an answer of the token endpoint other than 2xx.
type Refusal struct {
	// StatusCode is the HTTP status.
	StatusCode int
	// Message is the endpoint's error_msg, cut and without secrets; empty if it gave none.
	Message string
}

// Error says what the endpoint said.
func (r *Refusal) Error() string {
	text := fmt.Sprintf("the token endpoint answered %d %s", r.StatusCode, http.StatusText(r.StatusCode))
	if r.Message != "" {
		text += ": " + r.Message
	}
	return strings.TrimRight(text, " ")
}

// Token fetches an identity token whose aud is audience. The token is checked as far as that goes without keys: it is a
// JWT, for that audience, and has not expired. A refusal is a [*Refusal].
func (c Client) Token(ctx context.Context, audience string) (Token, error) {
	var token Token
	err := c.Retry.Do(ctx, func(ctx context.Context) error {
		var err error
		token, err = c.fetch(ctx, audience)
		return err
	})
	if err != nil {
		return Token{}, &TokenError{BuildURL: c.BuildURL, Audience: audience, Err: err}
	}
	return token, nil
}

// fetch makes one attempt.
func (c Client) fetch(ctx context.Context, audience string) (Token, error) {
	request, err := c.request(ctx, audience)
	if err != nil {
		return Token{}, err
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		// A url.Error repeats the URL, after a redirect one that the server chose.
		var urlError *url.Error
		if errors.As(err, &urlError) {
			err = urlError.Err
		}
		return Token{}, transport.Fault(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return Token{}, transport.Fault(fmt.Errorf("read the answer: %w", err))
	}
	now := c.serverTime(response.Header)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		refusal := &Refusal{StatusCode: response.StatusCode, Message: c.refusalMessage(answer)}
		if transport.PassingStatus(response.StatusCode) {
			return Token{}, retry.Passing(refusal, transport.RetryAfter(response.Header))
		}
		return Token{}, refusal
	}
	return c.parseAnswer(answer, audience, now)
}

func (c Client) request(ctx context.Context, audience string) (*http.Request, error) {
	body, err := json.Marshal(map[string]string{"aud": audience})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BuildURL.tokenEndpoint(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("BUILD_API_TOKEN", c.BuildAPIToken.Reveal())
	return request, nil
}

// serverTime returns the time by the server's clock, which issued the token, where the answer tells it; else by this
// machine's, which may be wrong.
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

// parseAnswer reads an answer of 2xx. That it is cut short, or is something else altogether, may pass: a balancer or a
// deployment in between. That the token is for another audience will not.
func (c Client) parseAnswer(answer []byte, audience string, now time.Time) (Token, error) {
	var fields struct {
		IDToken secret.Text `json:"id_token"`
	}
	// The cause is left out: it may quote the answer, and the answer holds the token.
	if err := json.Unmarshal(answer, &fields); err != nil {
		return Token{}, retry.Passing(fmt.Errorf("the answer, of %d bytes, is not the JSON object that was expected", len(answer)), 0)
	}
	if fields.IDToken.IsEmpty() {
		return Token{}, retry.Passing(errors.New("the answer has no id_token"), 0)
	}
	token, err := ParseToken(fields.IDToken)
	if err != nil {
		return Token{}, retry.Passing(fmt.Errorf("the answer's id_token is %w", err), 0)
	}
	if got := token.Audience(); len(got) != 1 || got[0] != audience {
		return Token{}, fmt.Errorf("the answer's token is for the audience %s, %q was asked for", text.OneLine(fmt.Sprintf("%q", got), maxMessage), audience)
	}
	// OpenID Connect Core 1.0, section 2: exp is required.
	expires, ok := token.ExpiresAt()
	if !ok {
		return Token{}, errors.New("the answer's token does not say when it expires (exp)")
	}
	if !now.Before(expires) {
		return Token{}, fmt.Errorf("the answer's token has expired at %s, now it is %s", expires.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	token.expires = c.Now().Add(expires.Sub(now))
	return token, nil
}

// refusalMessage takes the endpoint's sentence out of a refusal's body. What a server says goes into a build log, so it
// must not carry the secret that was sent, nor move the log's cursor, nor fill it.
func (c Client) refusalMessage(body []byte) string {
	var fields struct {
		Message string `json:"error_msg"`
	}
	if err := json.Unmarshal(body, &fields); err != nil {
		return ""
	}
	return text.OneLine(secret.Scrub(fields.Message, c.BuildAPIToken), maxMessage)
}
