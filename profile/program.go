package profile

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// ProgramName is the file name of the Step's program in the [Folder].
	ProgramName = "authenticate-with-aws"
	// Subcommand is the first argument of the program when it runs as a credential process; the session's key is the second.
	Subcommand = "credential-process"
)

// Usage is shown to a person who runs the program manually.
const Usage = `This is the program of the Bitrise Step "Authenticate with AWS", kept as a
credential process for a profile in AWS's configuration file:

    credential_process = .../` + ProgramName + ` ` + Subcommand + ` KEY

To test the profile, run: aws sts get-caller-identity --profile NAME
`

// Command is a value of credential_process.
type Command struct{ text string }

// newCommand returns a command line that all readers split into the same program and arguments. botocore splits it as
// Python's shlex does; most others run it with sh -c. Some readers don't know quotes, or drop what follows them, so the
// path is quoted only if necessary. Single quotes can't contain a single quote, and the SDKs for Go start a comment at #
// or ; after a space, even in quotes.
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

var commandPattern = regexp.MustCompile(`/([0-9a-f]{16}/)` + ProgramName + `'? ` + Subcommand + ` ([0-9a-f]{64})$`)

// parseCommand returns the session of a command that newCommand returned, or none for other commands.
func parseCommand(command string) Session {
	if match := commandPattern.FindStringSubmatch(command); match != nil {
		return Session(match[1] + match[2])
	}
	return ""
}

// checkRuns verifies that the program can run, so that the login fails and not a later Step that needs credentials.
func checkRuns(ctx context.Context, program string) error {
	if err := exec.CommandContext(ctx, program, Subcommand, "--help").Run(); err != nil {
		return fmt.Errorf("the program can't run from there: %w", err)
	}
	return nil
}
