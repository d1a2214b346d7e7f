// Package explain holds what a person reads about a failure: what the other side said, what it means here, and what to do.
//
// An error that a user can act on is, or wraps, an [Error]. The texts are data: a [Table] maps what a service answered to an
// [Explanation]. How an Explanation looks in the log and on the build page is up to internal/report.
package explain

import (
	"errors"
	"slices"
	"strings"
)

// Explanation explains a failure to a person. It holds no secret.
type Explanation struct {
	// Cause names the cause in one line. It is the last line of the log and must make sense alone: lower case, no period.
	Cause string
	// Said is what SaidBy returned, in its own words, one line per response; empty if nothing was returned.
	Said string
	// SaidBy is who returned Said, "AWS" or "Bitrise"; empty if Said is empty.
	SaidBy string
	// Means says what that means here, one paragraph each. It states only what is known, or calls it likely.
	Means []string
	// Do lists what to do, the most likely remedy first.
	Do []string
	// ConditionKeys are the identity token's claims, to compare with a trust policy; empty where that does not help.
	ConditionKeys []ConditionKey
	// Policy is a trust policy in JSON that would let in this build and little else, and PolicyLetsIn says what it lets in;
	// empty if there is none to suggest.
	Policy, PolicyLetsIn string
}

// ConditionKey is a claim of an identity token as a trust policy sees it.
type ConditionKey struct {
	// Key is ISSUER:CLAIM, without the issuer's scheme.
	Key string
	// Value is the claim's value; the items of a list are joined with commas.
	Value string
	// IsDocumented reports whether AWS documents that IAM evaluates the key.
	IsDocumented bool
}

// Error is an error with its explanation. Fields of the Explanation that are empty are filled by [Of].
type Error struct {
	Err error
	Explanation
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Advise adds what to do, if anything, to an error; it returns nil for nil.
func Advise(err error, do ...string) error {
	if err == nil || len(do) == 0 {
		return err
	}
	return &Error{Err: err, Explanation: Explanation{Do: do}}
}

// Of returns the explanation of an error: that of the outermost [Error] it wraps. If it has no cause, the cause is the whole
// error's text on one line.
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

// Row explains one kind of answer. Texts may contain {placeholders}.
type Row struct {
	// Codes are the error codes that the row explains; none: any code.
	Codes []string
	// Message is a part of the message, in lower case; empty: any message.
	Message string
	// Cause, Means, and Do are those of the [Explanation].
	Cause     string
	Means, Do []string
}

// Table is a list of rows, of which the first match counts.
type Table []Row

// Find returns the explanation of an answer with a code and a message, the placeholders {key} replaced by values[key]. It
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
	// One pass over each text: a placeholder inside a value is not replaced.
	replacer := strings.NewReplacer(pairs...)
	x := Explanation{Cause: replacer.Replace(r.Cause)}
	for _, text := range r.Means {
		x.Means = append(x.Means, replacer.Replace(text))
	}
	for _, text := range r.Do {
		x.Do = append(x.Do, replacer.Replace(text))
	}
	return x
}
