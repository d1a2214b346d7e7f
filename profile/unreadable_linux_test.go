package profile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asNobody calls a function with the file system's permissions of a user without privileges.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	const other = 65534
	if os.Geteuid() != 0 {
		do() // has no privileges either
		return
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine, so that no other code runs as that user
		err := errors.Join(syscall.Setfsgid(other), syscall.Setfsuid(other))
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A folder that cannot be read is an error. It must not look like one without sessions, because its program would be removed.
func TestUnreadableFolder(t *testing.T) {
	for name, pick := range map[string]func(f Folder, s Session) string{
		"the Step's folder": func(f Folder, _ Session) string { return f.root },
		"a version":         func(f Folder, s Session) string { return f.Path(s.version) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			s := m.login("bitrise", "1")
			other := m.login("other", "2")
			for _, path := range append(m.folder.levels(s), filepath.Dir(m.folder.root), filepath.Dir(filepath.Dir(m.folder.root))) {
				if err := os.Chmod(path, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			path := pick(m.folder, s)
			const notReadable = 0o333
			if err := os.Chmod(path, notReadable); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
			check := func(err error) {
				t.Helper()
				if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v", err)
				}
			}
			asNobody(t, func() {
				_, err := m.folder.RemoveUnused(t.Context(), time.Now().Add(100*unusedAge), unusedAge)
				check(err)
				if path != m.folder.root {
					check(m.folder.Remove(t.Context(), Session{version: s.version, key: testKey}))
				}
			})
			if err := os.Chmod(path, 0o700); err != nil {
				t.Fatal(err)
			}
			m.folder.mustHave(t, s, "1", "x")
			m.folder.mustHave(t, other, "2", "x")
		})
	}
}

// A session that can't be seen is not taken for one that is gone.
func TestHasInAnUnreadableFolder(t *testing.T) {
	m := newMachine(t)
	s := m.login("bitrise", "1")
	if err := os.Chmod(m.folder.root, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(m.folder.root, 0o700) })
	asNobody(t, func() {
		if !m.folder.Has(s) {
			t.Error("the session is taken for one that is gone")
		}
	})
}
