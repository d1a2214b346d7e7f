package sharedfile

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// asUser calls a function as another user.
func asUser(t *testing.T, id uintptr, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine, so that no other code runs as that user
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, id, id, id)
		if errno == 0 {
			do()
			done <- nil
			return
		}
		done <- errno
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// publicFolder returns a folder that all users can reach.
func publicFolder(t *testing.T, mode fs.FileMode, owner int) string {
	t.Helper()
	folder := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(folder), 0o755), os.Chown(folder, owner, -1), os.Chmod(folder, mode)); err != nil {
		t.Skip(err)
	}
	return folder
}

// In a sticky folder, such as /tmp, a user cannot replace a different user's file. The change is rejected before any file is in place.
func TestStickyFolder(t *testing.T) {
	const user, other = 4321, 4322
	for name, row := range map[string]struct {
		mode        fs.FileMode
		owner       int // of the folder
		file        int // its owner
		isPrevented bool
	}{
		"another user's file":              {fs.ModeSticky | 0o777, 0, other, true},
		"this user's file":                 {fs.ModeSticky | 0o777, 0, user, false},
		"this user's folder":               {fs.ModeSticky | 0o777, user, other, false},
		"another user's file, not sticky":  {0o777, 0, other, false},
		"root's file, in a sticky folder":  {fs.ModeSticky | 0o777, other, 0, true},
		"another user's file and a folder": {fs.ModeSticky | 0o777, other, other, true},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("only root can create files of other users")
			}
			folder := publicFolder(t, row.mode, row.owner)
			path := filepath.Join(folder, "config")
			write(t, path, "old")
			if err := errors.Join(os.Chown(path, row.file, -1), os.Chmod(path, 0o644)); err != nil {
				t.Fatal(err)
			}
			var err error
			asUser(t, user, func() {
				var change *Change
				if change, err = (File{Path: path, KeepMode: true}).Prepare(appending(" new")); err == nil {
					err = Commit(t.Context(), change)
				}
			})
			if row.isPrevented {
				if want := "replace " + path + ": operation not permitted"; err == nil || err.Error() != want {
					t.Errorf("got %v", err)
				}
				wantAdvice(t, err, path+" belongs to ")
			} else if err != nil || read(t, path) != "old new" {
				t.Errorf("got %v", err)
			}
			wantEntries(t, folder, "config")
		})
	}
	// Root can replace every file.
	if os.Geteuid() == 0 {
		path := filepath.Join(publicFolder(t, fs.ModeSticky|0o777, other), "config")
		write(t, path, "old")
		if err := errors.Join(os.Chown(path, user, -1), checkReplaceable(path)); err != nil {
			t.Error(err)
		}
	}
}

// An immutable file cannot be replaced, even by root. Neither can one to which data can only be appended.
func TestImmutableFile(t *testing.T) {
	for _, attribute := range []string{"i", "a"} {
		t.Run(attribute, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			write(t, path, "old")
			if output, err := exec.Command("chattr", "+"+attribute, path).CombinedOutput(); err != nil {
				t.Skipf("chattr: %s", output)
			}
			t.Cleanup(func() { _ = exec.Command("chattr", "-"+attribute, path).Run() })
			_, err := File{Path: path, KeepMode: true}.Prepare(appending("new"))
			if err == nil || err.Error() != "replace "+path+": operation not permitted" {
				t.Errorf("got %v", err)
			}
			wantEntries(t, filepath.Dir(path), "config")
		})
	}
}

func TestMountPoint(t *testing.T) {
	for _, name := range []string{"config", "a name with\tspaces and \\"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			write(t, path, "old")
			if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil {
				t.Skipf("cannot mount: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(path, 0) })
			_, err := File{Path: path, KeepMode: true}.Prepare(appending("new"))
			if err == nil || err.Error() != "replace "+path+": device or resource busy" {
				t.Errorf("got %v", err)
			}
			wantAdvice(t, err, "The file is a mount point")
			wantEntries(t, filepath.Dir(path), name)
		})
	}
}

// The program of a running process can be replaced, although it cannot be written.
func TestRunningProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip(err)
	}
	write(t, path, read(t, cat))
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), path)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	commit(t, prepare(t, File{Path: path, KeepMode: true}, func([]byte) ([]byte, error) { return []byte("new"), nil }))
	if err := errors.Join(input.Close(), command.Wait()); err != nil {
		t.Error(err)
	}
	if got := read(t, path); got != "new" {
		t.Errorf("got %d bytes", len(got))
	}
}
