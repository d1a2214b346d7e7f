// Package explain defines explanations of errors for users: what a service returned, what it means, and what to do.
//
// An error that a user can act on is, or wraps, an [Error]. The texts are data: each package has tables of what a service can return
// (see [Find]). Package report writes Explanations to the log and to the build page.
package explain

import (
	"errors"
	"strings"
)

// Explanation explains an error to a user. It contains no secrets.
type Explanation struct {
	// Match lists what a service must return, separated by |: a code, or a code, a colon, and a part of the message in lower case.
	Match string
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
	// ConditionKeys are the lines of a table of the token's claims, to compare with a trust policy.
	ConditionKeys []string
	// Policy is a suggested trust policy in JSON, if any. PolicyLetsIn says which builds it lets in.
	Policy, PolicyLetsIn string
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

// Find returns the first explanation in a table of a response with a code and a message, and reports whether there is one.
func Find(table []Explanation, code, message string) (Explanation, bool) {
	for _, x := range table {
		for match := range strings.SplitSeq(x.Match, "|") {
			matched, part, _ := strings.Cut(match, ": ")
			if matched == code && strings.Contains(strings.ToLower(message), part) {
				return x, true
			}
		}
	}
	return Explanation{}, false
}
