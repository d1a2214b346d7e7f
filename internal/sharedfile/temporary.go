package sharedfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mark is in the names of all temporary files, which are .NAME.authenticate-with-aws-NUMBER.
const mark = ".authenticate-with-aws-"

// temporary is a file that will replace the target. It is locked while it is needed, so that other runs can tell it from a file that
// a killed run left behind. A process ID isn't enough: each container that shares the folder has its own IDs.
type temporary struct {
	path string
	lock *os.File
}

// writeTemporary writes a file next to the target, with the target's owner, and removes temporary files of killed runs.
func (f File) writeTemporary(target string, content []byte) (*temporary, error) {
	folder, pattern := filepath.Dir(target), "."+filepath.Base(target)+mark
	sweep(folder, pattern)
	file, t, err := createTemporary(folder, pattern)
	if err != nil {
		return nil, advise(err)
	}
	if err := errors.Join(f.fill(file, content, target), file.Close()); err != nil {
		t.remove()
		return nil, advise(err)
	}
	return t, nil
}

// createTemporary creates a file and locks it. The lock is on a second file descriptor, because a program that is open for
// writing can't be run.
func createTemporary(folder, pattern string) (*os.File, *temporary, error) {
	const mostAttempts = 100 // a different run may remove a file before it is locked

	for attempt := 1; ; attempt++ {
		file, err := os.CreateTemp(folder, pattern+"*")
		if err != nil {
			return nil, nil, err
		}
		lock, err := os.Open(file.Name())
		if err == nil {
			// If the file system doesn't support locks, no run removes unlocked files. A run that removes one holds the lock briefly.
			_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH)
			_, err = os.Lstat(file.Name())
		}
		t := &temporary{path: file.Name(), lock: lock}
		if err == nil {
			return file, t, nil
		}
		_ = file.Close()
		t.remove()
		if attempt == mostAttempts || !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
}

// fill writes the content to the disk before the rename, because after a crash, the target might otherwise be empty. CreateTemp
// creates files with mode 0600, so no other user can read the content at any moment.
func (f File) fill(file *os.File, content []byte, target string) error {
	if _, err := file.Write(content); err != nil {
		return err
	}
	if info, err := os.Stat(target); err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			// Only root can preserve a different user's ownership.
			err := file.Chown(int(owner.Uid), int(owner.Gid))
			if err != nil && (f.InPlace || !errors.Is(err, fs.ErrPermission)) {
				return err
			}
		}
	}
	return errors.Join(file.Chmod(f.mode(target)), file.Sync())
}

// rename moves the file to the target.
func (t *temporary) rename(target string) error {
	err := os.Rename(t.path, target)
	if err == nil {
		_ = t.lock.Close()
	}
	return err
}

func (t *temporary) remove() {
	_ = os.Remove(t.path)
	_ = t.lock.Close() // fails if there is no lock
}

// Sweep removes the temporary files of killed runs from a folder.
func Sweep(folder string) { sweep(folder, "") }

// sweep removes those whose names have a prefix.
func sweep(folder, prefix string) {
	entries, _ := os.ReadDir(folder) // an unreadable folder is an error of the change itself
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) && strings.Contains(entry.Name(), mark) {
			removeUnlocked(filepath.Join(folder, entry.Name()))
		}
	}
}

// removeUnlocked removes a file unless a process has locked it.
func removeUnlocked(path string) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		_ = os.Remove(path)
	}
}
