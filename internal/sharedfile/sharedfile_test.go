package sharedfile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestReplaceMakesFoldersAndSetsModes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	file := filepath.Join(folder, "config")
	for mode, content := range map[fs.FileMode]string{0o600: "one", 0o640: "two"} {
		if err := sharedfile.Replace(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != mode || read(t, file) != content {
			t.Errorf("%v, %v; mode %o and %q wanted", info, err, mode, content)
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info, err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v is left in the folder, %v", entries, err)
	}
}

func TestReplaceKeepsLinks(t *testing.T) {
	folder := t.TempDir()
	there := filepath.Join(folder, "elsewhere", "real")
	for name, target := range map[string]string{"absolute": there, "relative": filepath.Join("elsewhere", "real"), "twice": "absolute"} {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absolute", "relative", "twice"} {
		link := filepath.Join(folder, name)
		if err := sharedfile.Replace(link, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v, %v", name, info, err)
		}
		if got := read(t, there); got != name {
			t.Errorf("%s leads to %q", name, got)
		}
	}
}

func TestLinksInACircle(t *testing.T) {
	folder := t.TempDir()
	one, other := filepath.Join(folder, "one"), filepath.Join(folder, "other")
	if err := errors.Join(os.Symlink(one, other), os.Symlink(other, one)); err != nil {
		t.Fatal(err)
	}
	if err := sharedfile.Replace(one, nil, 0o600); err == nil {
		t.Error("a circle of links was written")
	}
	if _, err := sharedfile.Lock(t.Context(), one); err == nil {
		t.Error("a circle of links was locked")
	}
}

func TestReplaceThatFailsLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	// A folder cannot be replaced by a file.
	target := filepath.Join(folder, "target")
	if err := os.MkdirAll(filepath.Join(target, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sharedfile.Replace(target, []byte("x"), 0o600); err == nil {
		t.Error("a folder was replaced")
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

func TestRead(t *testing.T) {
	if content, err := sharedfile.Read(filepath.Join(t.TempDir(), "none")); content != nil || err != nil {
		t.Errorf("a file that is not there: %q, %v", content, err)
	}
	if _, err := sharedfile.Read(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sharedfile.Read(pipe); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a pipe: %v", err)
	}
}

// Twenty who add to one file, one after another, lose nothing. A link to the file has the file's own lock.
func TestLockIsExclusive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "counter")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			path := []string{file, link}[i%2]
			unlock, err := sharedfile.Lock(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			old, err := sharedfile.Read(path)
			if err != nil {
				t.Error(err)
			}
			n, _ := strconv.Atoi(string(old))
			if err := sharedfile.Replace(path, []byte(strconv.Itoa(n+1)), 0o600); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	if got := read(t, file); got != "20" {
		t.Errorf("20 additions make %s", got)
	}
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("%v is left, %v", entries, err)
	}
}

func TestLockEndsWithItsContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	unlock, err := sharedfile.Lock(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := sharedfile.Lock(ctx, file); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// Where a file stands in the place of the folder, nothing can be locked or written.
func TestFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(file, "folder", "config")
	if _, err := sharedfile.Lock(t.Context(), path); err == nil {
		t.Error("it was locked")
	}
	if err := sharedfile.Replace(path, nil, 0o600); err == nil {
		t.Error("it was written")
	}
}

// A lock of its own is held by one at a time, and its file stays, with mode 0600.
func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	unlock, err := sharedfile.LockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := sharedfile.LockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	unlock()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	unlock, err = sharedfile.LockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// Sweep removes what Replace would have renamed, and nothing else.
func TestSweep(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"file", ".file-123", ".file-4", ".other-1", ".file", "file-1"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sharedfile.Sweep(filepath.Join(folder, "file"))
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 4 {
		t.Errorf("%v are left, %v", entries, err)
	}
	sharedfile.Sweep(filepath.Join(folder, "none", "file"))
}
