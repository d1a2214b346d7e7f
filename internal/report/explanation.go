package report

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// section is a part of an explanation. The log and the build page render the same sections.
type section struct {
	title shown
	lines []shown
	// bullet precedes each line.
	bullet string
	// isBlock reports whether the lines are a table or JSON, which must not be wrapped.
	isBlock bool
}

// sections returns the parts of an explanation that aren't empty.
func (l *Log) sections(x explain.Explanation) []section {
	all := []section{
		{title: l.clean(x.SaidBy + " said"), lines: l.lines(x.Said)},
		{title: "What this means", lines: l.lines(x.Means...)},
		{title: "What to do", lines: l.lines(x.Do...), bullet: "- "},
		{title: "The identity token's claims, as condition keys of a trust policy", lines: l.lines(x.ConditionKeys...), isBlock: true},
		{title: l.clean("A trust policy that lets in " + x.PolicyLetsIn), lines: l.lines(x.Policy), isBlock: true},
		{title: "More about this error", lines: l.lines(moreAbout(x.Section))},
	}
	return slices.DeleteFunc(all, func(s section) bool { return len(s.lines) == 0 })
}

// lines splits texts into lines, without empty ones.
func (l *Log) lines(texts ...string) []shown {
	var lines []shown
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				lines = append(lines, l.clean(line))
			}
		}
	}
	return lines
}

// Explain writes an explanation. The cause is the first line, where readers start, and the last one, which the build page shows. Lines
// have at most 80 columns, which Bitrise's log shows without scrolling, except for tables, JSON, and long words such as ARNs.
func (l *Log) Explain(x explain.Explanation) {
	l.Printf("")
	l.Errorf("%s", x.Cause)
	for _, s := range l.sections(x) {
		l.Printf("")
		l.Infof("%s", s.title)
		for _, line := range s.lines {
			if s.isBlock {
				l.Printf("%s", line)
			} else {
				l.Printf("%s", wrap(line, s.bullet))
			}
		}
	}
	l.Printf("")
	l.Errorf("%s", x.Cause)
}

// Annotate shows an explanation on the build page, with the annotations plug-in of the Bitrise CLI
// (https://github.com/bitrise-io/bitrise-plugins-annotations), if it is installed in the user's home. It is best effort: the build
// has already failed for a different reason, so problems here appear only in the verbose log.
func (l *Log) Annotate(ctx context.Context, home string, x explain.Explanation) {
	const patience = 2 * time.Second

	program, err := exec.LookPath("bitrise")
	if _, missing := os.Stat(filepath.Join(home, ".bitrise", "plugins", "annotations")); err != nil || missing != nil || home == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, program, ":annotations", "annotate", "--style", "error", "--context", "authenticate-with-aws")
	command.Stdin = strings.NewReader(l.page(x))
	command.WaitDelay = patience // for a process that the plug-in started and that keeps the pipe open
	if output, err := command.CombinedOutput(); err != nil {
		l.Debugf("Could not annotate the build page: bitrise :annotations: %s\n%s", err, output)
	}
}

// page renders an explanation in Markdown.
func (l *Log) page(x explain.Explanation) string {
	page := "**Authenticate with AWS: " + escape(l.clean(x.Cause)) + "**\n"
	for _, s := range l.sections(x) {
		page += "\n**" + escape(s.title) + "**\n\n"
		for _, line := range s.lines {
			if s.isBlock { // indented, because a line could end a block between fences
				page += "    " + string(line) + "\n"
			} else {
				page += s.bullet + escape(line) + "\n\n"
			}
		}
	}
	return page
}

// escape keeps text from being interpreted as Markdown or HTML.
func escape(s shown) string {
	return strings.NewReplacer(
		"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "<", "&lt;", "|", "\\|").Replace(string(s))
}

// version is the Step's version, a tag of its repository. Releases set it with the linker; other builds link to the main branch.
var version = "main"

// moreAbout returns the URL of a section of the troubleshooting page, by default that for other errors.
func moreAbout(section string) string {
	return fmt.Sprintf("https://github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/blob/%s/docs/troubleshooting.md#%s",
		version, cmp.Or(section, "other-errors"))
}

// wrap breaks text at spaces into lines of at most 80 columns. Longer words are not broken, so that they can be copied.
func wrap(s shown, bullet string) string {
	wrapped, column := bullet, len(bullet)
	for i, word := range strings.Fields(string(s)) {
		length := utf8.RuneCountInString(word)
		if i > 0 && column+1+length <= 80 {
			wrapped, column = wrapped+" ", column+1
		} else if i > 0 {
			wrapped, column = wrapped+"\n"+strings.Repeat(" ", len(bullet)), len(bullet)
		}
		wrapped, column = wrapped+word, column+length
	}
	return wrapped
}
