package profile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

func noon() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) }

func at(d time.Duration) func() time.Time { return func() time.Time { return noon().Add(d) } }

// testCredentials returns credentials with the given lifetime, or long-lived ones if it is 0.
func testCredentials(id string, lifetime time.Duration) credentials.Credentials {
	c := credentials.Credentials{
		AccessKeyID: secret.New(id), SecretAccessKey: secret.New("canary-secret"), SessionToken: secret.New("canary-token"),
	}
	if lifetime != 0 {
		c.Expires = noon().Add(lifetime)
	}
	return c
}

// renewed returns a Renewal that succeeds. The access key ID is new.
func renewed(lifetime time.Duration) Renewal {
	return func(context.Context) (credentials.Credentials, error) {
		return testCredentials("new", lifetime), nil
	}
}

// never returns a Renewal that must not be called.
func never(t *testing.T) Renewal {
	return func(context.Context) (credentials.Credentials, error) {
		t.Helper()
		t.Error("valid credentials were renewed")
		return credentials.Credentials{}, errors.New("must not be called")
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// tree returns the paths of all files and folders below a folder.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if path != root {
			relative, _ := filepath.Rel(root, path)
			paths = append(paths, relative)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return paths
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
		t.Errorf("%s: want mode %v; got %v, %v", path, want, info, err)
	}
}

func checkAdvice(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
	} else if do := explain.Of(err).Do; !slices.Contains(do, want) {
		t.Errorf("%v: got the advice %q", err, do)
	}
}

// commit commits changes and discards those that are left, like the Step does.
func commit(t *testing.T, changes ...*sharedfile.Change) {
	t.Helper()
	if err := sharedfile.Commit(t.Context(), changes...); err != nil {
		t.Error(err)
	}
	discard(changes)
}

func discard(changes []*sharedfile.Change) {
	for _, change := range changes {
		change.Discard()
	}
}

const (
	testVersion = "0123456789abcdef"
	testKey     = testVersion + testVersion + testVersion + testVersion

	bitriseSession = Session(testVersion + "/" + testKey)
)

// testSession returns a session of credentials that were obtained at noon.
func testSession(t *testing.T, c credentials.Credentials) (Folder, Session) {
	t.Helper()
	folder, s := Folder{root: t.TempDir()}, bitriseSession
	write(t, folder.file(s, cacheName), string(entry{Credentials: c, Obtained: noon()}.encode()))
	write(t, folder.file(s, settingsName), "{}")
	write(t, folder.file(s, lockName), "")
	return folder, s
}

// testProgram is a fake of the Step's program. It fails unless it is called as the Step calls it.
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
func (f Folder) mustStage(t *testing.T, program, settings, id string) (Session, []*sharedfile.Change) {
	t.Helper()
	session, _, changes, err := f.Stage(t.Context(), program, secret.New(settings), testCredentials(id, time.Hour), noon())
	if err != nil {
		t.Fatal(err)
	}
	return session, changes
}

// version returns the folder of the program of a session.
func (f Folder) version(s Session) string { return filepath.Dir(f.Path(string(s))) }

// program returns the path of the program of a session.
func (f Folder) program(s Session) string { return filepath.Join(f.version(s), ProgramName) }

// mustHave checks that a session works: its program, its settings, and its credentials.
func (f Folder) mustHave(t *testing.T, s Session, settings, id string) {
	t.Helper()
	if err := checkRuns(t.Context(), f.program(s)); err != nil {
		t.Error(err)
	}
	if got, err := f.Settings(s); err != nil || got.Reveal() != settings {
		t.Errorf("got the settings %q, %v", got.Reveal(), err)
	}
	if c, _, err := f.Get(t.Context(), s, at(0), never(t)); err != nil || c.AccessKeyID.Reveal() != id {
		t.Errorf("got %q, %v", c.AccessKeyID.Reveal(), err)
	}
}
