// Package command runs other programs. go-utils' command is not used: a context cannot stop its programs, and its errors repeat
// the command line.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// maxOutput is how much of a program's output is kept, in bytes.
const maxOutput = 64 << 10

// Run runs a program until it exits or ctx is done. If the program fails, the error includes the beginning of its output, on one line
// and without escape sequences; if ctx is done, the error is the cause. Variables, KEY=VALUE, are added to the program's environment.
// The program is in its own process group: a Ctrl-C at a terminal is meant for the Step, which may need the program to clean up, and
// whatever the program has started ends with it.
func Run(ctx context.Context, stdin io.Reader, variables []string, name string, arguments ...string) error {
	// patience is how long another process may keep the output of a program open that has exited.
	const patience = 100 * time.Millisecond

	c := exec.CommandContext(ctx, name, arguments...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = patience
	c.Stdin = stdin
	c.Env = append(c.Environ(), variables...)
	var printed beginning
	c.Stdout, c.Stderr = &printed, &printed
	err := c.Run()
	output := strings.Join(strings.Fields(text.Clean(printed.kept.String())), " ")
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // the program is done; only its output was still open
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case output != "":
		return fmt.Errorf("%w: %s", err, output)
	default:
		return err
	}
}

// beginning keeps the first bytes that are written to it.
type beginning struct{ kept bytes.Buffer }

func (b *beginning) Write(p []byte) (int, error) {
	_, _ = b.kept.Write(p[:min(len(p), maxOutput-b.kept.Len())]) // never fails
	return len(p), nil
}
