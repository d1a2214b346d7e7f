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
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

func TestFolderIn(t *testing.T) {
	if folder, err := FolderIn("/home/me"); err != nil || folder.String() != "/home/me/.authenticate-with-aws" {
		t.Errorf("got %s, %v", folder, err)
	}
	for _, home := range []string{"", "me", "./me", "~"} {
		_, err := FolderIn(home)
		if err == nil || err.Error() != fmt.Sprintf("the variable HOME must be an absolute path, got %q", home) {
			t.Errorf("%q: got %v", home, err)
		}
		checkAdvice(t, err, setHome)
	}
}

// The credential process finds its session by its own path and the key.
func TestFind(t *testing.T) {
	const home = "/home/me/.authenticate-with-aws"
	folder, s, err := Find(home+"/"+testVersion+"/"+ProgramName, testKey)
	if err != nil || folder.String() != home || s != bitriseSession {
		t.Errorf("got %s, %s, %v", folder, s, err)
	}
	for _, wrong := range [][2]string{
		{"/usr/bin", testKey}, {testVersion[1:], testKey}, {"0" + testVersion, testKey}, {testVersion, ""}, {testVersion, "key"},
		{testVersion, strings.ToUpper(testKey)}, {testVersion, testKey + "0"}, {testVersion, testKey[1:]}, {testVersion, testKey + "\n"},
		{testVersion, "../" + testKey}, {testVersion, "/" + testKey},
	} {
		if _, s, err := Find(home+"/"+wrong[0]+"/"+ProgramName, wrong[1]); err == nil {
			t.Errorf("%q: got %q", wrong, s)
		}
	}
}

func TestSettings(t *testing.T) {
	folder, s := testSession(t, credentials.Credentials{})
	path := folder.file(s, settingsName)
	write(t, path, "x")
	if settings, err := folder.Settings(s); err != nil || settings.Reveal() != "x" {
		t.Errorf("got %v, %v", settings, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := folder.Settings(s)
	if err == nil || err.Error() != "the settings of the session: "+path+" does not exist" {
		t.Errorf("got %v", err)
	}
	checkAdvice(t, err, "Run the Step again.")
	// A link is not followed.
	for _, target := range []string{folder.file(s, cacheName), "/dev/zero", "nothing"} {
		if err := errors.Join(os.RemoveAll(path), os.Symlink(target, path)); err != nil {
			t.Fatal(err)
		}
		if settings, err := folder.Settings(s); err == nil || !settings.IsEmpty() || !strings.Contains(err.Error(), path+" is a link") {
			t.Errorf("%s: got %v", target, err)
		}
	}
}

func TestStage(t *testing.T) {
	folder, program := testFolder(t)
	const settings = `{"secret_access_key":"canary-key"}`
	s, command, changes, err := folder.Stage(t.Context(), program, secret.New(settings), testCredentials("first", time.Hour), noon())
	if err != nil {
		t.Fatal(err)
	}
	if want := folder.program(s) + " credential-process " + filepath.Base(string(s)); command.text != want {
		t.Errorf("got %s", command.text)
	}
	if found := parseCommand(command.text); found != s {
		t.Errorf("the command has the session %v, want %v", found, s)
	}
	if _, err := folder.Settings(s); err == nil || exists(folder.program(s)) {
		t.Error("the files exist before the commit")
	}
	commit(t, changes...)
	if got := read(t, folder.program(s)); got != testProgram {
		t.Errorf("got the program %s", got)
	}
	folder.mustHave(t, s, settings, "first")
	got, err := folder.Settings(s)
	if text := fmt.Sprintf("%v %+v %#v", got, got, testCredentials("x", 0)); err != nil || strings.Contains(text, "canary") {
		t.Errorf("a secret is printed: %s, %v", text, err)
	}
	modes := map[string]fs.FileMode{
		folder.version(s): 0o700, folder.program(s): 0o700, folder.Path(string(s)): 0o700,
		folder.file(s, settingsName): 0o600, folder.file(s, cacheName): 0o600, folder.file(s, lockName): 0o600,
	}
	for path, mode := range modes {
		checkMode(t, path, mode)
	}
	if paths := tree(t, folder.root); len(paths) != len(modes) {
		t.Errorf("got %q", paths)
	}
	checkMode(t, folder.root, 0o700)
}

func TestDiscardedStage(t *testing.T) {
	folder, program := testFolder(t)
	_, changes := folder.mustStage(t, program, "{}", "x")
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
			const settings = `{"role_arn":"arn"}`
			var failing []*sharedfile.Change
			if test.isStagedFirst {
				_, failing = folder.mustStage(t, program, settings, "failing")
			}
			s, good := folder.mustStage(t, program, settings, "good")
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
			folder.mustHave(t, s, settings, "good")
		})
	}
}

// The program is copied only once, and again if it differs, if the copy is damaged, or if it has disappeared meanwhile.
func TestStageAgain(t *testing.T) {
	folder, program := testFolder(t)
	first, changes := folder.mustStage(t, program, "{}", "x")
	commit(t, changes...)
	before, err := os.Stat(folder.program(first))
	if err != nil {
		t.Fatal(err)
	}
	again, changes := folder.mustStage(t, program, "{}", "y")
	commit(t, changes...)
	if after, err := os.Stat(folder.program(first)); err != nil || again != first || !os.SameFile(before, after) {
		t.Errorf("the same program was copied again: %v", err)
	}
	folder.mustHave(t, first, "{}", "y")

	write(t, folder.program(first), "#!/bin/false\n")
	_, changes = folder.mustStage(t, program, "{}", "z")
	commit(t, changes...)
	folder.mustHave(t, first, "{}", "z")

	_, changes = folder.mustStage(t, program, "{}", "after a sweep")
	if err := os.RemoveAll(folder.version(first)); err != nil {
		t.Fatal(err)
	}
	commit(t, changes...)
	folder.mustHave(t, first, "{}", "after a sweep")

	write(t, program, testProgram+"# another version\n")
	second, changes := folder.mustStage(t, program, "{}", "of another version")
	commit(t, changes...)
	folder.mustHave(t, first, "{}", "after a sweep")
	folder.mustHave(t, second, "{}", "of another version")
	if folder.version(first) == folder.version(second) || filepath.Base(string(first)) != filepath.Base(string(second)) {
		t.Errorf("got the sessions %v and %v", first, second)
	}
}

// levels returns the folders that Stage creates for a session.
func (f Folder) levels(s Session) []string {
	return []string{f.root, f.version(s), f.Path(string(s))}
}

// Other users cannot read the folders, even if these existed before.
func TestOpenFolderIsClosed(t *testing.T) {
	folder, program := testFolder(t)
	s, changes := folder.mustStage(t, program, "{}", "x")
	commit(t, changes...)
	for _, path := range folder.levels(s) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	_, changes = folder.mustStage(t, program, "{}", "x")
	commit(t, changes...)
	for _, path := range folder.levels(s) {
		checkMode(t, path, 0o700)
	}
}

// The Step runs a program in the folder, so a folder of another user, or a link to one, is rejected, at each of the levels.
func TestFolderOfAnotherUser(t *testing.T) {
	elsewhere := t.TempDir()
	for name, create := range map[string]func(t *testing.T, path string) error{
		"a link": func(_ *testing.T, path string) error { return os.Symlink(elsewhere, path) },
		"a file": func(_ *testing.T, path string) error { return os.WriteFile(path, nil, 0o600) },
		"another user's": func(t *testing.T, path string) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can create a folder of another user")
			}
			const user = 65534
			return errors.Join(os.Mkdir(path, 0o700), os.Chown(path, user, user))
		},
	} {
		for level := range 3 {
			t.Run(fmt.Sprintf("%s at level %d", name, level), func(t *testing.T) {
				folder, program := testFolder(t)
				s, changes := folder.mustStage(t, program, "{}", "x")
				commit(t, changes...)
				path := folder.levels(s)[level]
				if err := errors.Join(os.RemoveAll(path), create(t, path)); err != nil {
					t.Fatal(err)
				}
				before := tree(t, folder.root)
				_, _, changes, err := folder.Stage(t.Context(), program, secret.New("{}"), testCredentials("x", time.Hour), noon())
				discard(changes)
				if err == nil || !strings.Contains(err.Error(), path+" must be a folder that belongs to this user") {
					t.Errorf("got %v", err)
				}
				checkAdvice(t, err, setHome)
				if left := tree(t, folder.root); !slices.Equal(left, before) || len(tree(t, elsewhere)) > 0 {
					t.Errorf("left behind: %q, %q", left, tree(t, elsewhere))
				}
			})
		}
	}
}

// No file in the folder is written through a link, and no link is replaced.
func TestStageThroughALink(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	write(t, target, "old")
	for _, name := range []string{settingsName, cacheName, lockName, ProgramName} {
		for _, to := range []string{target, "/dev/zero", "nothing"} {
			t.Run(name+" to "+filepath.Base(to), func(t *testing.T) {
				folder, program := testFolder(t)
				s, changes := folder.mustStage(t, program, "{}", "x")
				commit(t, changes...)
				path := folder.file(s, name)
				if name == ProgramName {
					path = folder.program(s)
				}
				if err := errors.Join(os.Remove(path), os.Symlink(to, path)); err != nil {
					t.Fatal(err)
				}
				_, _, changes, err := folder.Stage(t.Context(), program, secret.New("{}"), testCredentials("x", time.Hour), noon())
				discard(changes)
				if err == nil || !strings.Contains(err.Error(), path+" is a link and must be a file") {
					t.Errorf("got %v", err)
				}
				if got, err := os.Readlink(path); err != nil || got != to || read(t, target) != "old" {
					t.Errorf("the link was followed or replaced: %q, %v", got, err)
				}
			})
		}
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
		"noexec":             {"#!/dev/null\n", nil, "the program can't run from there: fork/exec "},
		"an unknown option":  {"#!/bin/sh\necho broken\nexit 1\n", nil, "the program can't run from there: exit status 1"},
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
			_, _, changes, err := folder.Stage(t.Context(), program, secret.New("{}"), testCredentials("x", time.Hour), noon())
			discard(changes)
			prefix := "keep the program that renews the profile's credentials in " + folder.root + ": "
			if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
			checkAdvice(t, err, setHome)
			if test.prepare == nil && exists(home) && len(tree(t, home)) > 0 {
				t.Errorf("left behind: %q", tree(t, home))
			}
		})
	}
}

// A disk that is full has other advice than a home that can't be used.
func TestAdviceAboutTheFolder(t *testing.T) {
	folder, _ := testFolder(t)
	const other = "Free some disk space."
	for errno, want := range map[syscall.Errno]string{
		syscall.ENOSPC: other, syscall.EDQUOT: other, syscall.EMFILE: other, syscall.EROFS: setHome, syscall.EACCES: setHome, syscall.EPERM: setHome,
	} {
		err := folder.Explain("keep it", explain.Advise(&fs.PathError{Op: "write", Path: "/a", Err: errno}, other))
		if do := explain.Of(err).Do; !slices.Equal(do, []string{want}) || err.Error() != "keep it: write /a: "+errno.Error() {
			t.Errorf("got %v, %q", err, do)
		}
	}
	checkAdvice(t, folder.Explain("keep it", &fs.PathError{Err: syscall.ENOTDIR}), setHome)
	if err := folder.Explain("keep it", nil); err != nil {
		t.Errorf("got %v", err)
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
