package report

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// Annotate shows an explanation on the build page, with the annotations plug-in of the Bitrise CLI
// (https://github.com/bitrise-io/bitrise-plugins-annotations), if it is installed in the user's home. It is best effort: the build
// has already failed for a different reason, so problems here appear only in the verbose log.
func (l *Log) Annotate(ctx context.Context, home string, x explain.Explanation) {
	const patience = 2 * time.Second

	program, err := exec.LookPath("bitrise")
	if err != nil || home == "" {
		return
	}
	if _, err := os.Stat(filepath.Join(home, ".bitrise", "plugins", "annotations")); err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, program, ":annotations", "annotate", "--style", "error", "--context", "authenticate-with-aws")
	command.Stdin = strings.NewReader(l.page(x))
	command.WaitDelay = patience // for a process that the plug-in started and that keeps its output open
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
