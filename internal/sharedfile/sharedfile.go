// Package sharedfile changes files that other programs use too, such as Docker's and AWS's configuration. A change is
// prepared in a temporary file next to the target ([File.Prepare]) and renamed into place later ([Commit]), under a lock that
// every run of the Step takes. Readers of the file see the old content or the new, even if the process is killed.
package sharedfile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

const (
	// MaxSize is the largest file that is read, in bytes. Configuration files have a few kilobytes; 3,000 ECR logins, 9 MB.
	MaxSize = 16 << 20

	// folderMode is the mode of folders that are created.
	folderMode fs.FileMode = 0o700
	// leftoverAge is the age at which a temporary file cannot belong to a running Step anymore, whose timeout is at most an hour.
	leftoverAge = 2 * time.Hour
)

// File is a file to change. Its folder does not need to exist.
type File struct {
	Path string
	// Mode is the file's mode.
	Mode fs.FileMode
	// KeepMode keeps the mode of a file that exists.
	KeepMode bool
	// MaxSize is the largest file that is read, in bytes; zero: [MaxSize].
	MaxSize int64
	// InPlace is for a file that only this process changes now. It is not locked, and it is written in place, in one write, where
	// no other file can take its place: its folder is read-only, it is a mount point, or its owner could not be kept.
	InPlace bool
}

// Edit returns the new content of a file, given the current one, which is nil if there is no file. If it returns nil then, no
// file is created. It may run more than once.
type Edit func(content []byte) ([]byte, error)

// Change is the new version of a file, not yet in its place. Call Discard when done with it, committed or not.
type Change struct {
	file   File
	target string
	edit   Edit
	// before is what edit saw, and after what it returned.
	before, after []byte
	// temporary is the file that holds what edit returned; empty if there is nothing to change.
	temporary string
	// folders were created for the temporary file, the innermost first.
	folders []string
}

// Prepare writes the new version of a file next to it and leaves the file alone.
func (f File) Prepare(edit Edit) (*Change, error) {
	target, err := resolve(f.Path)
	if err != nil {
		return nil, err
	}
	f.MaxSize = cmp.Or(f.MaxSize, MaxSize)
	c := &Change{file: f, target: target, edit: edit}
	content, err := read(target, f.MaxSize)
	if err == nil {
		err = c.apply(content)
	}
	if err != nil {
		c.Discard()
		return nil, err
	}
	return c, nil
}

// apply edits the content and writes the result to a temporary file.
func (c *Change) apply(content []byte) error {
	after, err := c.edit(content)
	if err != nil {
		return err
	}
	c.removeTemporary()
	c.before, c.after = content, after
	if isSame(content, after) {
		return nil
	}
	if err = c.stage(); err != nil && c.file.InPlace {
		return nil
	}
	return err
}

// stage writes the new version next to the file.
func (c *Change) stage() error {
	if isMountPoint(c.target) {
		return advise(&fs.PathError{Op: "replace", Path: c.target, Err: syscall.EBUSY})
	}
	folders, err := makeFolders(filepath.Dir(c.target))
	c.folders = append(folders, c.folders...)
	if err != nil {
		return err
	}
	c.temporary, err = c.file.writeTemporary(c.target, c.after)
	return err
}

// mode returns the mode of the new file.
func (f File) mode(target string) fs.FileMode {
	if info, err := os.Stat(target); err == nil && f.KeepMode {
		return info.Mode().Perm()
	}
	return f.Mode
}

// Staged returns the path of the file that holds the new version until [Commit]: a temporary file, or the file itself if there is
// nothing to change.
func (c *Change) Staged() string { return cmp.Or(c.temporary, c.target) }

// Discard removes what Prepare left beside the file. After [Commit] it does nothing.
func (c *Change) Discard() {
	c.removeTemporary()
	for _, folder := range c.folders {
		_ = os.Remove(folder) // fails, as it should, if the folder is in use
	}
	c.folders = nil
}

func (c *Change) removeTemporary() {
	if c.temporary != "" {
		_ = os.Remove(c.temporary)
	}
	c.temporary = ""
}

// Commit puts all changes into place, or none if it fails before the first rename: it takes the locks of all folders, edits
// again what another program has changed since Prepare, and renames.
func Commit(ctx context.Context, changes ...*Change) error {
	// For a file that is not there and stays away, not even the folder is created.
	changes = slices.DeleteFunc(slices.Clone(changes), func(c *Change) bool { return c.before == nil && c.temporary == "" })
	var folders []string
	for _, c := range changes {
		if !c.file.InPlace {
			folders = append(folders, filepath.Dir(c.target))
		}
	}
	unlock, err := LockFolders(ctx, folders...)
	if err != nil {
		return err
	}
	defer unlock()
	for _, c := range changes {
		if err := c.refresh(); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := c.rename(); err != nil {
			return err
		}
	}
	return nil
}

// refresh edits again if the file has changed.
func (c *Change) refresh() error {
	content, err := read(c.target, c.file.MaxSize)
	if err != nil {
		return err
	}
	if isSame(content, c.before) {
		return nil
	}
	return c.apply(content)
}

// isSame reports whether two contents are equal. No file, nil, is not the same as an empty one.
func isSame(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// rename puts the file into place. Programs that do not know the lock, such as docker login, may write at any time, so the
// file is compared once more right before it is replaced.
func (c *Change) rename() error {
	if err := c.refresh(); err != nil {
		return err
	}
	if isSame(c.before, c.after) {
		return nil
	}
	var err error
	if c.temporary != "" {
		err = os.Rename(c.temporary, c.target)
	}
	if c.file.InPlace && (c.temporary == "" || err != nil) {
		err = c.overwrite()
		c.removeTemporary()
	}
	if err != nil {
		return advise(err)
	}
	c.temporary, c.folders = "", nil
	return nil
}

// overwrite writes the file in place, in one write. If that fails, the file has its old content.
func (c *Change) overwrite() error {
	err := os.WriteFile(c.target, c.after, c.file.Mode)
	if err != nil {
		err = errors.Join(err, os.WriteFile(c.target, c.before, c.file.Mode))
	}
	return err
}

// Replace writes a new file in one step. It is for files that only the Step uses, whose lock the caller holds. Missing
// folders are created.
func Replace(path string, content []byte, mode fs.FileMode) error {
	target, err := resolve(path)
	if err != nil {
		return err
	}
	// Not nil, which would stand for no file.
	edit := func([]byte) ([]byte, error) { return append([]byte{}, content...), nil }
	c := &Change{file: File{Mode: mode}, target: target, edit: edit}
	defer c.Discard()
	if err := c.apply(nil); err != nil {
		return err
	}
	return advise(os.Rename(c.temporary, target))
}

// Read returns a file's content; nil, and no error, if there is no file. A file that is not regular, which might never end,
// or is larger than [MaxSize] is an error.
func Read(path string) ([]byte, error) { return read(path, MaxSize) }

func read(path string, maxSize int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, advise(err)
	case !info.Mode().IsRegular():
		return nil, explain.Advise(fmt.Errorf("%s is not a regular file", path), "Choose the path of a file.", elsewhere)
	case info.Size() > maxSize:
		err := fmt.Errorf("%s must be at most %d MiB, got %d MiB", path, maxSize>>20, info.Size()>>20)
		return nil, explain.Advise(err, "Reduce the file, or remove it.", elsewhere)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, advise(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err == nil && int64(len(content)) > maxSize {
		err = fmt.Errorf("%s must be at most %d MiB", path, maxSize>>20)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}

// writeTemporary writes a file next to the target, with the target's owner, and removes what a killed run has left there.
func (f File) writeTemporary(target string, content []byte) (path string, err error) {
	prefix := "." + filepath.Base(target) + ".authenticate-with-aws-"
	sweep(filepath.Dir(target), prefix)
	file, err := os.CreateTemp(filepath.Dir(target), prefix+"*")
	if err != nil {
		return "", advise(err)
	}
	if err := errors.Join(f.fill(file, content, target), file.Close()); err != nil {
		_ = os.Remove(file.Name())
		return "", advise(err)
	}
	return file.Name(), nil
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

// sweep removes temporary files that killed runs have left.
func sweep(folder, prefix string) {
	entries, _ := os.ReadDir(folder)
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > leftoverAge {
			_ = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
}

// makeFolders creates a folder and those above it, and returns the ones that it created, the innermost first.
func makeFolders(folder string) (created []string, err error) {
	for path := folder; ; path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		created = append(created, path)
	}
	return created, advise(os.MkdirAll(folder, folderMode))
}

// isMountPoint reports whether a file is a mount point, which cannot be renamed over. Only Linux says so before a rename fails,
// when other files may be in place already. See https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html.
func isMountPoint(path string) bool {
	const mountPoint = 4 // the field's index

	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > mountPoint && unescape.Replace(fields[mountPoint]) == path {
			return true
		}
	}
	return false
}

// resolve follows links to the file that is to be written, which does not need to exist. A link's ".." is relative to the folder
// that the link is really in, so the folder is resolved first.
func resolve(path string) (string, error) {
	const mostLinks = 40

	for range mostLinks {
		folder, name := filepath.Split(path)
		if existing, err := filepath.EvalSymlinks(folder); err == nil {
			folder = existing
		}
		path = filepath.Join(folder, name)
		next, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link, or nothing there
		}
		if !filepath.IsAbs(next) {
			next = folder + string(filepath.Separator) + next // not joined, which would remove ".." from the text
		}
		path = next
	}
	return "", fmt.Errorf("%s: too many links", path)
}
