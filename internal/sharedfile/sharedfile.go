// Package sharedfile changes files that other programs use, too, such as Docker's and AWS's configuration. A change is
// prepared in a temporary file next to the target ([File.Prepare]) and renamed into place later ([Commit]), under a lock that
// every run of the Step takes. Readers see either the old or the new content, even if the process is killed.
package sharedfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a file to change. Its folder does not need to exist.
type File struct {
	Path string
	// Mode is the file's mode.
	Mode fs.FileMode
	// KeepMode keeps the mode of a file that exists.
	KeepMode bool
	// MaxSize is the largest file that is read, in bytes. It defaults to [MaxSize].
	MaxSize int64
	// IsOwn is for a file in the Step's own folder. Links are not followed.
	IsOwn bool
	// IsFixed is for a file whose path identifies its content. Commit doesn't read it again.
	IsFixed bool
	// InPlace is for a file that only this process changes. It is not locked. If it can't be replaced
	// (its folder is read-only, it is a mount point, its owner would change), it is overwritten.
	InPlace bool
}

// Edit returns the new content of a file, given the current content. nil means that there is no
// file: returning nil removes the file, or creates none. An Edit may be called more than once.
type Edit func(content []byte) ([]byte, error)

// Change is the new version of a file. Call Discard when done with it, committed or not.
type Change struct {
	file File // its path has no links
	edit Edit
	// before is what edit was given, and after is what it returned.
	before, after []byte
	// temporary contains after. It is nil if nothing changes, or if the file will be overwritten.
	temporary *os.File
	// folders were created for the temporary file, the innermost first.
	folders []string
	isDone  bool
}

// Prepare writes the new version of a file next to it. The file itself is not changed.
func (f File) Prepare(edit Edit) (c *Change, err error) {
	if !f.IsOwn {
		f.Path, err = resolve(f.Path)
	}
	c = &Change{file: f, edit: edit}
	if err == nil {
		c.before, err = f.read()
	}
	if err == nil {
		err = c.apply(c.before)
	}
	if err != nil {
		c.Discard()
		return nil, err
	}
	return c, nil
}

// apply edits the content and writes the result next to the file, if it can be renamed later.
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
	if err = checkReplaceable(c.file.Path); err == nil && after != nil {
		err = c.stage()
	}
	if c.file.InPlace {
		return nil // without a temporary file, it is overwritten
	}
	return err
}

// stage writes the new version next to the file.
func (c *Change) stage() error {
	folders, err := inFolder(filepath.Dir(c.file.Path), func() (err error) {
		c.temporary, err = c.file.writeTemporary(c.after)
		return err
	})
	c.folders = append(folders, c.folders...)
	return err
}

// Staged returns the path of the file that holds the new version until [Commit]: a temporary file,
// or the file itself if there is nothing to change.
func (c *Change) Staged() string {
	if c.temporary != nil {
		return c.temporary.Name()
	}
	return c.file.Path
}

// Path returns the path of the file, without links.
func (c *Change) Path() string { return c.file.Path }

// IsDone reports whether the new version is in place.
func (c *Change) IsDone() bool { return c.isDone }

// Discard removes what Prepare created. After [Commit], it does nothing.
func (c *Change) Discard() {
	c.removeTemporary()
	for _, folder := range c.folders {
		_ = os.Remove(folder) // fails, as it should, if the folder is in use
	}
	c.folders = nil
}

func (c *Change) removeTemporary() {
	if c.temporary != nil {
		_ = os.Remove(c.temporary.Name())
		_ = c.temporary.Close()
	}
	c.temporary = nil
}

// Commit puts all changes into place, in order, or none if it fails before the first rename. If it fails
// later, [Change.IsDone] reports which are in place. Files that have changed since Prepare are edited again.
func Commit(ctx context.Context, changes ...*Change) error {
	var folders []string
	for _, c := range changes {
		// For a file that doesn't exist and won't be created, not even the folder is created.
		if !c.file.InPlace && (c.before != nil || c.after != nil) {
			folders = append(folders, filepath.Dir(c.file.Path))
		}
	}
	unlock, err := LockFolders(ctx, folders...)
	if err != nil {
		return err
	}
	defer unlock()
	for _, c := range changes {
		if _, err := c.refresh(); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := c.put(); err != nil {
			return fmt.Errorf("put %s into place: %w", c.file.Path, err)
		}
	}
	return nil
}

// refresh edits again if the file has changed, and reports whether it has.
func (c *Change) refresh() (hasChanged bool, err error) {
	var content []byte
	if !c.file.IsFixed {
		content, err = c.file.read()
	} else if _, missing := os.Lstat(c.file.Path); missing == nil {
		content = c.before
	}
	if err != nil || isSame(content, c.before) {
		return false, err
	}
	return true, c.apply(content)
}

// isSame reports whether two contents are equal. nil (no file) is not the same as an empty file.
func isSame(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// errBusy is the error for a file that is changed between every two attempts.
var errBusy = errors.New("another program keeps changing the file")

// put puts the file into place. Programs that don't take the lock, such as docker login, may write at
// any time, so the file is compared right before it is replaced, and edited again if it has changed.
func (c *Change) put() error {
	const mostAttempts = 20

	for range mostAttempts {
		hasChanged, err := c.refresh()
		if err == nil && !hasChanged {
			err = c.replace()
		}
		if err != nil || !hasChanged {
			return err
		}
	}
	return advise(errBusy)
}

// replace replaces the file.
func (c *Change) replace() (err error) {
	switch {
	case isSame(c.before, c.after):
		return nil
	case c.after == nil:
		err = os.Remove(c.file.Path)
	case c.temporary != nil:
		err = os.Rename(c.temporary.Name(), c.file.Path)
	}
	if c.file.InPlace && (c.temporary == nil || err != nil) { // the file can't be replaced
		if err = os.WriteFile(c.file.Path, c.after, c.file.Mode); err != nil {
			err = errors.Join(err, os.WriteFile(c.file.Path, c.before, c.file.Mode))
		}
	}
	if err == nil {
		c.removeTemporary() // after a rename, it is only unlocked
		c.folders, c.isDone = nil, true
	}
	return advise(err)
}

// Replace creates or replaces a file in one step. It is for files that only the Step uses, and the
// caller must hold their lock. Missing folders are created.
func Replace(path string, content []byte, mode fs.FileMode) error {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return notRegular(path, info.Mode())
	}
	c := &Change{file: File{Path: path, Mode: mode, IsOwn: true}, after: content}
	defer c.Discard()
	if err := c.stage(); err != nil {
		return err
	}
	return c.replace()
}
