// Package profile sets up an AWS profile that renews its credentials automatically: a section of AWS's configuration file
// ([ConfigFile]) has the Step's program as its credential process. A copy of the program is kept in the user's home ([Folder]),
// with a session for each profile: its settings, and the credentials, which all processes share ([Folder.Get]).
//
// Changes are staged and take effect with [sharedfile.Commit]. No file contains the build's API token.
//
// The package doesn't know how credentials are obtained, what the settings of a session mean, or the Step's inputs.
package profile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

const (
	folderMode  fs.FileMode = 0o700
	programMode fs.FileMode = 0o700
	secretMode  fs.FileMode = 0o600

	// maxProgramSize is in bytes. A build with debug information, coverage, and the race detector has 20 MiB.
	maxProgramSize = 256 << 20
)

// Folder is where everything that outlives the Step is kept, ~/.authenticate-with-aws:
//
//	VERSION/authenticate-with-aws  the program; the version is a digest of its content
//	VERSION/KEY/settings.json      the settings of a session; the key is a digest of them
//	VERSION/KEY/cache.json         its credentials
//	VERSION/KEY/lock               the lock of the process that renews them, last written when the session was last used
//
// Each version of the program has its own sessions, so no version has to read the files of a different one, and a version without
// sessions is no longer used.
type Folder struct{ root string }

// Session identifies a session: VERSION/KEY. It is empty for none.
type Session string

var sessionPattern = regexp.MustCompile(`^[0-9a-f]{16}/[0-9a-f]{64}$`)

// UnmarshalText parses the text of a session, which becomes a part of paths.
func (s *Session) UnmarshalText(text []byte) error {
	if !sessionPattern.Match(text) {
		return errors.New("the key of a session must have 64 hexadecimal digits")
	}
	*s = Session(text)
	return nil
}

// FolderIn returns the folder in a user's home. It doesn't need to exist.
func FolderIn(home string) (Folder, error) {
	if !filepath.IsAbs(home) {
		return Folder{}, explain.Advise(fmt.Errorf("the variable HOME must be an absolute path, got %q", home), setHome)
	}
	return Folder{root: filepath.Join(home, ".authenticate-with-aws")}, nil
}

const setHome = "Set HOME, for this Step and for everything that uses its logins and profiles, to a folder that this user can write to " +
	"and run programs from. Its file system must not be mounted read-only or noexec."

// Find returns the folder and the session of a program that [Folder.Stage] put there and that was called with a session's key.
func Find(program, key string) (folder Folder, session Session, err error) {
	version := filepath.Dir(program)
	err = session.UnmarshalText([]byte(filepath.Base(version) + "/" + key))
	return Folder{root: filepath.Dir(version)}, session, err
}

func (f Folder) String() string { return f.root }

// Path returns the path of a file in the folder.
func (f Folder) Path(name ...string) string { return filepath.Join(f.root, filepath.Join(name...)) }

func (f Folder) file(s Session, name string) string { return f.Path(string(s), name) }

// The files of a session.
const (
	settingsName = "settings.json"
	cacheName    = "cache.json"
	lockName     = "lock"
)

// Stage prepares to keep what a profile's credential process needs after the Step has ended: the program, the first
// credentials (obtained now), and the settings, from which the caller can obtain new ones. The command runs the program
// for the session. If the changes are not committed, also because of an error, discard them in this order, so that no
// empty folder is left behind.
func (f Folder) Stage(
	ctx context.Context, program string, settings secret.Text, c credentials.Credentials, now time.Time,
) (session Session, command Command, changes []*sharedfile.Change, err error) {
	defer func() {
		slices.Reverse(changes)
		err = f.Explain("keep the program that renews the profile's credentials in "+f.root, err)
	}()
	content, err := os.ReadFile(program)
	if err != nil {
		return "", Command{}, nil, err
	}
	// The version is not the release, because during development, one release has many builds.
	version := fmt.Sprintf("%x", sha256.Sum256(content))[:16]
	key := fmt.Sprintf("%x", sha256.Sum256([]byte(settings.Reveal())))
	session = Session(version + "/" + key)
	installed := f.Path(version, ProgramName)
	if command, err = newCommand(installed, key); err != nil {
		return session, command, nil, err
	}
	if err := f.Secure(version, key); err != nil {
		return session, command, nil, err
	}
	own := func(name string) sharedfile.File {
		return sharedfile.File{Path: f.file(session, name), Mode: secretMode, IsOwn: true}
	}
	for _, file := range []struct {
		sharedfile.File
		content []byte
	}{
		// The session comes first, because other runs don't remove the program of an existing session. Its lock comes before its
		// secrets. Processes that use the session never create it, because a logout may have removed it.
		{own(lockName), []byte{}},
		{own(settingsName), []byte(settings.Reveal())},
		{own(cacheName), entry{Credentials: c, Obtained: now}.encode()},
		{sharedfile.File{
			Path: installed, Mode: programMode, MaxSize: maxProgramSize, IsOwn: true, IsFixed: true,
		}, content},
	} {
		change, err := file.Prepare(func([]byte) ([]byte, error) { return file.content, nil })
		if err != nil {
			return session, command, changes, err
		}
		changes = append(changes, change)
	}
	return session, command, changes, checkRuns(ctx, changes[len(changes)-1].Staged())
}

// Explain says what an error of a file in the folder prevented. It adds advice about where the folder is, unless the
// error has other advice.
func (f Folder) Explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, err)
	isDenied := errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
	if errors.As(err, new(*explain.Error)) && !isDenied {
		return err
	}
	return explain.Advise(err, setHome)
}

// Secure denies other users access to the folder and to those below it, each inside the previous one. It rejects a link, and a folder
// of a different user, who could replace the program.
func (f Folder) Secure(below ...string) error {
	for i := range len(below) + 1 {
		folder := f.Path(below[:i]...)
		info, err := os.Lstat(folder)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		owner, isKnown := info.Sys().(*syscall.Stat_t)
		if !info.IsDir() || !isKnown || int(owner.Uid) != os.Geteuid() {
			return fmt.Errorf("%s must be a folder that belongs to this user", folder)
		}
		if err := os.Chmod(folder, folderMode); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Settings returns the settings of a session.
func (f Folder) Settings(s Session) (secret.Text, error) {
	path := f.file(s, settingsName)
	content, err := sharedfile.ReadOwn(path)
	if err == nil && content == nil {
		err = explain.Advise(fmt.Errorf("the settings of the session: %s does not exist", path), "Run the Step again.")
	}
	return secret.New(string(content)), err
}

// RemoveSecrets removes the settings and the credentials of a session, so that nothing can renew or use it, and reports
// whether they are gone. With a time, it keeps a session that was used or written since. It waits for a renewal that is
// in progress, which would write the credentials again. Missing files are fine.
func (f Folder) RemoveSecrets(ctx context.Context, s Session, unusedSince time.Time) (isRemoved bool, err error) {
	unlock, err := sharedfile.LockFile(ctx, f.file(s, lockName))
	if err == nil {
		defer unlock()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, name := range []string{lockName, cacheName} {
		info, err := os.Lstat(f.file(s, name))
		if err == nil && !unusedSince.IsZero() && info.ModTime().After(unusedSince) {
			return false, nil
		}
	}
	err = errors.Join(removeFile(f.file(s, settingsName)), removeFile(f.file(s, cacheName)))
	return err == nil, err
}

// Remove removes a session whose secrets have been removed, and its program if it has no other sessions.
func (f Folder) Remove(ctx context.Context, s Session) error {
	session := f.Path(string(s))
	version := filepath.Dir(session)
	// A different run may be about to put this session, or one of the same program, into place.
	unlock, err := sharedfile.LockFolders(ctx, session, version)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Lstat(f.file(s, settingsName)); err == nil {
		return nil // a different run has written it again
	}
	sharedfile.Sweep(session) // a renewal may have been killed
	if err := removeFile(f.file(s, lockName)); err != nil {
		return err
	}
	left, err := os.ReadDir(version)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a different run has removed it
	}
	if err != nil {
		return err
	}
	isUsed := false
	for _, entry := range left {
		if entry.IsDir() { // this session, a different one, or an empty folder of a killed run, which is in no record
			isRemoved, err := removeIfEmpty(filepath.Join(version, entry.Name()))
			if err != nil {
				return err
			}
			isUsed = isUsed || !isRemoved
		}
	}
	if isUsed {
		return nil
	}
	if err := removeFile(filepath.Join(version, ProgramName)); err != nil {
		return err
	}
	_, err = removeIfEmpty(version)
	return err
}

// RemoveIfEmpty removes a folder in the folder, and the folder itself, if they are empty.
func (f Folder) RemoveIfEmpty(name string) {
	_ = os.Remove(f.Path(name)) // fails, as it should, if the folder isn't empty
	_ = os.Remove(f.root)
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

// removeIfEmpty removes a folder unless it contains something.
func removeIfEmpty(folder string) (isRemoved bool, err error) {
	err = removeFile(folder)
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
