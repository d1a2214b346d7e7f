package profile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// machine is the state of a build machine.
type machine struct {
	t       *testing.T
	folder  Folder
	program string
	file    ConfigFile
}

func newMachine(t *testing.T) machine {
	t.Helper()
	folder, program := testFolder(t)
	return machine{t: t, folder: folder, program: program, file: testFile(t, "")}
}

// session returns different settings for each name.
func session(name string) secret.Text { return secret.New(name) }

// login writes a profile like the Step does.
func (m machine) login(name string, settings secret.Text) Command {
	m.t.Helper()
	command, changes := m.folder.mustStage(m.t, m.program, settings, "x")
	p := testProfile(m.t, name)
	p.Command = command
	change, err := m.file.PrepareProfile(p)
	if err != nil {
		m.t.Fatal(err)
	}
	commit(m.t, append(changes, change)...)
	return command
}

// logout removes a profile like the Step does.
func (m machine) logout(name string) {
	m.t.Helper()
	change, command, err := m.file.PrepareRemoval(testProfile(m.t, name).Name)
	if err != nil || change == nil {
		m.t.Errorf("got %v, %v", change, err)
		return
	}
	commit(m.t, change)
	if err := m.folder.Remove(m.t.Context(), m.file, command); err != nil {
		m.t.Error(err)
	}
}

// age sets the times of all the Step's files and folders back.
func (m machine) age(by time.Duration) {
	m.t.Helper()
	for _, path := range append(tree(m.t, m.folder.root), "") {
		when := time.Now().Add(-by)
		if err := os.Chtimes(filepath.Join(m.folder.root, path), when, when); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m machine) sweep() {
	m.t.Helper()
	if err := m.folder.Sweep(m.t.Context(), m.file); err != nil {
		m.t.Error(err)
	}
}

// use renews a session like the credential process does.
func (m machine) use(command Command, settings secret.Text) {
	m.t.Helper()
	if _, err := folderOf(command).Cache(KeyOf(settings)).Get(m.t.Context(), at(time.Hour), renewed(2*time.Hour)); err != nil {
		m.t.Error(err)
	}
}

func TestLogoutRemovesEverything(t *testing.T) {
	m := newMachine(t)
	command := m.login("bitrise", session("1"))
	m.use(command, session("1"))
	m.logout("bitrise")
	if exists(m.folder.root) || read(t, m.file.path) != "" {
		t.Errorf("left behind: %q, %q", tree(t, m.folder.root), read(t, m.file.path))
	}
	// The second time, there is nothing to remove.
	if err := m.folder.Remove(t.Context(), m.file, command); err != nil {
		t.Error(err)
	}
}

func TestLogoutKeepsWhatOthersUse(t *testing.T) {
	m := newMachine(t)
	first := m.login("first", session("1"))
	second := m.login("second", session("2"))
	m.logout("first")
	checkSession(t, second, session("2"), "x")
	if exists(folderOf(first).session(KeyOf(session("1")))) {
		t.Error("the session was left behind")
	}

	// Another profile has the same session.
	third := m.login("third", session("2"))
	m.logout("second")
	checkSession(t, third, session("2"), "x")

	// Another version of the program has a session of the same settings.
	write(t, m.program, testProgram+"# new version\n")
	fourth := m.login("fourth", session("2"))
	m.logout("third")
	checkSession(t, fourth, session("2"), "x")
	if exists(folderOf(third).programFolder()) {
		t.Errorf("left behind: %q", tree(t, m.folder.root))
	}
}

// A logout does not affect another run that has staged the same session, or another session of the same program.
func TestLogoutWhileAnotherRunIsStaged(t *testing.T) {
	for _, name := range []string{"1", "2"} {
		t.Run("session "+name, func(t *testing.T) {
			m := newMachine(t)
			m.login("first", session("1"))
			command, changes := m.folder.mustStage(t, m.program, session(name), "staged")
			m.logout("first")
			commit(t, changes...)
			checkSession(t, command, session(name), "staged")
		})
	}
}

func TestLogoutAndLoginAtOnce(t *testing.T) {
	m := newMachine(t)
	for i := range 8 {
		m.login(fmt.Sprintf("old%d", i), session(fmt.Sprint(i%4)))
	}
	commands := make([]Command, 8)
	var group sync.WaitGroup
	for i := range commands {
		group.Add(2)
		go func() {
			defer group.Done()
			m.logout(fmt.Sprintf("old%d", i))
		}()
		go func() {
			defer group.Done()
			commands[i] = m.login(fmt.Sprintf("new%d", i), session(fmt.Sprint(i%6)))
		}()
	}
	group.Wait()
	for i, command := range commands {
		checkSession(t, command, session(fmt.Sprint(i%6)), "x")
	}
	for i := range commands {
		m.logout(fmt.Sprintf("new%d", i))
	}
	if exists(m.folder.root) || read(t, m.file.path) != "" {
		t.Errorf("left behind: %q, %q", tree(t, m.folder.root), read(t, m.file.path))
	}
}

// A logout waits for a renewal that is in progress, which would write the credentials again.
func TestLogoutDuringARenewal(t *testing.T) {
	m := newMachine(t)
	command := m.login("bitrise", session("1"))
	var group sync.WaitGroup
	cache := folderOf(command).Cache(KeyOf(session("1")))
	_, err := cache.Get(t.Context(), at(time.Hour), func(context.Context) (credentials.Credentials, error) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		file := testFile(t, "")
		if err := m.folder.Remove(ended, file, command); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		group.Add(1)
		go func() {
			defer group.Done()
			m.logout("bitrise")
		}()
		return testCredentials("new", 2*time.Hour), nil
	})
	if err != nil {
		t.Error(err)
	}
	group.Wait()
	if exists(m.folder.root) {
		t.Errorf("left behind: %q", tree(t, m.folder.root))
	}
}

func TestRemoveKeepsWhatAnUnreadableFileMayUse(t *testing.T) {
	m := newMachine(t)
	command := m.login("bitrise", session("1"))
	file := testFile(t, "")
	if err := os.Mkdir(file.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.folder.Remove(t.Context(), file, command); err != nil {
		t.Error(err)
	}
	checkSession(t, command, session("1"), "x")
}

func TestSweep(t *testing.T) {
	m := newMachine(t)
	old := m.login("bitrise", session("1"))
	write(t, m.program, testProgram+"# new version\n")
	current := m.login("bitrise", session("2")) // replaces the profile

	m.age(unusedAge - time.Minute)
	m.sweep()
	checkSession(t, old, session("1"), "x")

	// The credential process in another configuration file still uses it.
	m.age(unusedAge + time.Minute)
	m.use(old, session("1"))
	m.sweep()
	if _, err := folderOf(old).Settings(KeyOf(session("1"))); err != nil {
		t.Error(err)
	}

	m.age(unusedAge + time.Minute)
	m.sweep()
	if exists(folderOf(old).programFolder()) {
		t.Errorf("left behind: %q", tree(t, m.folder.root))
	}
	checkSession(t, current, session("2"), "x")
}

func TestSweepRemovesWhatKilledRunsLeft(t *testing.T) {
	m := newMachine(t)
	m.folder.mustStage(t, m.program, session("1"), "x")
	if len(tree(t, m.folder.root)) != 6 {
		t.Fatalf("got %q", tree(t, m.folder.root))
	}
	m.sweep()
	if len(tree(t, m.folder.root)) != 6 {
		t.Errorf("files of a run that may be active were removed: %q", tree(t, m.folder.root))
	}
	m.age(unusedAge + time.Minute)
	m.sweep()
	if exists(m.folder.root) {
		t.Errorf("left behind: %q", tree(t, m.folder.root))
	}
}

// Temporary files may belong to an active run, so they are kept for a day.
func TestRemoveFolder(t *testing.T) {
	for age, isKept := range map[time.Duration]bool{unusedAge - time.Minute: true, unusedAge + time.Minute: false} {
		folder := filepath.Join(t.TempDir(), "folder")
		now := time.Now()
		for _, name := range []string{".temporary", "file"} {
			write(t, filepath.Join(folder, name), "x")
			if err := os.Chtimes(filepath.Join(folder, name), now.Add(-age), now.Add(-age)); err != nil {
				t.Fatal(err)
			}
		}
		if err := removeFolder(folder); err != nil {
			t.Error(err)
		}
		if left := tree(t, folder); slices.Equal(left, []string{".temporary"}) != isKept || exists(folder) != isKept {
			t.Errorf("after %s: got %q", age, left)
		}
	}
	if err := removeFolder(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("got no error for a missing folder")
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "full", "file"), "x")
	if err := removeFolder(folder); err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("got %v", err)
	}
}

// Other files in the folder are kept.
func TestSweepLeavesOtherFiles(t *testing.T) {
	m := newMachine(t)
	command := m.login("bitrise", session("1"))
	for _, path := range []string{"notes", "version/file", strings.Repeat("0", 15) + "/" + ProgramName, folderOf(command).version + "/notes"} {
		write(t, filepath.Join(m.folder.root, path), "x")
	}
	m.age(2 * unusedAge)
	before := tree(t, m.folder.root)
	m.sweep()
	after := tree(t, m.folder.root)
	if !slices.Contains(after, "notes") || !slices.Contains(after, "version/file") || len(after) < len(before) {
		t.Errorf("got %q", after)
	}
}

func TestSweepOfNothing(t *testing.T) {
	m := newMachine(t)
	m.sweep()
	write(t, m.folder.root, "a file")
	if err := m.folder.Sweep(t.Context(), m.file); err == nil {
		t.Error("got no error for a file")
	}
}

// The settings are removed before anything else, so that no process renews a session of which a part is gone.
func TestSettingsAreRemovedFirst(t *testing.T) {
	m := newMachine(t)
	command := m.login("bitrise", session("1"))
	folder, key := folderOf(command), KeyOf(session("1"))
	settings := folder.settingsPath(key)
	if err := errors.Join(os.Remove(settings), os.MkdirAll(filepath.Join(settings, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := m.folder.Remove(t.Context(), testFile(t, ""), command); err == nil {
		t.Error("got no error")
	}
	if !exists(folder.Cache(key).path) || !exists(folder.Cache(key).lock) {
		t.Errorf("something else was removed: %q", tree(t, m.folder.root))
	}
}
