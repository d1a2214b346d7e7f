package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// testProgram is a fake of the Step's program. It fails unless it is called like the Step calls it.
const testProgram = "#!/bin/sh\n[ \"$*\" = \"credential-process --help\" ]\n"

func testFolder(t *testing.T) (folder Folder, program string) {
	t.Helper()
	folder, err := FolderIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "step")
	write(t, program, testProgram)
	return folder, program
}

// mustStage stages a session whose credentials have the given access key ID.
func (f Folder) mustStage(t *testing.T, program string, settings secret.Text, id string) (Command, []*sharedfile.Change) {
	t.Helper()
	command, changes, err := f.Stage(t.Context(), program, settings, testCredentials(id, time.Hour), noon())
	if err != nil {
		t.Fatal(err)
	}
	return command, changes
}

// folderOf returns the folder of the program that the command runs.
func folderOf(command Command) Folder {
	program, _, _ := strings.Cut(command.text, " ")
	return FolderOf(program)
}

func TestFolderIn(t *testing.T) {
	if folder, err := FolderIn("/home/me"); err != nil || folder.String() != "/home/me/.authenticate-with-aws" {
		t.Errorf("got %s, %v", folder, err)
	}
	if _, err := FolderIn(""); err == nil {
		t.Error("got no error for an empty HOME")
	}
}

func TestStage(t *testing.T) {
	folder, program := testFolder(t)
	settings := secret.New(`{"secret_access_key":"canary-key"}`)
	key := KeyOf(settings)
	command, changes := folder.mustStage(t, program, settings, "first")
	installed := folderOf(command)
	want := filepath.Join(folder.root, installed.version, ProgramName) + " credential-process " + key.String()
	if command.text != want {
		t.Errorf("got %s", command.text)
	}
	if _, err := installed.Settings(key); err == nil || exists(filepath.Join(installed.programFolder(), ProgramName)) {
		t.Error("the files exist before the commit")
	}
	commit(t, changes...)
	if got := read(t, filepath.Join(installed.programFolder(), ProgramName)); got != testProgram {
		t.Errorf("got the program %s", got)
	}
	if answer, err := installed.Cache(key).Get(t.Context(), at(0), never(t)); err != nil || answer.AccessKeyID.Reveal() != "first" {
		t.Errorf("got %+v, %v", answer, err)
	}
	got, err := installed.Settings(key)
	if err != nil || got.Reveal() != settings.Reveal() {
		t.Errorf("got %v, %v", got, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, testCredentials("x", 0)); strings.Contains(text, "canary") {
		t.Errorf("a secret is printed: %s", text)
	}
	version := installed.version
	modes := map[string]fs.FileMode{
		version: 0o700, version + "/" + ProgramName: 0o700, version + "/" + key.String(): 0o700,
		version + "/" + key.String() + "/settings.json": 0o600, version + "/" + key.String() + "/cache.json": 0o600,
		version + "/" + key.String() + "/lock": 0o600,
	}
	for path, mode := range modes {
		checkMode(t, filepath.Join(folder.root, path), mode)
	}
	if paths := tree(t, folder.root); len(paths) != len(modes) {
		t.Errorf("got %q", paths)
	}
	checkMode(t, folder.root, 0o700)
}

func TestDiscardedStage(t *testing.T) {
	folder, program := testFolder(t)
	_, changes := folder.mustStage(t, program, secret.New("{}"), "x")
	for _, change := range changes {
		change.Discard()
	}
	if exists(folder.root) {
		t.Errorf("left behind: %q", tree(t, folder.root))
	}
}

// Two Steps share a session. If one of them fails, the profile of the other still works.
func TestTwoStepsWithOneSession(t *testing.T) {
	for name, test := range map[string]struct{ isStagedFirst, isDiscardedFirst bool }{
		"the failing one is faster":            {true, true},
		"the failing one begins first":         {true, false},
		"the failing one begins last":          {false, true},
		"the failing one begins and ends last": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			folder, program := testFolder(t)
			settings := secret.New(`{"role_arn":"arn"}`)
			var failing, good []*sharedfile.Change
			var command Command
			if test.isStagedFirst {
				_, failing = folder.mustStage(t, program, settings, "failing")
			}
			command, good = folder.mustStage(t, program, settings, "good")
			if !test.isStagedFirst {
				_, failing = folder.mustStage(t, program, settings, "failing")
			}
			if !test.isDiscardedFirst {
				commit(t, good...)
			}
			for _, change := range failing {
				change.Discard()
			}
			if test.isDiscardedFirst {
				commit(t, good...)
			}
			checkSession(t, command, settings, "good")
		})
	}
}

// checkSession checks that a command finds its program and the session's files.
func checkSession(t *testing.T, command Command, settings secret.Text, id string) {
	t.Helper()
	folder := folderOf(command)
	if err := checkRuns(t.Context(), filepath.Join(folder.programFolder(), ProgramName)); err != nil {
		t.Error(err)
	}
	if _, err := folder.Settings(KeyOf(settings)); err != nil {
		t.Error(err)
	}
	if answer, err := folder.Cache(KeyOf(settings)).Get(t.Context(), at(0), never(t)); err != nil || answer.AccessKeyID.Reveal() != id {
		t.Errorf("got %+v, %v", answer, err)
	}
}

// The program is copied only once, and again if it differs or the copy is damaged.
func TestStageAgain(t *testing.T) {
	folder, program := testFolder(t)
	first, changes := folder.mustStage(t, program, secret.New("{}"), "x")
	commit(t, changes...)
	installed := filepath.Join(folderOf(first).programFolder(), ProgramName)
	before, err := os.Stat(installed)
	if err != nil {
		t.Fatal(err)
	}
	again, changes := folder.mustStage(t, program, secret.New("{}"), "y")
	commit(t, changes...)
	if after, err := os.Stat(installed); err != nil || again != first || !os.SameFile(before, after) {
		t.Errorf("the same program was copied again: %v", err)
	}
	checkSession(t, first, secret.New("{}"), "y")

	write(t, installed, "#!/bin/false\n")
	_, changes = folder.mustStage(t, program, secret.New("{}"), "z")
	commit(t, changes...)
	checkSession(t, first, secret.New("{}"), "z")

	write(t, program, testProgram+"# another version\n")
	second, changes := folder.mustStage(t, program, secret.New("{}"), "of another version")
	commit(t, changes...)
	checkSession(t, first, secret.New("{}"), "z")
	checkSession(t, second, secret.New("{}"), "of another version")
}

// Other users cannot read the folder, even if it existed before.
func TestOpenFolderIsClosed(t *testing.T) {
	folder, program := testFolder(t)
	command, changes := folder.mustStage(t, program, secret.New("{}"), "x")
	commit(t, changes...)
	folders := []string{folder.root, folderOf(command).programFolder()}
	for _, path := range folders {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	_, changes = folder.mustStage(t, program, secret.New("{}"), "x")
	commit(t, changes...)
	for _, path := range folders {
		checkMode(t, path, 0o700)
	}
}

// The Step runs a program in the folder, so a folder of another user, or a link to one, is rejected.
func TestFolderOfAnotherUser(t *testing.T) {
	const want = "must be a folder that belongs to this user"
	elsewhere := t.TempDir()
	for name, create := range map[string]func(string) error{
		"a link": func(path string) error { return os.Symlink(elsewhere, path) },
		"a file": func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"another user's": func(path string) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can create a folder of another user")
			}
			const user = 65534
			return errors.Join(os.Mkdir(path, 0o700), os.Chown(path, user, user))
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder, program := testFolder(t)
			if err := create(folder.root); err != nil {
				t.Fatal(err)
			}
			_, changes, err := folder.Stage(t.Context(), program, secret.New("{}"), testCredentials("x", time.Hour), noon())
			if changes != nil || err == nil || !strings.Contains(err.Error(), folder.root+" "+want) {
				t.Errorf("got %v", err)
			}
			if left := append(tree(t, folder.root), tree(t, elsewhere)...); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
		t.Run(name+" for the program", func(t *testing.T) {
			folder, program := testFolder(t)
			command, changes := folder.mustStage(t, program, secret.New("{}"), "x")
			for _, change := range changes {
				change.Discard()
			}
			if err := errors.Join(os.Mkdir(folder.root, 0o700), create(folderOf(command).programFolder())); err != nil {
				t.Fatal(err)
			}
			_, _, err := folder.Stage(t.Context(), program, secret.New("{}"), testCredentials("x", time.Hour), noon())
			if err == nil || !strings.Contains(err.Error(), folderOf(command).programFolder()+" "+want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A failed Stage leaves nothing behind and says what to do.
func TestStageFails(t *testing.T) {
	for name, test := range map[string]struct {
		program string
		prepare func(home string) error
		want    string
	}{
		// The kernel reports a mount with noexec like an interpreter that is not executable.
		"noexec":             {"#!/dev/null\n", nil, "the program cannot run from there: fork/exec "},
		"an unknown option":  {"#!/bin/sh\necho broken\nexit 1\n", nil, "the program cannot run from there: exit status 1"},
		"no program":         {"", nil, "open "},
		"HOME with a quote":  {testProgram, nil, "must not contain a single quote"},
		"HOME is not usable": {testProgram, func(home string) error { return os.WriteFile(home, nil, 0o600) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			home := filepath.Join(t.TempDir(), "home")
			if strings.Contains(name, "quote") {
				home += "'s"
			}
			if test.prepare != nil {
				if err := test.prepare(home); err != nil {
					t.Fatal(err)
				}
			}
			folder, err := FolderIn(home)
			if err != nil {
				t.Fatal(err)
			}
			program := filepath.Join(t.TempDir(), "step")
			if test.program != "" {
				write(t, program, test.program)
			}
			_, changes, err := folder.Stage(t.Context(), program, secret.New("{}"), testCredentials("x", time.Hour), noon())
			prefix := "keep the program that renews the profile's credentials in " + folder.root + ": "
			if changes != nil || err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			checkAdvice(t, err, "Set HOME, for this Step and for all that use the profile, to a folder that this user can write to and run "+
				"programs from: its file system must not be mounted read-only or noexec.")
			checkAdvice(t, err, "Or leave aws_profile empty: the Step then exports credentials, which are not renewed.")
			if test.prepare == nil && exists(home) && !slices.Equal(tree(t, home), nil) {
				t.Errorf("left behind: %q", tree(t, home))
			}
		})
	}
}

func TestStageEndsWithItsContext(t *testing.T) {
	folder, _ := testFolder(t)
	ended, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted by a signal")
	cancel(cause)
	// The caller explains the cause. It must not look like a program that cannot run.
	if err := checkRuns(ended, folder.root); !errors.Is(err, context.Canceled) || errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}
