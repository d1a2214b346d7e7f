package sharedfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// ErrLocked is the error for a lock that another process holds for longer than a change takes.
var ErrLocked = errors.New("another process holds it")

// LockFolders takes the locks of [Commit] for files in these folders, which are created if necessary. A
// lock is on the folder itself: no lock file is left behind, and replacing a file doesn't unlock it.
func LockFolders(ctx context.Context, folders ...string) (unlock func(), err error) {
	// Runs of the Step hold the lock for milliseconds, but any process may take it.
	const patience = 15 * time.Second

	ctx, cancel := context.WithTimeoutCause(ctx, patience, ErrLocked)
	defer cancel()
	var held []func()
	unlock = func() {
		for _, release := range held {
			release()
		}
	}
	// Sorted, so that two runs never wait for each other.
	for _, folder := range slices.Compact(slices.Sorted(slices.Values(folders))) {
		release, err := lockFolder(ctx, folder)
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, release)
	}
	return unlock, nil
}

// LockFile waits for the lock on a file, until ctx is done. A link is not followed. If the file doesn't exist, or is removed
// meanwhile, the error is an [fs.ErrNotExist].
func LockFile(ctx context.Context, path string) (unlock func(), err error) {
	return acquire(ctx, flock.New(path, flock.SetFlag(os.O_RDONLY|syscall.O_NOFOLLOW)))
}

// lockFolder creates a folder and locks it.
func lockFolder(ctx context.Context, folder string) (unlock func(), err error) {
	_, err = inFolder(folder, func() (err error) {
		unlock, err = acquire(ctx, flock.New(folder, flock.SetFlag(os.O_RDONLY)))
		return err
	})
	return unlock, err
}

func acquire(ctx context.Context, lock *flock.Flock) (unlock func(), err error) {
	const poll = 10 * time.Millisecond

	_, err = lock.TryLockContext(ctx, poll)
	for errors.Is(err, syscall.EINTR) {
		_, err = lock.TryLockContext(ctx, poll)
	}
	switch {
	case err == nil:
		return func() { _ = lock.Unlock() }, nil
	case ctx.Err() == nil:
		return nil, advise(&fs.PathError{Op: "lock", Path: lock.Path(), Err: err})
	}
	err = fmt.Errorf("wait for the lock on %s: %w", lock.Path(), context.Cause(ctx))
	if errors.Is(err, ErrLocked) {
		err = explain.Advise(err,
			"Find the process that holds the folder's lock (lsof, fuser) and stop it.",
			"If other builds share this machine and its home folder, give each its own DOCKER_CONFIG and AWS_CONFIG_FILE.")
	}
	return nil, err
}
