package profile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Both are set in the processes that the tests here start and see end: where to write, and how large a file may be.
const (
	killedFolder = "PROFILE_TEST_FOLDER"
	killedLimit  = "PROFILE_TEST_LIMIT"
)

// TestMain lets the test's own program be the one that is killed.
func TestMain(m *testing.M) {
	if folder := os.Getenv(killedFolder); folder != "" {
		if limit, err := strconv.ParseUint(os.Getenv(killedLimit), 10, 64); err == nil {
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
				panic(err)
			}
		}
		writeForever(folder)
	}
	os.Exit(m.Run())
}

// The files are large enough that a kill can hit the midst of one; each that is written is larger than the one before it.
func bigProgram() string { return "#!/bin/sh\nexit\n# " + strings.Repeat("program ", 1<<11) }

func bigSettings() Settings { return Settings{"padding": secret.New(strings.Repeat("x", 1<<15))} }

func bigCredentials() Credentials { return testCredentials(strings.Repeat("A", 1<<16), time.Hour) }

func bigConfig() string { return "# " + strings.Repeat("x", 1<<17) + "\n" }

// writeForever writes every file of a profile again and again, and a line to standard output each time.
func writeForever(folder string) {
	ctx := context.Background()
	file := ConfigFile{path: filepath.Join(folder, "config"), credentials: filepath.Join(folder, "credentials")}
	kept := Folder{path: filepath.Join(folder, "kept")}
	for i := 0; ; i++ {
		name, _ := ParseName(fmt.Sprintf("p%d", i%3))
		command, undo, err := kept.Install(ctx, filepath.Join(folder, "program"), bigSettings(), bigCredentials(), noon())
		if err == nil {
			_, err = file.Write(ctx, Profile{Name: name, Command: command})
		}
		if err != nil {
			os.Exit(1)
		}
		fmt.Println("ok")
		// Away with all, so that the next round writes it anew.
		programs, _ := filepath.Glob(filepath.Join(kept.path, "*", ProgramName))
		_ = errors.Join(os.Remove(programs[0]), undo())
	}
}

// prepare makes a folder for a process that is to be killed.
func prepare(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	write(t, filepath.Join(folder, "program"), bigProgram())
	write(t, filepath.Join(folder, "config"), bigConfig())
	return folder
}

// checkWhole checks that each file is whole, or is not there, and returns how many are there.
func checkWhole(t *testing.T, folder string) int {
	t.Helper()
	content := read(t, filepath.Join(folder, "config"))
	lines := splitLines(content)
	if _, err := findBlocks(lines); err != nil || len(lines) == 0 || lines[0] != bigConfig() || (len(lines) > 1 && !strings.HasSuffix(content, endMark+"\n")) {
		t.Fatalf("the configuration file is broken: %v, %d bytes", err, len(content))
	}
	whole := 1
	kept := Folder{path: filepath.Join(folder, "kept")}
	if programs, _ := filepath.Glob(filepath.Join(kept.path, "*", ProgramName)); len(programs) == 1 {
		whole++
		if got := read(t, programs[0]); got != bigProgram() {
			t.Fatalf("the program is broken: %d bytes", len(got))
		}
	}
	key := bigSettings().Key()
	if _, err := os.Stat(kept.settingsPath(key)); err == nil {
		whole++
		if _, err := kept.Settings(key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(kept.Cache(key).path); err == nil {
		whole++
		if !kept.Cache(key).read().found() {
			t.Fatal("the cache is broken")
		}
	}
	return whole
}

func writer(t *testing.T, folder string, environ ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(append(os.Environ(), killedFolder+"="+folder), environ...)
	return command
}

// A write that ends at a byte that is known, by a limit to the size of files, leaves on the disk what a kill in the midst of
// it would, and what a full disk does. What was written for the session before that is taken back.
func TestWritesThatEndEarly(t *testing.T) {
	for name, row := range map[string]struct {
		limit int
		whole int // files that are whole then, the old configuration file among them
	}{
		"the program's first byte":       {0, 1},
		"the program's last byte":        {len(bigProgram()) - 1, 1},
		"the settings' beginning":        {len(bigProgram()) + 1, 2},
		"the settings' last bytes":       {1 << 15, 2},
		"the cache's beginning":          {1<<15 + 1000, 2},
		"the cache's last bytes":         {1 << 16, 2},
		"the configuration's beginning":  {1<<16 + 1000, 4},
		"the configuration's last bytes": {1<<17 + 50, 4},
	} {
		t.Run(name, func(t *testing.T) {
			folder := prepare(t)
			output, err := writer(t, folder, fmt.Sprint(killedLimit, "=", row.limit)).CombinedOutput()
			if err == nil || strings.Contains(string(output), "ok\n") {
				t.Fatal("the limit was not reached")
			}
			if got := checkWhole(t, folder); got != row.whole {
				t.Errorf("%d files are whole, want %d", got, row.whole)
			}
		})
	}
}

// Whenever the process is killed, each file is whole, or is not there; and the next one finds no lock in its way.
func TestKilledAtAnyPoint(t *testing.T) {
	folder := prepare(t)
	seen := map[int]bool{}
	for range 25 {
		command := writer(t, folder)
		output, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(output)
		for range 1 + rand.IntN(4) {
			if !lines.Scan() {
				t.Fatal("the process that was to be killed ended by itself")
			}
		}
		// Somewhere within the next round: how far it gets in the time of some additions differs each time.
		for n := rand.IntN(1 << 23); n > 0; n-- {
			_ = n
		}
		_ = command.Process.Kill()
		_ = command.Wait()
		seen[checkWhole(t, folder)] = true
	}
	t.Logf("kills left these numbers of whole files: %v", seen)
}
