package sharedfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestStaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	change, err := File{Path: path, Mode: 0o700}.Prepare(func([]byte) ([]byte, error) { return []byte("new"), nil })
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(change.Staged()); err != nil || string(content) != "new" || change.Staged() == path {
		t.Errorf("%s: got %q, %v", change.Staged(), content, err)
	}
	if err := Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if change.Staged() != path {
		t.Errorf("after the commit: got %s", change.Staged())
	}
}

func TestMaxSizeOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	for size, accepted := range map[int64]bool{3: false, 4: true} {
		_, err := File{Path: path, MaxSize: size}.Prepare(func(content []byte) ([]byte, error) { return content, nil })
		if (err == nil) != accepted {
			t.Errorf("with a limit of %d bytes: got %v", size, err)
		}
	}
}

// Linux lists mount points, and has files without a size.
func TestLinux(t *testing.T) {
	if _, err := os.Stat("/proc/self/mountinfo"); err != nil {
		t.Skip("this is not Linux")
	}
	for path, want := range map[string]bool{"/proc": true, "/proc/self/mountinfo": false, t.TempDir(): false, "/proc/none": false} {
		if got := isMountPoint(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
	for size, want := range map[int64]bool{1: false, 1 << 20: true} {
		if content, err := (File{MaxSize: size}).read("/proc/self/mountinfo"); (err == nil) != want || (len(content) > 0) != want {
			t.Errorf("with a limit of %d bytes: got %d bytes, %v", size, len(content), err)
		}
	}
}

// Commit waits while the folder is locked.
func TestLockFolders(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	unlock, err := LockFolders(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	change, err := File{Path: filepath.Join(folder, "file")}.Prepare(func([]byte) ([]byte, error) { return []byte{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Commit(ended, change); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	unlock()
	if err := Commit(t.Context(), change); err != nil {
		t.Error(err)
	}
}

// Another run may remove an empty folder right before it is locked.
func TestLockWhileTheFolderIsRemoved(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	ended, end := context.WithCancel(t.Context())
	removed := make(chan struct{})
	go func() {
		defer close(removed)
		// Fewer removals than attempts: a single lock can meet all of them.
		for removals := 0; removals < 90 && ended.Err() == nil; {
			if _, err := os.Stat(folder); err == nil {
				_ = os.RemoveAll(folder)
				removals++
			}
		}
	}()
	for range 1000 {
		unlock, err := LockFolders(t.Context(), folder)
		if err != nil {
			t.Error(err)
			continue
		}
		unlock()
	}
	end()
	<-removed
}

// A folder that is given twice is locked once.
func TestLockFoldersTwice(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	unlock, err := LockFolders(t.Context(), b, a, b)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}
