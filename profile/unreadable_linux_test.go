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
	m := newMachine(t)
	s := m.login("bitrise", "1")
	other := m.login("other", "2")
	for _, path := range append(m.folder.levels(s), filepath.Dir(m.folder.root), filepath.Dir(filepath.Dir(m.folder.root))) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	path := m.folder.version(s)
	const notReadable = 0o333
	if err := os.Chmod(path, notReadable); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
	asNobody(t, func() {
		missing := Session(filepath.Base(path) + "/" + testKey)
		if err := m.folder.Remove(t.Context(), missing); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	})
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	m.folder.mustHave(t, s, "1", "x")
	m.folder.mustHave(t, other, "2", "x")
}
