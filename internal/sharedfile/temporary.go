package sharedfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
)

// mark is in the names of all temporary files, which are .NAME.authenticate-with-aws-NUMBER.
const mark = ".authenticate-with-aws-"

// writeTemporary writes a temporary file next to the file, and removes those of killed runs. If a different
// run removes it or the folder meanwhile, the error is an [fs.ErrNotExist].
//
// The file is locked until the result is closed, so that other runs can tell it from those of killed runs. A
// process ID isn't enough: each container that shares the folder has its own IDs. The lock is on a second
// file descriptor, because a program that is open for writing can't be run.
func (f File) writeTemporary(content []byte) (*os.File, error) {
	folder, prefix := filepath.Dir(f.Path), "."+filepath.Base(f.Path)+mark
	sweep(folder, prefix)
	file, err := os.CreateTemp(folder, prefix+"*")
	if err != nil {
		return nil, advise(err)
	}
	lock, err := os.Open(file.Name())
	if err == nil {
		// Without support for locks, no run removes files. One that does holds the lock briefly.
		_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH)
		_, err = os.Lstat(file.Name())
	}
	if err == nil {
		err = f.fill(file, content)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = os.Remove(file.Name())
		_ = lock.Close()
		return nil, advise(err)
	}
	return lock, nil
}

// fill writes the content to the disk, because after a rename and a crash, the file might otherwise be
// empty. CreateTemp creates files with mode 0600, so no other user can read the content at any moment.
func (f File) fill(file *os.File, content []byte) error {
	if _, err := file.Write(content); err != nil {
		return err
	}
	mode := f.Mode
	if info, err := os.Stat(f.Path); err == nil {
		if f.KeepMode {
			mode = info.Mode().Perm()
		}
		// Only root can preserve a different user's ownership.
		err := file.Chown(ownerOf(info), int(info.Sys().(*syscall.Stat_t).Gid))
		if err != nil && (f.InPlace || !errors.Is(err, fs.ErrPermission)) {
			return err
		}
	}
	return errors.Join(file.Chmod(mode), file.Sync())
}

// Sweep removes the temporary files of killed runs from one of the Step's own folders.
func Sweep(folder string) { sweep(folder, ".") }

// sweep removes those whose names have a prefix.
func sweep(folder, prefix string) {
	entries, _ := os.ReadDir(folder) // an unreadable folder is an error of the change itself
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, prefix) && strings.Contains(name, mark) {
			lock := flock.New(filepath.Join(folder, name), flock.SetFlag(os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK))
			if isUnused, _ := lock.TryLock(); isUnused {
				_ = os.Remove(lock.Path())
				_ = lock.Unlock()
			}
		}
	}
}
