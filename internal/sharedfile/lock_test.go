package sharedfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestCommitEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	change := prepare(t, File{Path: path, Mode: 0o600}, appending("x"))
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the build was aborted")
	cancel(reason)
	if err := Commit(ctx, change); !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
	change.Discard()
	wantEntries(t, filepath.Dir(path))
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	if _, err := LockFile(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that does not exist: got %v", err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := LockFile(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the file: got %v", err)
	}
	write(t, path, "")
	synctest.Test(t, func(t *testing.T) {
		unlock, err := LockFile(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := LockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the second lock: got %v", err)
		}
		time.AfterFunc(time.Minute, unlock)
		unlock, err = LockFile(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	})
}

// A link could lead to a device, or to a file of another program.
func TestLockFileThatIsALink(t *testing.T) {
	folder := t.TempDir()
	for name, target := range map[string]string{"file": "file", "nothing": "nothing", "device": "/dev/zero"} {
		t.Run(name, func(t *testing.T) {
			link := filepath.Join(folder, "lock-"+name)
			if name == "file" {
				write(t, filepath.Join(folder, target), "")
			}
			if err := os.Symlink(target, link); err != nil {
				t.Fatal(err)
			}
			if _, err := LockFile(t.Context(), link); !errors.Is(err, syscall.ELOOP) {
				t.Errorf("got %v", err)
			}
		})
	}
	wantEntries(t, folder, "file", "lock-device", "lock-file", "lock-nothing")
}

// Commit waits while the folder is locked, but not forever.
func TestLockFolders(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "new")
	synctest.Test(t, func(t *testing.T) {
		unlock, err := LockFolders(t.Context(), folder)
		if err != nil {
			t.Fatal(err)
		}
		change := prepare(t, File{Path: filepath.Join(folder, "file")}, appending(""))
		err = Commit(t.Context(), change)
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "wait for the lock on "+folder) {
			t.Errorf("got %v", err)
		}
		wantAdvice(t, err, "lsof")
		time.AfterFunc(5*time.Second, unlock)
		if err := Commit(t.Context(), change); err != nil {
			t.Error(err)
		}
	})
}

// A file that is written in place needs no lock.
func TestInPlaceIsNotLocked(t *testing.T) {
	folder := t.TempDir()
	unlock, err := LockFolders(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	commit(t, prepare(t, File{Path: filepath.Join(folder, "file"), Mode: 0o600, InPlace: true}, appending("x")))
	wantEntries(t, folder, "file")
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

// A signal may interrupt the system call.
func TestInterruptedLock(t *testing.T) {
	strace := []string{"-f", "-o", os.DevNull, "-e", "inject=flock:error=EINTR:when=1"}
	if output, err := exec.CommandContext(t.Context(), "strace", append(strace, "true")...).CombinedOutput(); err != nil {
		t.Skipf("strace: %v: %s", err, output)
	}
	arguments := append(strace, os.Args[0], "-test.run=^TestLockFoldersTwice$", "-test.v")
	output, err := exec.CommandContext(t.Context(), "strace", arguments...).CombinedOutput()
	if err != nil || !strings.Contains(string(output), "PASS: TestLockFoldersTwice") {
		t.Errorf("got %v: %s", err, output)
	}
}
