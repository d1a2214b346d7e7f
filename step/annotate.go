package step

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Annotator puts a text on the build's page.
type Annotator interface {
	// Annotate takes Markdown without secrets. It does nothing, and returns nil, where there is no page to put it on.
	Annotate(ctx context.Context, markdown string) error
}

// annotate puts an explanation on the build's page. That it cannot is no news to somebody whose build has just failed for
// another reason, so only the verbose log tells. It takes no long time off the next Step, and ends with a signal.
func (s Step) annotate(ctx context.Context, markdown string) {
	const patience = 2 * time.Second

	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.Annotations.Annotate(ctx, markdown); err != nil {
		s.Log.Debugf("no annotation on the build's page: %s", err)
	}
}

// BitriseAnnotations is [Annotator] by the annotations plug-in of the Bitrise CLI,
// https://github.com/bitrise-io/bitrise-plugins-annotations.
type BitriseAnnotations struct {
	// Home is the user's home, where the CLI keeps its plug-ins.
	Home string
}

// Annotate runs the plug-in where it is installed, the text on its standard input.
func (b BitriseAnnotations) Annotate(ctx context.Context, markdown string) error {
	program, err := exec.LookPath("bitrise")
	if err != nil || b.Home == "" {
		return nil
	}
	if _, err := os.Stat(filepath.Join(b.Home, ".bitrise", "plugins", "annotations")); err != nil {
		return nil
	}
	_, err = runProgram(ctx, strings.NewReader(markdown), nil, program, ":annotations", "annotate", "--style", "error", "--context", "authenticate-with-aws")
	if err != nil {
		return fmt.Errorf("bitrise :annotations: %w", err)
	}
	return nil
}
