package step

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// output is one variable for the Steps that follow.
type output struct {
	key   string
	value secret.Text
	// sensitive makes Bitrise redact the value in the logs of the Steps that follow.
	sensitive bool
}

// credentialOutputs are the outputs of every run, in the order they are exported in. Those whose value is not known are
// exported empty, so that one of an earlier Step does not linger beside credentials that it does not belong to.
func credentialOutputs(region awsid.Region, session awsauth.Session) []output {
	var expiration string
	if !session.Expires.IsZero() {
		expiration = clock(session.Expires)
	}
	return []output{
		{key: "AWS_ACCESS_KEY_ID", value: session.AccessKeyID, sensitive: true},
		{key: "AWS_SECRET_ACCESS_KEY", value: session.SecretAccessKey, sensitive: true},
		{key: "AWS_SESSION_TOKEN", value: session.SessionToken, sensitive: true},
		plain("AWS_REGION", region.String()),
		plain("AWS_DEFAULT_REGION", region.String()),
		plain("AWS_ACCOUNT_ID", session.AccountID),
		plain("AWS_CREDENTIAL_EXPIRATION", expiration),
		plain("AWS_CALLER_ARN", session.CallerARN),
	}
}

func plain(key, value string) output { return output{key: key, value: secret.New(value)} }

// Envman sets a variable for the Steps that follow. The value may be a secret, and must get into no log, error, argument
// list or file but envman's own.
type Envman interface {
	Add(ctx context.Context, key string, value secret.Text, sensitive bool) error
}

// export adds all outputs. If one fails, those that were added are emptied again, since envman cannot take one back.
func (s Step) export(ctx context.Context, outputs []output) error {
	started := s.Now()
	for i, out := range outputs {
		if err := s.Envman.Add(ctx, out.key, out.value, out.sensitive); err != nil {
			// The failing one too: nobody knows how far it got.
			return s.empty(ctx, outputs[:i+1], interruption(ctx, fmt.Errorf("export %s: %w", out.key, err)))
		}
	}
	s.Log.Donef("Exported for the next Steps (%s):", s.since(started))
	for _, out := range outputs {
		value := out.value.Reveal()
		switch {
		case value == "":
			value = "(empty)"
		case out.sensitive:
			value = secret.Redacted
		}
		s.Log.Printf("- %s: %s", out.key, strings.ReplaceAll(value, "\n", "\n  "))
	}
	return nil
}

// empty takes back what export did, the secrets first, because there may not be time for all, and returns why it had to.
func (s Step) empty(ctx context.Context, outputs []output, cause error) error {
	ctx, cancel := grace(ctx)
	defer cancel()
	left := leftBehindError{cause: cause}
	for _, sensitive := range []bool{true, false} {
		for _, out := range outputs {
			// SDKs refuse an empty name of a profile; see profileOutputs.
			if out.sensitive != sensitive || out.key == profileVariable {
				continue
			}
			if err := s.Envman.Add(ctx, out.key, secret.Text{}, false); err != nil {
				left.keys, left.err = append(left.keys, out.key), err
			}
		}
	}
	if len(left.keys) == 0 {
		return cause
	}
	return &left
}

// grace returns a context for cleaning up: it outlives parent, but not for long, because a Step that was told to end has a
// second.
func grace(parent context.Context) (context.Context, context.CancelFunc) {
	const moment = 700 * time.Millisecond

	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() { time.AfterFunc(moment, cancel) })
	return ctx, func() { stop(); cancel() }
}

// leftBehindError is an error after which some exports could not be taken back.
type leftBehindError struct {
	cause error
	keys  []string
	err   error
}

// Error is the error's text; what is left behind is told besides.
func (e *leftBehindError) Error() string { return e.cause.Error() }

// Unwrap returns the error.
func (e *leftBehindError) Unwrap() error { return e.cause }

// leftovers names the exports.
func (e *leftBehindError) leftovers() string {
	return fmt.Sprintf("could not be emptied again, and may be there for the next Steps: %s: %s", strings.Join(e.keys, ", "), e.err)
}
