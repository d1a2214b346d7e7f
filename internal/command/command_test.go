package command_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/command"
)

func TestRun(t *testing.T) {
	for name, row := range map[string]struct{ script, want string }{
		"success":                 {"echo unseen", ""},
		"a background process":    {"sleep 60 & echo unseen", ""},
		"its own process group":   {`test "$(ps -o pgid= -p $$ | tr -d ' ')" = $$`, ""},
		"no output":               {"exit 3", "exit status 3"},
		"output of both kinds":    {"echo one; echo two >&2; exit 3", "exit status 3: one two"},
		"standard input":          {"cat; exit 3", "exit status 3: given"},
		"a variable":              {`echo "$VARIABLE"; exit 3`, "exit status 3: value"},
		"more output than kept":   {"head -c 100000 /dev/zero | tr '\\0' x; exit 3", "exit status 3: " + strings.Repeat("x", 64<<10)},
		"output on several lines": {"printf 'a\\tb\\n\\nc'; exit 3", "exit status 3: a b c"},
		"colors":                  {"printf '\\033[31mred\\033[0m'; exit 3", "exit status 3: red"},
	} {
		t.Run(name, func(t *testing.T) {
			err := command.Run(t.Context(), strings.NewReader("given"), []string{"VARIABLE=value"}, "sh", "-c", row.script)
			if (err == nil) != (row.want == "") || err != nil && err.Error() != row.want {
				t.Errorf("got %.100v, want %.100q", err, row.want)
			}
		})
	}
}

// When the context is done, the program and its child processes are killed, and the context's cause is returned.
func TestRunEndsWithItsContext(t *testing.T) {
	folder := t.TempDir()
	started, fifo := filepath.Join(folder, "started"), filepath.Join(folder, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	reason := errors.New("the build was aborted")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for {
			if _, err := os.Stat(started); err == nil {
				cancel(reason)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	err = command.Run(ctx, nil, nil, "sh", "-c", "(exec > "+fifo+"; echo > "+started+"; sleep 100000) & wait")
	if !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
	// The pipe is at its end when no child process has it open anymore. If one is left, this hangs.
	if _, err := reader.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a child process is still running: %v", err)
	}
}
