package profile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// unusedAge is the age at which a session that no profile of the configuration file uses is removed. Another build may use
// another configuration file. No session is good for more than 12 hours, so one that is in use is renewed more often than this.
const unusedAge = 24 * time.Hour

var versionPattern = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Remove removes the session that a command runs, and its program if no other session uses it. Call it after the change of
// [ConfigFile.PrepareRemoval] has been committed. A session that another profile in the file uses stays.
func (f Folder) Remove(ctx context.Context, file ConfigFile, command Command) error {
	return f.removeSessions(ctx, file, command.runs)
}

// Sweep removes what earlier profiles and killed runs have left: sessions that no profile in the file uses, if nothing has been
// written for a day, and programs without sessions.
func (f Folder) Sweep(ctx context.Context, file ConfigFile) error {
	return f.removeSessions(ctx, file, func(version string, key Key) bool {
		f.version = version
		info, err := os.Stat(f.session(key))
		return err == nil && time.Since(info.ModTime()) > unusedAge
	})
}

func (f Folder) removeSessions(ctx context.Context, file ConfigFile, isUnused func(version string, key Key) bool) error {
	versions, err := os.ReadDir(f.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	problems := []error{err}
	for _, version := range versions {
		if !versionPattern.MatchString(version.Name()) {
			continue
		}
		f.version = version.Name()
		for _, key := range f.keys() {
			if isUnused(f.version, key) {
				problems = append(problems, f.removeSession(ctx, file, key))
			}
		}
		problems = append(problems, f.removeProgram(ctx))
	}
	_ = os.Remove(f.root) // fails, as it should, if something is left
	return errors.Join(problems...)
}

// keys returns the keys of the sessions of one version.
func (f Folder) keys() []Key {
	entries, _ := os.ReadDir(f.programFolder())
	var keys []Key
	for _, entry := range entries {
		if key, err := ParseKey(entry.Name()); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// removeSession removes a session that is not used. A renewal at work ends first, or it would write the credentials again.
func (f Folder) removeSession(ctx context.Context, file ConfigFile, key Key) error {
	unlockCache, err := sharedfile.LockFile(ctx, f.Cache(key).lock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another run has removed it
	}
	if err != nil {
		return err
	}
	defer unlockCache()
	// No other run commits a profile of this session meanwhile.
	unlock, err := sharedfile.LockFolders(ctx, f.session(key))
	if err != nil {
		return err
	}
	defer unlock()
	if file.runs(f.version, key) {
		return nil
	}
	// The settings first: a process that waits for the lock may create the lock file again while the folder is being removed, but
	// without settings it cannot renew.
	if err := os.Remove(f.settingsPath(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeFolder(f.session(key))
}

func (f Folder) removeProgram(ctx context.Context) error {
	unlock, err := sharedfile.LockFolders(ctx, f.programFolder())
	if err != nil {
		return err
	}
	defer unlock()
	if len(f.keys()) > 0 {
		return nil
	}
	return removeFolder(f.programFolder())
}

// removeFolder removes the files of a folder, and the folder. Temporary files (see package sharedfile) may belong to a run at
// work, so new ones stay.
func removeFolder(folder string) error {
	entries, err := os.ReadDir(folder)
	problems := []error{err}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && strings.HasPrefix(entry.Name(), ".") && time.Since(info.ModTime()) <= unusedAge {
			continue
		}
		problems = append(problems, os.Remove(filepath.Join(folder, entry.Name())))
	}
	_ = os.Remove(folder) // fails, as it should, if something is left
	return errors.Join(problems...)
}
