package profile

import (
	"context"
	"errors"

	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// RemoveSecrets removes the settings and the credentials of a session, so that nothing can renew or use it. It waits for a renewal
// that is in progress, which would write the credentials again. Missing files are fine.
func (f Folder) RemoveSecrets(ctx context.Context, s Session) error {
	return f.lockSession(ctx, s, func() error {
		return errors.Join(removeFile(f.file(s, settingsName)), removeFile(f.file(s, cacheName)))
	})
}

// Remove removes a session whose secrets have been removed, and its program if it has no other sessions.
func (f Folder) Remove(ctx context.Context, s Session) error {
	// A different run may be about to put this session, or one of the same program, into place.
	unlock, err := sharedfile.LockFolders(ctx, f.Path(s.version, s.key), f.Path(s.version))
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(f.file(s, settingsName)); err == nil {
		return nil // a different run has written it again
	}
	err = removeFolder(f.Path(s.version, s.key), lockName)
	sessions, listErr := f.sessionsOf(s.version)
	if len(sessions) == 0 && listErr == nil {
		err = errors.Join(err, removeFolder(f.Path(s.version), ProgramName))
	}
	return errors.Join(err, listErr)
}

// RemoveUnused removes the sessions that were not used for the given time, and returns them.
func (f Folder) RemoveUnused(ctx context.Context, now time.Time, age time.Duration) (removed []Session, err error) {
	versions, err := readFolder(f.root)
	problems := []error{err}
	for _, version := range versions {
		sessions, err := f.sessionsOf(version)
		problems = append(problems, err)
		for _, s := range sessions {
			isUnused := false
			err := f.lockSession(ctx, s, func() error {
				if isUnused = now.Sub(f.lastUsed(s)) > age; !isUnused {
					return nil
				}
				return errors.Join(removeFile(f.file(s, settingsName)), removeFile(f.file(s, cacheName)))
			})
			if isUnused && err == nil {
				removed = append(removed, s)
				err = f.Remove(ctx, s)
			}
			problems = append(problems, err)
		}
	}
	return removed, errors.Join(problems...)
}

// Has reports whether a session exists. If that can't be determined, it returns true.
func (f Folder) Has(s Session) bool {
	_, err := os.Lstat(f.Path(s.version, s.key))
	return !errors.Is(err, fs.ErrNotExist)
}

// RemoveIfEmpty removes the folder and the given folders in it if they are empty.
func (f Folder) RemoveIfEmpty(names ...string) {
	for _, name := range append(names, "") {
		_ = os.Remove(f.Path(name)) // fails, as it should, if the folder isn't empty
	}
}

// Sweep removes the temporary files of killed runs, which can contain secrets. Those of running ones are locked and kept.
func (f Folder) Sweep() {
	_ = filepath.WalkDir(f.root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			sharedfile.Sweep(path)
		}
		return nil
	})
}

// lockSession calls a function while no process renews a session. It does nothing if the session doesn't exist.
func (f Folder) lockSession(ctx context.Context, s Session, do func() error) error {
	unlock, err := sharedfile.LockFile(ctx, f.file(s, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

// lastUsed returns when a credential process last used a session, or a run wrote it. It is zero if the files can't be read.
func (f Folder) lastUsed(s Session) (last time.Time) {
	for _, name := range []string{lockName, cacheName} {
		if info, err := os.Lstat(f.file(s, name)); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// sessionsOf returns the sessions of one version of the program.
func (f Folder) sessionsOf(version string) ([]Session, error) {
	names, err := readFolder(f.Path(version))
	var sessions []Session
	for _, name := range names {
		if session, err := ParseSession(version + "/" + name); err == nil {
			sessions = append(sessions, session)
		}
	}
	return sessions, err
}

// readFolder returns the names in a folder, or none if it doesn't exist or is a file.
func readFolder(path string) (names []string, err error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil
	}
	entries, err := os.ReadDir(path)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeFolder removes the Step's file and the temporary files of killed runs from a folder, and then the folder if it is empty.
func removeFolder(folder, name string) error {
	sharedfile.Sweep(folder)
	if err := removeFile(filepath.Join(folder, name)); err != nil {
		return err
	}
	names, err := readFolder(folder)
	if err != nil || len(names) > 0 {
		return err
	}
	return removeFile(folder)
}
