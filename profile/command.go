package profile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Command is a value of credential_process that every reader takes for the same program and argument.
type Command struct{ text string }

// newCommand makes a command line. Readers split it in two ways: botocore like Python's shlex, most others by handing it to
// sh -c. In double quotes both leave everything as it is but for " \ $ and `, so a path with one of those is an error. AWS's
// SDK for Go takes the quotes off a value that begins and ends with one, hence the argument has none: a [Key] needs none.
func newCommand(program string, key Key) (Command, error) {
	bad := func(r rune) bool { return strings.ContainsRune("\"\\$`", r) || unicode.IsControl(r) }
	if !utf8.ValidString(program) || strings.ContainsFunc(program, bad) {
		return Command{}, fmt.Errorf("the path %q has a quote, a backslash, $, ` or a control character in it, which credential_process cannot carry; set HOME to a folder without", program)
	}
	// AWS's SDK for Go takes the rest for a comment, quotes or not.
	if strings.Contains(program, " #") || strings.Contains(program, " ;") {
		return Command{}, fmt.Errorf("the path %q has a blank before # or ; in it, where a comment would begin; set HOME to a folder without", program)
	}
	return Command{text: `"` + program + `" ` + key.digest}, nil
}
