package awserr

import (
	"errors"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

func clean(said string, secrets []secret.Text) string {
	return text.OneLine(secret.Scrub(said, secrets...), maxMessage)
}

// Shorten is From.
//
// Deprecated: use From; the log redacts secrets.
func Shorten(service string, err error, secrets ...secret.Text) error {
	err = From(service, err)
	var r *Refusal
	if errors.As(err, &r) {
		r.Message, r.Code, r.RequestID = clean(r.Message, secrets), clean(r.Code, secrets), clean(r.RequestID, secrets)
	}
	return err
}

// Fresh marks refusals of new credentials.
//
// Deprecated: use NewCredentials.
type Fresh struct {
	Credentials bool
	attempts    NewCredentials
}

// Mark marks an error.
func (f *Fresh) Mark(err error) error {
	if !f.Credentials {
		return err
	}
	return f.attempts.Mark(err)
}

// Passes reports whether an error is transient.
func Passes(err error) bool {
	var fault *retry.Fault
	return errors.As(err, &fault)
}
