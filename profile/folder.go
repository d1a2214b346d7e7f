package profile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// ProgramName is the name of the Step's program where it is kept.
const ProgramName = "authenticate-with-aws"

const (
	folderMode  fs.FileMode = 0o700
	programMode fs.FileMode = 0o700
	secretMode  fs.FileMode = 0o600

	// maxProgramSize is in bytes. A build with debug information, coverage and the race detector has 20 MiB.
	maxProgramSize = 256 << 20
)

// Folder is where everything that outlives the Step is kept, in ~/.authenticate-with-aws:
//
//	VERSION/authenticate-with-aws  the program; the version is a digest of its content
//	VERSION/KEY/settings.json      the settings of a session
//	VERSION/KEY/cache.json         its credentials
//	VERSION/KEY/lock               the lock of the process that renews them
//
// Each version of the program has its own sessions: none has to read what another has written, and a version that has no
// sessions is no longer used.
type Folder struct{ root, version string }

// FolderIn returns the folder in a user's home. It does not need to exist.
func FolderIn(home string) (Folder, error) {
	if home == "" {
		return Folder{}, errors.New("find a folder for the program that renews the profile's credentials: the variable HOME is empty")
	}
	root, err := filepath.Abs(filepath.Join(home, ".authenticate-with-aws"))
	return Folder{root: root}, err
}

// FolderOf returns the folder of a program that [Folder.Stage] has put there.
func FolderOf(program string) Folder {
	folder := filepath.Dir(program)
	return Folder{root: filepath.Dir(folder), version: filepath.Base(folder)}
}

func (f Folder) String() string { return f.root }

func (f Folder) programFolder() string { return filepath.Join(f.root, f.version) }

func (f Folder) session(key Key) string { return filepath.Join(f.programFolder(), key.digest) }

// Stage prepares to keep what a profile's credential process needs after the Step has ended: the program, the first credentials,
// obtained now, and the settings, with which the caller can obtain them again. The command runs the program for the session. Nothing is in place before the changes are
// committed; to discard them, do it in this order, so that no empty folder stays.
func (f Folder) Stage(
	ctx context.Context, program string, settings secret.Text, c credentials.Credentials, now time.Time,
) (Command, []*sharedfile.Change, error) {
	process, changes, err := f.stage(ctx, program, settings, entry{Credentials: c, Obtained: now})
	slices.Reverse(changes)
	if err != nil {
		for _, change := range changes {
			change.Discard()
		}
		return Command{}, nil, explain.Advise(
			fmt.Errorf("keep the program that renews the profile's credentials in %s: %w", f, err),
			"Set HOME, for this Step and for all that use the profile, to a folder that this user can write to and run programs from: "+
				"its file system must not be mounted read-only or noexec.",
			"Or leave aws_profile empty: the Step then exports credentials, which are not renewed.")
	}
	return process, changes, nil
}

func (f Folder) stage(
	ctx context.Context, program string, settings secret.Text, first entry,
) (process Command, changes []*sharedfile.Change, err error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return process, nil, err
	}
	// By content and not by release, since a Step under development has many builds of one release.
	digest := sha256.Sum256(content)
	f.version = hex.EncodeToString(digest[:8])
	key := KeyOf(settings)
	installed := filepath.Join(f.programFolder(), ProgramName)
	if process, err = newCommand(installed, key); err != nil {
		return process, nil, err
	}
	if err := f.secure(); err != nil {
		return process, nil, err
	}
	for _, file := range []struct {
		path    string
		content []byte
		mode    fs.FileMode
	}{
		// The session comes first: as long as it is there, no other run removes the program.
		{f.settingsPath(key), []byte(settings.Reveal()), secretMode},
		{f.Cache(key).path, first.encode(), secretMode},
		// A credential process can take the lock in a folder that it cannot write to, such as a read-only mount in a container.
		{f.Cache(key).lock, []byte{}, secretMode},
		{installed, content, programMode},
	} {
		change, err := sharedfile.File{Path: file.path, Mode: file.mode, MaxSize: maxProgramSize}.Prepare(
			func([]byte) ([]byte, error) { return file.content, nil })
		if err != nil {
			return process, changes, err
		}
		changes = append(changes, change)
	}
	return process, changes, checkRuns(ctx, changes[len(changes)-1].Staged())
}

// secure closes the folders to other users. It refuses a link and a folder that belongs to another user, who could replace the
// program.
func (f Folder) secure() error {
	for _, folder := range []string{f.root, f.programFolder()} {
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

// checkRuns runs the program, since the first to find out that it cannot run should not be the Step that needs credentials.
func checkRuns(ctx context.Context, program string) error {
	if err := exec.CommandContext(ctx, program, Subcommand, "--help").Run(); err != nil {
		return fmt.Errorf("the program cannot run from there: %w", err)
	}
	return nil
}

func (f Folder) settingsPath(key Key) string { return filepath.Join(f.session(key), "settings.json") }

// Settings reads the settings of a session.
func (f Folder) Settings(key Key) (secret.Text, error) {
	path := f.settingsPath(key)
	content, err := sharedfile.Read(path)
	if err == nil && content == nil {
		err = explain.Advise(fmt.Errorf("the settings of the session: %s does not exist", path), "Run the Step again.")
	}
	return secret.New(string(content)), err
}

// Cache returns the cache of a session's credentials.
func (f Folder) Cache(key Key) Cache {
	return Cache{path: filepath.Join(f.session(key), "cache.json"), lock: filepath.Join(f.session(key), "lock")}
}
