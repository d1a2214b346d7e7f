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
	"encoding/hex"
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

// Session identifies a session. Its text is VERSION/KEY.
type Session struct{ version, key string }

var sessionPattern = regexp.MustCompile(`^([0-9a-f]{16})/([0-9a-f]{64})$`)

// ParseSession parses the text of a session.
func ParseSession(s string) (Session, error) {
	match := sessionPattern.FindStringSubmatch(s)
	if match == nil {
		return Session{}, errors.New("the key of a session must have 64 hexadecimal digits")
	}
	return Session{version: match[1], key: match[2]}, nil
}

// MarshalText returns the session's text.
func (s Session) MarshalText() ([]byte, error) { return []byte(s.version + "/" + s.key), nil }

// UnmarshalText parses the session's text.
func (s *Session) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSession(string(text))
	return err
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
func Find(program, key string) (Folder, Session, error) {
	folder := filepath.Dir(program)
	session, err := ParseSession(filepath.Base(folder) + "/" + key)
	return Folder{root: filepath.Dir(folder)}, session, err
}

func (f Folder) String() string { return f.root }

// Path returns the path of a file in the folder.
func (f Folder) Path(name ...string) string { return filepath.Join(f.root, filepath.Join(name...)) }

func (f Folder) file(s Session, name string) string { return f.Path(s.version, s.key, name) }

// The files of a session.
const (
	settingsName = "settings.json"
	cacheName    = "cache.json"
	lockName     = "lock"
)

// Stage prepares to keep what a profile's credential process needs after the Step has ended: the program, the first credentials
// (obtained now), and the settings, from which the caller can obtain new ones. The command runs the program for the session. If the
// changes are not committed, discard them in this order, so that no empty folder is left behind.
func (f Folder) Stage(
	ctx context.Context, program string, settings secret.Text, c credentials.Credentials, now time.Time,
) (Session, Command, []*sharedfile.Change, error) {
	session, command, changes, err := f.stage(ctx, program, settings, entry{Credentials: c, Obtained: now})
	slices.Reverse(changes)
	if err == nil {
		return session, command, changes, nil
	}
	for _, change := range changes {
		change.Discard()
	}
	err = f.Explain(fmt.Errorf("keep the program that renews the profile's credentials in %s: %w", f, err))
	return Session{}, Command{}, nil, err
}

// Explain adds advice to an error of a file in the folder, unless the error's cause is not where the folder is.
func (f Folder) Explain(err error) error {
	for _, known := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOLCK, syscall.EOPNOTSUPP} {
		if errors.Is(err, known) {
			return err
		}
	}
	if errors.As(err, new(*explain.Error)) && !errors.As(err, new(*fs.PathError)) {
		return err
	}
	return explain.Advise(err, setHome)
}

func (f Folder) stage(
	ctx context.Context, program string, settings secret.Text, first entry,
) (session Session, command Command, changes []*sharedfile.Change, err error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return session, command, nil, err
	}
	// The version is not the release, because during development, one release has many builds.
	version, key := sha256.Sum256(content), sha256.Sum256([]byte(settings.Reveal()))
	session = Session{version: hex.EncodeToString(version[:8]), key: hex.EncodeToString(key[:])}
	installed := f.Path(session.version, ProgramName)
	if command, err = newCommand(installed, session.key); err != nil {
		return session, command, nil, err
	}
	if err := f.Secure(session.version, session.key); err != nil {
		return session, command, nil, err
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		// The session comes first, because other runs don't remove the program of an existing session.
		{settingsName, []byte(settings.Reveal())},
		{cacheName, first.encode()},
		// With an existing file, a credential process can take the lock even in a read-only folder, such as a mount in a container.
		{lockName, []byte{}},
	} {
		change, err := sharedfile.File{Path: f.file(session, file.name), Mode: secretMode, IsOwn: true}.Prepare(
			func([]byte) ([]byte, error) { return file.content, nil })
		if err != nil {
			return session, command, changes, err
		}
		changes = append(changes, change)
	}
	change, err := sharedfile.File{Path: installed, Mode: programMode, MaxSize: maxProgramSize, IsOwn: true, IsFixed: true}.Prepare(
		func([]byte) ([]byte, error) { return content, nil })
	if err != nil {
		return session, command, changes, err
	}
	return session, command, append(changes, change), checkRuns(ctx, change.Staged())
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
		if err := os.Chmod(folder, folderMode); err != nil {
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
