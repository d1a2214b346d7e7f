package profile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// ProgramName is the name of the Step's program where it is kept as a credential process, by which it knows itself.
const ProgramName = "aws-credential-process"

const (
	folderMode  fs.FileMode = 0o700
	programMode fs.FileMode = 0o700
	secretMode  fs.FileMode = 0o600
)

// Folder is where all that outlives the Step is kept:
//
//	VERSION/aws-credential-process   the program, by the digest of what it holds
//	sessions/KEY.json                the settings of a session
//	cache/KEY.json                   its credentials
//	cache/KEY.lock                   the lock of the one who renews them
type Folder struct{ path string }

// FolderIn returns the folder in a user's home. It does not need to exist.
func FolderIn(home string) (Folder, error) {
	if home == "" {
		return Folder{}, errors.New("the variable HOME is empty, so there is no place for the program that renews the credentials")
	}
	path, err := filepath.Abs(filepath.Join(home, ".authenticate-with-aws"))
	return Folder{path: path}, err
}

// FolderOf returns the folder that a program was kept in by [Folder.Install].
func FolderOf(program string) Folder { return Folder{path: filepath.Dir(filepath.Dir(program))} }

// String returns the folder's path.
func (f Folder) String() string { return f.path }

// Install keeps a session where the Step's own end does not reach it: the program, the settings and the first credentials.
// The command runs the program for the session. undo takes back what was not there before, but for the program, in which
// there is nothing of the session.
func (f Folder) Install(ctx context.Context, program string, settings Settings, credentials Credentials, now time.Time) (command Command, undo func() error, err error) {
	key := settings.Key()
	none := func() error { return nil }
	kept, err := f.keepProgram(program)
	if err == nil {
		err = try(ctx, kept)
	}
	if err != nil {
		return Command{}, none, fmt.Errorf("keep the program that renews the credentials in %s: %w", f.path, err)
	}
	if command, err = newCommand(kept, key); err != nil {
		return Command{}, none, err
	}
	cache := f.Cache(key)
	_, err = os.Stat(f.settingsPath(key))
	existed := err == nil
	undo = func() error {
		if existed {
			return nil
		}
		return errors.Join(os.Remove(f.settingsPath(key)), cache.remove(ctx))
	}
	if err := f.keepSession(ctx, key, settings, credentials, now); err != nil {
		return Command{}, none, errors.Join(fmt.Errorf("keep the session in %s: %w", f.path, err), ignoreAbsent(undo()))
	}
	return command, undo, nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f Folder) keepSession(ctx context.Context, key Key, settings Settings, credentials Credentials, now time.Time) error {
	for _, folder := range []string{"sessions", "cache"} {
		if err := f.mkdir(folder); err != nil {
			return err
		}
	}
	if err := sharedfile.Replace(f.settingsPath(key), settings.encode(), secretMode); err != nil {
		return err
	}
	return f.Cache(key).Store(ctx, credentials, now)
}

// keepProgram copies a program, unless the same one is there already.
func (f Folder) keepProgram(program string) (path string, err error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return "", err
	}
	// By content and not by release: two builds of one release, or a Step that is under development, have their own.
	digest := sha256.Sum256(content)
	version := hex.EncodeToString(digest[:8])
	if err := f.mkdir(version); err != nil {
		return "", err
	}
	path = filepath.Join(f.path, version, ProgramName)
	if info, err := os.Lstat(path); err == nil && info.Mode() == programMode && holds(path, digest) {
		return path, nil
	}
	return path, sharedfile.Replace(path, content, programMode)
}

// holds tells whether a file's content has a digest.
func holds(path string, digest [sha256.Size]byte) bool {
	content, err := os.ReadFile(path)
	return err == nil && sha256.Sum256(content) == digest
}

// try runs the program, since a file system may be mounted so that nothing on it can be run, and who needs credentials later
// should not be the first to find out.
func try(ctx context.Context, program string) error {
	output, err := exec.CommandContext(ctx, program, "--help").CombinedOutput()
	if err != nil {
		return fmt.Errorf("it cannot be run there: %w %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// mkdir makes a folder in the folder, both of them the user's alone, also where they were there before.
func (f Folder) mkdir(name string) error {
	inner := filepath.Join(f.path, name)
	if err := os.MkdirAll(inner, folderMode); err != nil {
		return err
	}
	for _, folder := range []string{f.path, inner} {
		if err := ownFolder(folder); err != nil {
			return err
		}
		if err := os.Chmod(folder, folderMode); err != nil {
			return err
		}
	}
	return nil
}

// ownFolder refuses a folder that is somebody else's, or a link: who has it could put another program in the place of the
// one that is going to be run.
func ownFolder(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !known || int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a folder of this user's", path)
	}
	return nil
}

func (f Folder) settingsPath(key Key) string {
	return filepath.Join(f.path, "sessions", key.digest+".json")
}

// Settings reads the settings of a session.
func (f Folder) Settings(key Key) (Settings, error) {
	path := f.settingsPath(key)
	content, err := sharedfile.Read(path)
	if err != nil {
		return nil, err
	}
	if content == nil {
		return nil, fmt.Errorf("%s is not there; run the Step again", path)
	}
	settings, err := decodeSettings(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; run the Step again", path, err)
	}
	return settings, nil
}

// Cache returns where a session's credentials are.
func (f Folder) Cache(key Key) Cache {
	return Cache{path: filepath.Join(f.path, "cache", key.digest+".json"), lock: filepath.Join(f.path, "cache", key.digest+".lock")}
}

// Credentials are an AWS access key, its session token if it is a temporary one, and its end.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken secret.Text
	// Expires is when they end; zero for long-lived keys.
	Expires time.Time
}
