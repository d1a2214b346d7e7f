// Package explain defines explanations of errors for users: what a service returned, what it means, and what to do.
//
// An error that a user can act on is, or wraps, an [Error]. The texts are data: a [Table] maps what a service returned to an
// [Explanation]. Package report writes Explanations to the log and to the build page.
package explain

import (
	"errors"
	"slices"
	"strings"
)

// Explanation explains an error to a user. It contains no secrets.
type Explanation struct {
	// Section is the anchor of the error's section in docs/troubleshooting.md, if there is one.
	Section string
	// Cause is the cause in one line, in lower case and without a period. It is the first and the last line, and must make sense alone.
	Cause string
	// Said is the error that SaidBy returned, verbatim, or empty if nothing was returned.
	Said string
	// SaidBy is "AWS" or "Bitrise", or empty if Said is empty.
	SaidBy string
	// Means says what the error means, in paragraphs. It states only what is known, and calls everything else likely.
	Means []string
	// Do lists what to do, the most likely fix first.
	Do []string
	// ConditionKeys are the identity token's claims, to compare with a trust policy.
	ConditionKeys []ConditionKey
	// Policy is a suggested trust policy in JSON, if any, and PolicyLetsIn says which builds it lets in.
	Policy, PolicyLetsIn string
}

// ConditionKey is a claim of an identity token as a condition key of a trust policy.
type ConditionKey struct {
	// Key is ISSUER:CLAIM, without the issuer's scheme.
	Key string
	// Value is the claim's value. The items of a list are joined with commas.
	Value string
	// IsDocumented reports whether AWS documents that IAM evaluates the key.
	IsDocumented bool
}

// Error is an error with its explanation. An empty Cause means the error's own text; see [Of].
type Error struct {
	Err error
	Explanation
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Advise adds what to do, if anything, to an error. It returns nil for nil.
func Advise(err error, do ...string) error {
	if err == nil || len(do) == 0 {
		return err
	}
	return &Error{Err: err, Explanation: Explanation{Do: do}}
}

// Of returns the explanation of the outermost [Error] that err wraps. If it has no cause, the cause is the text of err on one line.
func Of(err error) Explanation {
	var x Explanation
	var e *Error
	if errors.As(err, &e) {
		x = e.Explanation
	}
	if x.Cause == "" {
		x.Cause = OneLine(err)
	}
	return x
}

// OneLine returns an error's text on one line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// Row explains one kind of response. Texts may contain {placeholders}.
type Row struct {
	// Codes are the error codes that the row explains. If empty, it explains every code.
	Codes []string
	// Message is a part of the message, in lower case. If empty, the row explains every message.
	Message string
	// Section, Cause, Means, and Do are those of the [Explanation].
	Section, Cause string
	Means, Do      []string
}

// Table is a list of rows. The first match applies.
type Table []Row

// Find returns the explanation of a response with a code and a message, the placeholders {key} replaced by values[key]. It
// reports whether a row matched.
func (t Table) Find(code, message string, values map[string]string) (Explanation, bool) {
	message = strings.ToLower(message)
	for _, row := range t {
		if (len(row.Codes) == 0 || slices.Contains(row.Codes, code)) && strings.Contains(message, row.Message) {
			return row.fill(values), true
		}
	}
	return Explanation{}, false
}

// fill returns the row's explanation with the placeholders replaced.
func (r Row) fill(values map[string]string) Explanation {
	var pairs []string
	for key, value := range values {
		pairs = append(pairs, "{"+key+"}", value)
	}
	// A replacer makes one pass, so placeholders inside values are not replaced.
	replacer := strings.NewReplacer(pairs...)
	x := Explanation{Section: r.Section, Cause: replacer.Replace(r.Cause)}
	for _, text := range r.Means {
		if text = replacer.Replace(text); text != "" {
			x.Means = append(x.Means, text)
		}
	}
	for _, text := range r.Do {
		x.Do = append(x.Do, replacer.Replace(text))
	}
	return x
}
