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

// writeTemporary writes a temporary file next to the file, and removes those of killed runs. It is locked
// until the result is closed, so that other runs can tell it from those. A process ID isn't enough:
// each container that shares the folder has its own IDs. The lock is on a second file descriptor,
// because a program that is open for writing can't be run.
func (f File) writeTemporary(content []byte) (*os.File, error) {
	const mostAttempts = 100 // a different run may remove a file before it is locked

	folder := filepath.Dir(f.Path)
	Sweep(folder)
	for attempt := 1; ; attempt++ {
		file, err := os.CreateTemp(folder, "."+filepath.Base(f.Path)+mark+"*")
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
		if err = errors.Join(err, file.Close()); err == nil {
			return lock, nil
		}
		_ = os.Remove(file.Name())
		_ = lock.Close()
		if attempt == mostAttempts || !errors.Is(err, fs.ErrNotExist) {
			return nil, advise(err)
		}
	}
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

// Sweep removes the temporary files of killed runs from a folder.
func Sweep(folder string) {
	entries, _ := os.ReadDir(folder) // an unreadable folder is an error of the change itself
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, ".") && strings.Contains(name, mark) {
			lock := flock.New(filepath.Join(folder, name), flock.SetFlag(os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK))
			if isUnused, _ := lock.TryLock(); isUnused {
				_ = os.Remove(lock.Path())
				_ = lock.Unlock()
			}
		}
	}
}
