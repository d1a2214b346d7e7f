package sharedfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestCommitCreatesFileAndFolders(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(folder, "config")
	change := prepare(t, File{Path: path, Mode: 0o640}, appending("one"))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Prepare created the file: %v", err)
	}
	if err := Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	change.Discard()
	if got := read(t, path); got != "one" {
		t.Errorf("got %q", got)
	}
	wantMode(t, path, 0o640)
	wantMode(t, folder, 0o700)
	wantEntries(t, folder, "config")
}

func TestDiscardLeavesNothing(t *testing.T) {
	home := t.TempDir()
	change := prepare(t, File{Path: filepath.Join(home, "a", "b", "config"), Mode: 0o600}, appending("one"))
	change.Discard()
	wantEntries(t, home)

	path := filepath.Join(home, "config")
	write(t, path, "old")
	change = prepare(t, File{Path: path, Mode: 0o600}, appending("new"))
	change.Discard()
	wantEntries(t, home, "config")
	if got := read(t, path); got != "old" {
		t.Errorf("got %q", got)
	}
}

func TestDiscardKeepsFoldersInUse(t *testing.T) {
	home := t.TempDir()
	change := prepare(t, File{Path: filepath.Join(home, "a", "b", "config"), Mode: 0o600}, appending("one"))
	write(t, filepath.Join(home, "a", "other"), "")
	change.Discard()
	wantEntries(t, filepath.Join(home, "a"), "other")
}

func TestModes(t *testing.T) {
	for name, row := range map[string]struct {
		keep bool
		want fs.FileMode
	}{
		"kept":      {true, 0o644},
		"tightened": {false, 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			write(t, path, "old")
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
			change := prepare(t, File{Path: path, Mode: 0o600, KeepMode: row.keep}, appending("new"))
			if err := Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			wantMode(t, path, row.want)
		})
	}
}

// If root changes a file of another user, the owner stays the same.
func TestOwnerIsKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can write another user's file and keep its owner")
	}
	const user, group = 4321, 5432
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, "old")
	if err := os.Chown(path, user, group); err != nil {
		t.Fatal(err)
	}
	if err := Commit(t.Context(), prepare(t, File{Path: path, Mode: 0o600}, appending("new"))); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != user || owner.Gid != group {
		t.Errorf("got owner %d:%d, want %d:%d", owner.Uid, owner.Gid, user, group)
	}
}

func TestUnchangedContentIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, "old")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Commit(t.Context(), prepare(t, File{Path: path, Mode: 0o600}, appending(""))); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced: %v", err)
	}
}

// If one of the files cannot be edited anymore, none is changed.
func TestCommitIsAllOrNothing(t *testing.T) {
	folder := t.TempDir()
	good, bad := filepath.Join(folder, "good"), filepath.Join(folder, "sub", "bad")
	first := prepare(t, File{Path: good, Mode: 0o600}, appending("x"))
	broken := errors.New("broken")
	second := prepare(t, File{Path: bad, Mode: 0o600}, func(content []byte) ([]byte, error) {
		if string(content) == "unreadable" {
			return nil, broken
		}
		return []byte("y"), nil
	})
	write(t, bad, "unreadable")
	if err := Commit(t.Context(), first, second); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	first.Discard()
	second.Discard()
	wantEntries(t, folder, "sub")
	wantEntries(t, filepath.Join(folder, "sub"), "bad")
	if got := read(t, bad); got != "unreadable" {
		t.Errorf("got %q", got)
	}
}

func TestMissingFileStaysMissing(t *testing.T) {
	deleteWord := func(content []byte) ([]byte, error) {
		if content == nil {
			return nil, nil
		}
		return []byte("rest"), nil
	}
	path := filepath.Join(t.TempDir(), "folder", "config")
	change, err := File{Path: path, Mode: 0o600}.Prepare(deleteWord)
	if err != nil {
		t.Fatal(err)
	}
	if err := Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, filepath.Dir(filepath.Dir(path)))

	// The same if the file is removed after Prepare.
	path = filepath.Join(t.TempDir(), "config")
	write(t, path, "word")
	if change, err = (File{Path: path, Mode: 0o600}).Prepare(deleteWord); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, filepath.Dir(path))
}

func TestStaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	change, err := File{Path: path, Mode: 0o700}.Prepare(func([]byte) ([]byte, error) { return []byte("new"), nil })
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(change.Staged()); err != nil || string(content) != "new" || change.Staged() == path {
		t.Errorf("%s: got %q, %v", change.Staged(), content, err)
	}
	if err := Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if change.Staged() != path {
		t.Errorf("after the commit: got %s", change.Staged())
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "cache")
	for _, content := range []string{"one", "two"} {
		if err := Replace(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != content {
			t.Errorf("got %q, want %q", got, content)
		}
	}
	wantMode(t, path, 0o600)
	wantEntries(t, filepath.Dir(path), "cache")
}

func TestFilesThatCannotBeChanged(t *testing.T) {
	folder := t.TempDir()
	one, other := filepath.Join(folder, "one"), filepath.Join(folder, "other")
	if err := errors.Join(os.Symlink(one, other), os.Symlink(other, one)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "file")
	write(t, file, "")
	full := filepath.Join(folder, "full")
	if err := os.MkdirAll(filepath.Join(full, "more"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"links in a circle": one, "a file as a folder": filepath.Join(file, "sub", "config"), "a folder": full} {
		t.Run(name, func(t *testing.T) {
			if _, err := (File{Path: path, Mode: 0o600}).Prepare(appending("x")); err == nil {
				t.Error("got no error from Prepare")
			}
			if err := Replace(path, []byte("x"), 0o600); err == nil {
				t.Error("got no error from Replace")
			}
		})
	}
	wantEntries(t, folder, "file", "full", "one", "other")
	if _, err := LockFile(t.Context(), filepath.Join(file, "sub", "lock")); err == nil {
		t.Error("got no error from LockFile")
	}
}

// An edit that returns nil removes the file.
func TestFileIsRemoved(t *testing.T) {
	for name, file := range map[string]File{"shared": {}, "own": {IsOwn: true}} {
		t.Run(name, func(t *testing.T) {
			file.Path = filepath.Join(t.TempDir(), "record")
			write(t, file.Path, "old")
			change := prepare(t, file, func([]byte) ([]byte, error) { return nil, nil })
			if got := read(t, file.Path); got != "old" {
				t.Errorf("before the commit: got %q", got)
			}
			commit(t, change)
			if !change.IsDone() {
				t.Error("the change is not done")
			}
			wantEntries(t, filepath.Dir(file.Path))
		})
	}
}
