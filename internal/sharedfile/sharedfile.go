// Package sharedfile writes files that other programs read and write too, such as Docker's and AWS's configuration: under a
// lock that all runs of the Step respect, and replaced whole, so that whoever reads meanwhile, or kills the process, finds
// the old file or the new one.
//
// The package imports the standard library and a lock library. It knows nothing of what the files hold.
package sharedfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// folderMode is for folders that are made: what stands in them is the user's alone.
const folderMode fs.FileMode = 0o700

// folderPatience is how long a folder's lock is waited for; its holders need milliseconds.
const folderPatience = 15 * time.Second

// lockMode is for files that are locks.
const lockMode fs.FileMode = 0o600

// Lock waits until no other process, and nobody else in this one, holds the lock on the folder of the file that path leads
// to, or until ctx has ended. The folder is made, with mode 0700, where there is none. What is locked is the folder itself,
// so no lock file is left behind, and a file that is replaced does not take its lock along.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	// How long another process holds the lock is milliseconds: it reads a file, and writes one.
	const poll = 5 * time.Millisecond

	target, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(target)
	if err := os.MkdirAll(folder, folderMode); err != nil {
		return nil, err
	}
	// Whoever may read the folder may lock it. Nobody is to keep a Step waiting to its end.
	ctx, cancel := context.WithTimeoutCause(ctx, folderPatience, ErrLocked)
	defer cancel()
	return acquire(ctx, flock.New(folder, flock.SetFlag(os.O_RDONLY)), poll)
}

// LockFile is like Lock for what has a lock of its own: path is the lock's file, which is made with mode 0600 and stays, since
// somebody else may be waiting at it.
func LockFile(ctx context.Context, path string) (unlock func(), err error) {
	// How long another process holds the lock may be the time of a few calls over the network.
	const poll = 20 * time.Millisecond

	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return nil, err
	}
	return acquire(ctx, flock.New(path, flock.SetPermissions(lockMode)), poll)
}

// ErrLocked is a lock that somebody holds for longer than writing a file takes.
var ErrLocked = errors.New("somebody else holds it")

func acquire(ctx context.Context, lock *flock.Flock, poll time.Duration) (unlock func(), err error) {
	if _, err := lock.TryLockContext(ctx, poll); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("wait for the lock on %s: %w", lock.Path(), context.Cause(ctx))
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Path(), err)
	}
	return func() { _ = lock.Unlock() }, nil
}

// Sweep removes what processes that were killed in the midst of Replace have left beside the file. The caller holds the
// file's lock, and so knows that none of it is in use. It is for folders of the Step's own: elsewhere a file of such a name
// may be somebody's.
func Sweep(path string) {
	target, err := Resolve(path)
	if err != nil {
		return
	}
	folder := filepath.Dir(target)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), temporaryPrefix(target)) {
			_ = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
}

func temporaryPrefix(target string) string { return "." + filepath.Base(target) + "-" }

// Read returns what the file holds; nil, and no error, where there is none. What is no regular file is an error, because
// reading it, a named pipe for example, might never end.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return os.ReadFile(path)
}

// Replace writes a new file beside the old one and renames it. Where path is a link, what it leads to is replaced and the
// link stays. Folders that are missing are made, with mode 0700.
func Replace(path string, content []byte, mode fs.FileMode) (err error) {
	target, err := Resolve(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), folderMode); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(target), temporaryPrefix(target)+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary.Name())
		}
	}()
	// CreateTemp made the file with mode 0600: at no moment can more people read it than are meant to.
	if err := errors.Join(fill(temporary, content, mode), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), target)
}

// fill writes the content to the disk before a name points at it: after a crash an empty file would be neither the old nor
// the new one.
func fill(file *os.File, content []byte, mode fs.FileMode) error {
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	return file.Sync()
}

// Resolve follows links to the file that is to be written, which does not need to exist.
func Resolve(path string) (string, error) {
	const mostLinks = 40
	for range mostLinks {
		next, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link, or nothing there
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		path = next
	}
	return "", fmt.Errorf("%s: too many links", path)
}
