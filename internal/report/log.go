// Package report is everything that a run shows: its log, its explanations of failures, and its annotation on the build page.
//
// All of it passes through a [Log], which redacts the secrets it knows, in any usual encoding,
// removes escape sequences, and truncates long texts.
package report

import (
	"fmt"
	"io"

	"github.com/bitrise-io/go-utils/v2/log/colorstring"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// Log writes lines that look like those of go-utils' logger. That logger isn't used for two reasons: if its stream fails, it writes to
// standard output, which in a credential process is for the credentials only; and a filter couldn't tell its colors from others.
type Log struct {
	w       io.Writer
	colors  bool
	debug   bool
	secrets *secret.Redactor
}

// NewLog returns a log in colors, for a build's log.
func NewLog(w io.Writer) *Log { return &Log{w: w, colors: true, secrets: new(secret.Redactor)} }

// NewPlainLog returns a log without colors, for a stream that other programs show.
func NewPlainLog(w io.Writer) *Log { return &Log{w: w, secrets: new(secret.Redactor)} }

// Quiet returns a log that shares the secrets and writes nothing.
func (l *Log) Quiet() *Log { return &Log{w: io.Discard, secrets: l.secrets} }

// Protect adds secrets that are never shown from now on.
func (l *Log) Protect(secrets ...secret.Text) { l.secrets.Add(secrets...) }

// EnableDebug turns on [Log.Debugf].
func (l *Log) EnableDebug() { l.debug = true }

// Infof writes a heading.
func (l *Log) Infof(format string, args ...any) { l.line(colorstring.Blue, format, args...) }

// Printf writes a line.
func (l *Log) Printf(format string, args ...any) { l.line(colorstring.NoColor, format, args...) }

// Donef writes a success message.
func (l *Log) Donef(format string, args ...any) { l.line(colorstring.Green, format, args...) }

// Warnf writes a warning.
func (l *Log) Warnf(format string, args ...any) { l.line(colorstring.Yellow, format, args...) }

// Errorf writes an error.
func (l *Log) Errorf(format string, args ...any) { l.line(colorstring.Red, format, args...) }

// Debugf writes a line to a verbose log.
func (l *Log) Debugf(format string, args ...any) {
	if l.debug {
		l.line(colorstring.Magenta, format, args...)
	}
}

// line writes one line, or several if the text has line breaks. An error is ignored, because a broken log must not fail the run.
func (l *Log) line(color colorstring.ColorFunc, format string, args ...any) {
	line := l.clean(fmt.Sprintf(format, args...))
	if l.colors {
		line = shown(color(string(line)))
	}
	_, _ = fmt.Fprintln(l.w, line)
}

// shown is text that is safe to show. Only [Log.clean] makes it, before the text is wrapped or
// escaped, because a secret can't be recognized after that.
type shown string

// clean makes text safe to show. Secrets are removed after escape sequences, which could hide one, and before the text is truncated.
func (l *Log) clean(s string) shown {
	const longest = 4000 // characters; messages of AWS and inputs are shorter

	s = l.secrets.Redact(text.Clean(s))
	if runes := []rune(s); len(runes) > longest {
		s = string(runes[:longest]) + "… (truncated)"
	}
	return shown(s)
}
