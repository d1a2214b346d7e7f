package step

import (
	"fmt"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// All that a run shows passes through this file, whoever's words it is: the Step's own, or those of a server, a program or
// a user. It shows no secret of the run, in no usual encoding; nothing in it moves the log's cursor or turns its writing;
// and no one line fills the log.

// guardedLog is a Logger that keeps these rules.
type guardedLog struct {
	Logger
	keeper *secret.Keeper
}

// Infof writes a heading.
func (l guardedLog) Infof(format string, args ...any) { l.Logger.Infof("%s", l.clean(format, args...)) }

// Printf writes a line.
func (l guardedLog) Printf(format string, args ...any) {
	l.Logger.Printf("%s", l.clean(format, args...))
}

// Donef writes of a success.
func (l guardedLog) Donef(format string, args ...any) { l.Logger.Donef("%s", l.clean(format, args...)) }

// Warnf writes a warning.
func (l guardedLog) Warnf(format string, args ...any) { l.Logger.Warnf("%s", l.clean(format, args...)) }

// Errorf writes an error.
func (l guardedLog) Errorf(format string, args ...any) {
	l.Logger.Errorf("%s", l.clean(format, args...))
}

// Debugf writes to the verbose log.
func (l guardedLog) Debugf(format string, args ...any) {
	l.Logger.Debugf("%s", l.clean(format, args...))
}

func (l guardedLog) clean(format string, args ...any) string {
	return presentable(l.keeper, fmt.Sprintf(format, args...))
}

// presentable makes a text fit to be shown.
func presentable(keeper *secret.Keeper, shown string) string {
	const longest = 8000 // characters: more than the longest of the Step's own, a claims' table or a policy on the build's page

	shown = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case text.Moves(r):
			return ' '
		default:
			return r
		}
	}, keeper.Scrub(shown))
	if runes := []rune(shown); len(runes) > longest {
		return string(runes[:longest]) + "… (cut)"
	}
	return shown
}
