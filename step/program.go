package step

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

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// runProgram runs a program to its end, or to that of ctx, its standard input given, and returns the beginning of what it
// printed. It is a group of processes of its own: a Ctrl-C at a terminal is meant for the Step, which may need the program
// to clean up, and whatever the program has started ends with it.
func runProgram(ctx context.Context, stdin io.Reader, environment []string, name string, arguments ...string) (string, error) {
	// patience is how long somebody may hold on to the output of a program that has ended.
	const patience = 100 * time.Millisecond

	command := exec.CommandContext(ctx, name, arguments...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = patience
	command.Stdin = stdin
	command.Env = append(command.Environ(), environment...)
	var printed beginning
	command.Stdout, command.Stderr = &printed, &printed
	err := command.Run()
	// The program did what it was to do; only its output was still open.
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return printed.String(), err
}

// beginning keeps the first bytes of what is written to it.
type beginning struct{ kept bytes.Buffer }

// Write takes everything.
func (b *beginning) Write(p []byte) (int, error) {
	const most = 1000

	b.kept.Write(p[:min(len(p), max(0, most-b.kept.Len()))])
	return len(p), nil
}

// String is what was kept, on one line.
func (b *beginning) String() string { return strings.Join(strings.Fields(b.kept.String()), " ") }

// EnvmanProgram is [Envman] by the program on the PATH, https://github.com/bitrise-io/envman.
type EnvmanProgram struct{}

// Add runs "envman add", the value on its standard input, so that it stands in no argument list. go-utils' command is not
// used for it, because a context cannot end that.
func (EnvmanProgram) Add(ctx context.Context, key string, value secret.Text, sensitive bool) error {
	arguments := []string{"add", "--key", key, "--no-expand"}
	if sensitive {
		arguments = append(arguments, "--sensitive")
	}
	// envman logs every value at its debug level, which a variable that the user set turns on.
	said, err := runProgram(ctx, strings.NewReader(value.Reveal()), []string{"LOGLEVEL=error"}, "envman", arguments...)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case said == "":
		return &EnvmanError{Err: err}
	default:
		return &EnvmanError{Err: fmt.Errorf("%w: %s", err, secret.Scrub(said, value))}
	}
}

// EnvmanError is a call of envman that failed.
type EnvmanError struct{ Err error }

// Error says what envman said.
func (e *EnvmanError) Error() string { return "envman: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *EnvmanError) Unwrap() error { return e.Err }
