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
	"testing/synctest"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// unusedAge is how long a session may be unused in these tests.
const unusedAge = 24 * time.Hour

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

func (m machine) has(s Session) bool { return exists(m.folder.Path(string(s))) }

// login writes a profile as the Step does. The settings differ for each session.
func (m machine) login(name, settings string) Session {
	m.t.Helper()
	s, command, changes, err := m.folder.Stage(m.t.Context(), m.program, secret.New(settings), testCredentials("x", time.Hour), noon())
	if err != nil {
		m.t.Error(err)
		return s
	}
	p := testProfile(m.t, name)
	p.Command = command
	change, err := m.file.PrepareProfile(p)
	if err != nil {
		m.t.Error(err)
		return s
	}
	commit(m.t, append(changes, change...)...)
	return s
}

// logout removes sessions as the Step does: their secrets, their profiles, and what is left.
func (m machine) logout(sessions ...Session) {
	m.t.Helper()
	for _, s := range sessions {
		if isRemoved, err := m.folder.RemoveSecrets(m.t.Context(), s, time.Time{}); err != nil || !isRemoved {
			m.t.Errorf("got %v, %v", isRemoved, err)
		}
	}
	change, _, err := m.file.PrepareRemoval(sessions)
	if err != nil {
		m.t.Error(err)
		return
	}
	commit(m.t, change...)
	for _, s := range sessions {
		if err := m.folder.Remove(m.t.Context(), s); err != nil {
			m.t.Error(err)
		}
	}
	m.folder.RemoveIfEmpty("builds")
}

// age sets the times of all the Step's files back.
func (m machine) age(by time.Duration) {
	m.t.Helper()
	when := time.Now().Add(-by)
	for _, path := range tree(m.t, m.folder.root) {
		if err := os.Chtimes(filepath.Join(m.folder.root, path), when, when); err != nil {
			m.t.Fatal(err)
		}
	}
}

// sweep removes those of some sessions that were not used for a day, as the Step does, and checks which these are.
func (m machine) sweep(of []Session, want ...Session) {
	m.t.Helper()
	m.folder.Sweep()
	var removed []Session
	for _, s := range of {
		isRemoved, err := m.folder.RemoveSecrets(m.t.Context(), s, time.Now().Add(-unusedAge))
		if isRemoved {
			removed = append(removed, s)
			err = m.folder.Remove(m.t.Context(), s)
		}
		if err != nil {
			m.t.Error(err)
		}
	}
	if !slices.Equal(removed, want) {
		m.t.Errorf("got %v, want %v", removed, want)
	}
	m.folder.RemoveIfEmpty("builds")
}

func (m machine) mustBeGone() {
	m.t.Helper()
	if exists(m.folder.root) {
		m.t.Errorf("left behind: %q", tree(m.t, m.folder.root))
	}
}

func TestLogoutRemovesEverything(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	if _, _, err := m.folder.Get(t.Context(), s, at(time.Hour), renewed(2*time.Hour)); err != nil {
		t.Error(err)
	}
	if !m.has(s) {
		t.Error("the session is missing")
	}
	m.logout(s)
	if m.mustBeGone(); m.has(s) || read(t, m.file.Path) != "" {
		t.Errorf("left behind: %q", read(t, m.file.Path))
	}
	// The second time, there is nothing to remove.
	m.logout(s)
	m.mustBeGone()
}

// The secrets go first, and alone: what leads to the session stays until it is safe to forget it.
func TestRemoveSecrets(t *testing.T) {
	m := newMachine(t)
	s, other := m.login("bitrise", "1"), m.login("other", "2")
	before := read(t, m.file.Path)
	if isRemoved, err := m.folder.RemoveSecrets(t.Context(), s, time.Time{}); err != nil || !isRemoved {
		t.Fatalf("got %v, %v", isRemoved, err)
	}
	if left := tree(t, m.folder.Path(string(s))); !slices.Equal(left, []string{lockName}) || !m.has(s) {
		t.Errorf("got %q", left)
	}
	if read(t, m.file.Path) != before {
		t.Error("the configuration file was changed")
	}
	m.folder.mustHave(t, other, "2", "x")
	if isRemoved, err := m.folder.RemoveSecrets(t.Context(), bitriseSession, time.Time{}); err != nil || !isRemoved {
		t.Errorf("of a session that doesn't exist: got %v, %v", isRemoved, err)
	}
}

// What can't be removed is an error, not something that is gone. The rest is removed.
func TestRemovalThatFails(t *testing.T) {
	for _, name := range []string{settingsName, cacheName, lockName} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			s := m.login("bitrise", "1")
			path := m.folder.file(s, name)
			if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "full"), 0o700)); err != nil {
				t.Fatal(err)
			}
			isRemoved, err := m.folder.RemoveSecrets(t.Context(), s, time.Time{})
			if name == lockName {
				err = errors.Join(err, m.folder.Remove(t.Context(), s))
			}
			if err == nil || !strings.Contains(err.Error(), path) || isRemoved != (name == lockName) {
				t.Errorf("got %v, %v", isRemoved, err)
			}
			if name == settingsName && exists(m.folder.file(s, cacheName)) || name == cacheName && exists(m.folder.file(s, settingsName)) {
				t.Errorf("left behind: %q", tree(t, m.folder.root))
			}
		})
	}
}

// A session that a login has written again between RemoveSecrets and Remove is kept.
func TestRemoveKeepsASessionThatIsBack(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	if _, err := m.folder.RemoveSecrets(t.Context(), s, time.Time{}); err != nil {
		t.Fatal(err)
	}
	m.login("bitrise", "1")
	before := tree(t, m.folder.root)
	if err := m.folder.Remove(t.Context(), s); err != nil {
		t.Error(err)
	}
	m.folder.mustHave(t, s, "1", "x")
	if after := tree(t, m.folder.root); !slices.Equal(before, after) {
		t.Errorf("got %q, want %q", after, before)
	}
}

func TestLogoutKeepsWhatOthersUse(t *testing.T) {
	m := newMachine(t)
	first, second := m.login("first", "1"), m.login("second", "2")
	m.logout(first)
	m.folder.mustHave(t, second, "2", "x")
	if m.has(first) {
		t.Error("the session was left behind")
	}
	// Another version of the program has a session of the same settings.
	write(t, m.program, testProgram+"# new version\n")
	third := m.login("third", "2")
	m.logout(second)
	m.folder.mustHave(t, third, "2", "x")
	if exists(m.folder.version(second)) {
		t.Errorf("left behind: %q", tree(t, m.folder.root))
	}
	// Files of others are kept.
	notes := []string{"notes", filepath.Join(string(third), "../notes"), filepath.Join(string(third), "notes")}
	for _, path := range notes {
		write(t, m.folder.Path(path), "x")
	}
	m.logout(third)
	for _, path := range notes {
		if !exists(m.folder.Path(path)) {
			t.Errorf("%s was removed", path)
		}
	}
	if exists(m.folder.file(third, settingsName)) || exists(m.folder.file(third, cacheName)) || exists(m.folder.file(third, lockName)) {
		t.Errorf("left behind: %q", tree(t, m.folder.root))
	}
}

// A logout does not affect another run that has staged the same session, or another session of the same program.
func TestLogoutWhileAnotherRunIsStaged(t *testing.T) {
	for _, settings := range []string{"1", "2"} {
		t.Run("session "+settings, func(t *testing.T) {
			m := newMachine(t)
			first := m.login("first", "1")
			s, changes := m.folder.mustStage(t, m.program, settings, "staged")
			m.logout(first)
			commit(t, changes...)
			m.folder.mustHave(t, s, settings, "staged")
		})
	}
}

// In the bubble, the runs have all the time that they need.
func TestLogoutAndLoginAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine(t)
		old, sessions := make([]Session, 4), make([]Session, 8)
		for i := range old {
			old[i] = m.login(fmt.Sprint("old", i), fmt.Sprint("old", i))
		}
		var group sync.WaitGroup
		for i := range sessions {
			group.Go(func() { m.logout(old[i%len(old)]) })
			group.Go(func() { sessions[i] = m.login(fmt.Sprint("new", i), fmt.Sprint(i%6)) })
		}
		group.Wait()
		for i, s := range sessions {
			m.folder.mustHave(t, s, fmt.Sprint(i%6), "x")
		}
		m.logout(sessions...)
		if m.mustBeGone(); strings.TrimSpace(read(t, m.file.Path)) != "" {
			t.Errorf("left behind: %q", read(t, m.file.Path))
		}
	})
}

// A logout waits for a renewal that is in progress, which would write the credentials again.
func TestLogoutDuringARenewal(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	var group sync.WaitGroup
	_, _, err := m.folder.Get(t.Context(), s, at(time.Hour), func(context.Context) (credentials.Credentials, error) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if isRemoved, err := m.folder.RemoveSecrets(ended, s, time.Time{}); !errors.Is(err, context.Canceled) || isRemoved {
			t.Errorf("got %v, %v", isRemoved, err)
		}
		group.Go(func() { m.logout(s) })
		return testCredentials("new", 2*time.Hour), nil
	})
	if err != nil {
		t.Error(err)
	}
	group.Wait()
	m.mustBeGone()
}

func TestRemoveUnused(t *testing.T) {
	m := newMachine(t)
	old := m.login("bitrise", "1")
	write(t, m.program, testProgram+"# new version\n")
	current := m.login("bitrise", "2") // replaces the profile
	both := []Session{old, current}

	m.age(unusedAge - time.Hour)
	m.sweep(both)
	m.folder.mustHave(t, old, "1", "x")

	// A credential process still uses it, from the cache.
	m.age(unusedAge + time.Hour)
	if _, _, err := m.folder.Get(t.Context(), old, time.Now, renewed(time.Hour)); err != nil {
		t.Error(err)
	}
	m.sweep(both, current)
	if _, err := m.folder.Settings(old); err != nil {
		t.Error(err)
	}
	if exists(m.folder.version(current)) {
		t.Errorf("left behind: %q", tree(t, m.folder.root))
	}

	m.age(unusedAge + time.Hour)
	m.sweep(both, both...)
	m.mustBeGone()
	m.sweep(both, both...)
	m.mustBeGone()
}

// A session that is used from the cache only, such as that of a long-lived key, is in use as well.
func TestUseOfTheCacheKeepsASession(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	m.age(unusedAge + time.Hour)
	write(t, m.folder.file(s, cacheName), string(entry{Credentials: testCredentials("key", 0), Obtained: noon()}.encode()))
	old := time.Now().Add(-unusedAge - time.Hour)
	if err := os.Chtimes(m.folder.file(s, cacheName), old, old); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.folder.Get(t.Context(), s, time.Now, never(t)); err != nil {
		t.Fatal(err)
	}
	m.sweep([]Session{s})
	if !m.has(s) {
		t.Error("the session was removed")
	}
}

// What a run is about to put into place is kept.
func TestSweepKeepsWhatIsStaged(t *testing.T) {
	m := newMachine(t)
	s, changes := m.folder.mustStage(t, m.program, "1", "staged")
	m.age(unusedAge + time.Hour)
	m.sweep([]Session{s}, s)
	commit(t, changes...)
	m.folder.mustHave(t, s, "1", "staged")
}

// Temporary files of killed runs are removed with the session. Those of a run that is still there are kept, with their folders.
func TestTemporaryFiles(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	write(t, m.folder.file(s, ".cache.json.authenticate-with-aws-killed"), "of a killed run")
	write(t, filepath.Join(m.folder.version(s), "."+ProgramName+".authenticate-with-aws-killed"), "of a killed run")
	_, changes := m.folder.mustStage(t, m.program, "1", "of a living run")
	m.age(unusedAge + time.Hour)
	m.sweep([]Session{s}, s)
	var living []string
	for _, change := range changes {
		if change.Staged() != change.Path() {
			living = append(living, filepath.Base(change.Staged()))
		}
	}
	if left := tree(t, m.folder.Path(string(s))); len(left) == 0 || !slices.Equal(left, living) {
		t.Errorf("got %q, want %q", left, living)
	}
	commit(t, changes...)
	m.folder.mustHave(t, s, "1", "of a living run")

	m.age(unusedAge + time.Hour)
	m.sweep([]Session{s}, s)
	m.mustBeGone()
}

// Other files in the folder are kept.
func TestSweepKeepsOtherFiles(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	other := []string{
		"notes", "version/file", testVersion[1:] + "/" + ProgramName, testVersion + "/notes", testVersion + "/" + testKey[1:] + "/lock", string(s) + "/../notes",
	}
	for _, path := range other {
		write(t, m.folder.Path(path), "x")
	}
	m.age(2 * unusedAge)
	m.sweep([]Session{s}, s)
	for _, path := range other {
		if !exists(m.folder.Path(path)) {
			t.Errorf("%s was removed", path)
		}
	}
}
