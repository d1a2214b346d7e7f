package sharedfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mark is in the names of all temporary files: .NAME.authenticate-with-aws-NUMBER.
const mark = ".authenticate-with-aws-"

// temporary is a file that will take another one's place. It is locked as long as it is needed, so that a run that sweeps can tell it
// from what a killed run has left. The number of the process would not do: containers that share a folder have their own.
type temporary struct {
	path string
	lock *os.File
}

// writeTemporary writes a file next to the target, with the target's owner, and removes what killed runs have left there.
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
	const mostAttempts = 100 // a run that sweeps may remove a file before it is locked

	for attempt := 1; ; attempt++ {
		file, err := os.CreateTemp(folder, pattern+"*")
		if err != nil {
			return nil, nil, err
		}
		lock, err := os.Open(file.Name())
		if err == nil {
			// Without locks, the file system has no run that sweeps either. One that sweeps holds its lock for the time of a removal.
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

// fill writes the content to the disk before a name points to it: after a crash, an empty file would be neither version.
// CreateTemp creates files with mode 0600, so that no other user can read it at any moment.
func (f File) fill(file *os.File, content []byte, target string) error {
	if _, err := file.Write(content); err != nil {
		return err
	}
	if info, err := os.Stat(target); err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			// Only root can keep another user's file that user's.
			err := file.Chown(int(owner.Uid), int(owner.Gid))
			if err != nil && (f.InPlace || !errors.Is(err, fs.ErrPermission)) {
				return err
			}
		}
	}
	return errors.Join(file.Chmod(f.mode(target)), file.Sync())
}

// rename gives the file another name.
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

// Sweep removes the temporary files that killed runs have left in a folder.
func Sweep(folder string) { sweep(folder, "") }

// sweep removes those with a prefix.
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
