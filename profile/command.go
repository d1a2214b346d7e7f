package profile

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Subcommand is the first argument of the program when it runs as a credential process; the session's key is the second.
const Subcommand = "credential-process"

// Command is a value of credential_process.
type Command struct{ text string }

// newCommand returns a command line that all readers split into the same program and arguments. botocore splits it as
// Python's shlex does; most others run it with sh -c. Some readers don't know
// quotes, or drop what follows them, so the path is quoted only if necessary. Single quotes can't contain a single quote, and the
// SDKs for Go start a comment at # or ; after a space, even in quotes.
func newCommand(program, key string) (Command, error) {
	const safePunctuation = "/._-+@%,:="

	cannotQuote := func(r rune) bool { return r == '\'' || unicode.IsControl(r) }
	if !utf8.ValidString(program) || strings.ContainsFunc(program, cannotQuote) ||
		strings.Contains(program, " #") || strings.Contains(program, " ;") {
		return Command{}, fmt.Errorf("the path %q must not contain a single quote, a control character, or # or ; after a space", program)
	}
	needsQuotes := func(r rune) bool {
		return !unicode.In(r, unicode.Letter, unicode.Digit, unicode.Mark) && !strings.ContainsRune(safePunctuation, r)
	}
	if strings.ContainsFunc(program, needsQuotes) {
		program = "'" + program + "'"
	}
	return Command{text: program + " " + Subcommand + " " + key}, nil
}

var commandPattern = regexp.MustCompile(`/([0-9a-f]+)/` + ProgramName + `'? ` + Subcommand + ` ([0-9a-f]+)$`)

// parseCommand returns the session of a command that newCommand returned, or nil for other commands.
func parseCommand(command string) *Session {
	match := commandPattern.FindStringSubmatch(command)
	if match == nil {
		return nil
	}
	session, err := ParseSession(match[1] + "/" + match[2])
	if err != nil {
		return nil
	}
	return &session
}
