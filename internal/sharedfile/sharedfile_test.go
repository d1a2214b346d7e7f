package sharedfile_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantEntries checks the names in a folder.
func wantEntries(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("%s contains %q, want %q", folder, names, want)
	}
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
		t.Errorf("%s: %v, %v; want mode %o", path, info, err, want)
	}
}

func appending(text string) sharedfile.Edit {
	return func(content []byte) ([]byte, error) { return append(append([]byte{}, content...), text...), nil }
}

func prepare(t *testing.T, file sharedfile.File, edit sharedfile.Edit) *sharedfile.Change {
	t.Helper()
	change, err := file.Prepare(edit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(change.Discard)
	return change
}

func TestCommitCreatesFileAndFolders(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(folder, "config")
	change := prepare(t, sharedfile.File{Path: path, Mode: 0o640}, appending("one"))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Prepare created the file: %v", err)
	}
	if err := sharedfile.Commit(t.Context(), change); err != nil {
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
	change := prepare(t, sharedfile.File{Path: filepath.Join(home, "a", "b", "config"), Mode: 0o600}, appending("one"))
	change.Discard()
	wantEntries(t, home)

	path := filepath.Join(home, "config")
	write(t, path, "old")
	change = prepare(t, sharedfile.File{Path: path, Mode: 0o600}, appending("new"))
	change.Discard()
	wantEntries(t, home, "config")
	if got := read(t, path); got != "old" {
		t.Errorf("got %q", got)
	}
}

func TestDiscardKeepsFoldersInUse(t *testing.T) {
	home := t.TempDir()
	change := prepare(t, sharedfile.File{Path: filepath.Join(home, "a", "b", "config"), Mode: 0o600}, appending("one"))
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
			change := prepare(t, sharedfile.File{Path: path, Mode: 0o600, KeepMode: row.keep}, appending("new"))
			if err := sharedfile.Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			wantMode(t, path, row.want)
		})
	}
}

// If root changes a file of another user, the owner stays the same (issue 16, item 9).
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
	if err := sharedfile.Commit(t.Context(), prepare(t, sharedfile.File{Path: path, Mode: 0o600}, appending("new"))); err != nil {
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
	if err := sharedfile.Commit(t.Context(), prepare(t, sharedfile.File{Path: path, Mode: 0o600}, appending(""))); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced: %v", err)
	}
}

// Commit edits again only what has changed meanwhile, and changes every file.
func TestCommitOfSeveralFiles(t *testing.T) {
	for name, row := range map[string]struct {
		before, meanwhile string // "-": no file
		edits             int
	}{
		"unchanged": {"one", "one", 1}, "missing": {"-", "-", 1}, "empty": {"", "", 1},
		"changed": {"one", "two", 2}, "created": {"-", "two", 2}, "created empty": {"-", "", 2}, "removed": {"", "-", 2},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path, last := filepath.Join(folder, "config"), filepath.Join(folder, "last")
			set := func(content string) {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				if content != "-" {
					write(t, path, content)
				}
			}
			set(row.before)
			edits := 0
			change := prepare(t, sharedfile.File{Path: path, Mode: 0o600}, func([]byte) ([]byte, error) {
				edits++
				return []byte("new"), nil
			})
			set(row.meanwhile)
			if err := sharedfile.Commit(t.Context(), change, prepare(t, sharedfile.File{Path: last, Mode: 0o600}, appending("last"))); err != nil {
				t.Fatal(err)
			}
			if read(t, path) != "new" || read(t, last) != "last" || edits != row.edits {
				t.Errorf("got %q, %q, after %d edits, want %d", read(t, path), read(t, last), edits, row.edits)
			}
		})
	}
}

// Changes that another program makes between Prepare and Commit are kept (issue 16, item 6).
func TestCommitEditsAgain(t *testing.T) {
	for name, row := range map[string]struct{ before, meanwhile, want string }{
		"changed": {"one ", "one two ", "one two three"},
		"created": {"", "two ", "two three"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config")
			if row.before != "" {
				write(t, path, row.before)
			}
			change := prepare(t, sharedfile.File{Path: path, Mode: 0o600}, appending("three"))
			write(t, path, row.meanwhile)
			if err := sharedfile.Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
			wantEntries(t, filepath.Dir(path), "config")
		})
	}
}

// So are changes that a program without the lock makes while Commit edits the file again (issue 16, item 6).
func TestCommitComparesRightBeforeTheRename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, "one ")
	edits := 0
	change := prepare(t, sharedfile.File{Path: path, Mode: 0o600}, func(content []byte) ([]byte, error) {
		if edits++; edits == 2 {
			write(t, path, "one two three ")
		}
		return append(append([]byte{}, content...), "four"...), nil
	})
	write(t, path, "one two ")
	if err := sharedfile.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "one two three four" {
		t.Errorf("got %q", got)
	}
}

// If one of the files cannot be edited anymore, none is changed.
func TestCommitIsAllOrNothing(t *testing.T) {
	folder := t.TempDir()
	good, bad := filepath.Join(folder, "good"), filepath.Join(folder, "sub", "bad")
	first := prepare(t, sharedfile.File{Path: good, Mode: 0o600}, appending("x"))
	broken := errors.New("broken")
	second := prepare(t, sharedfile.File{Path: bad, Mode: 0o600}, func(content []byte) ([]byte, error) {
		if string(content) == "unreadable" {
			return nil, broken
		}
		return []byte("y"), nil
	})
	write(t, bad, "unreadable")
	if err := sharedfile.Commit(t.Context(), first, second); !errors.Is(err, broken) {
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

func TestLinksAreKept(t *testing.T) {
	folder := t.TempDir()
	target := filepath.Join(folder, "elsewhere", "real")
	for name, to := range map[string]string{"absolute": target, "relative": filepath.Join("elsewhere", "real"), "twice": "absolute"} {
		if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absolute", "relative", "twice"} {
		t.Run(name, func(t *testing.T) {
			link := filepath.Join(folder, name)
			change := prepare(t, sharedfile.File{Path: link, Mode: 0o600}, func([]byte) ([]byte, error) { return []byte(name), nil })
			if err := sharedfile.Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
				t.Errorf("the link was replaced: %v, %v", info, err)
			}
			if got := read(t, target); got != name {
				t.Errorf("got target %q", got)
			}
		})
	}
}

// A relative link is relative to the real folder that it is in, as for every other program.
func TestRelativeLinkInALinkedFolder(t *testing.T) {
	home := t.TempDir()
	dotfiles, shared := filepath.Join(home, "dotfiles"), filepath.Join(home, "dotfiles", "shared")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(dotfiles, "aws"), 0o700), os.Mkdir(shared, 0o700),
		os.Symlink(filepath.Join("dotfiles", "aws"), filepath.Join(home, ".aws")),
		os.Symlink(filepath.Join("..", "shared", "config"), filepath.Join(dotfiles, "aws", "config")),
	); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(home, ".aws", "config")
	if err := sharedfile.Commit(t.Context(), prepare(t, sharedfile.File{Path: link, Mode: 0o600}, appending("new"))); err != nil {
		t.Fatal(err)
	}
	if got := read(t, link); got != "new" {
		t.Errorf("through the link: got %q", got)
	}
	wantEntries(t, home, ".aws", "dotfiles")
	wantEntries(t, shared, "config")
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
			if _, err := (sharedfile.File{Path: path, Mode: 0o600}).Prepare(appending("x")); err == nil {
				t.Error("got no error from Prepare")
			}
			if err := sharedfile.Replace(path, []byte("x"), 0o600); err == nil {
				t.Error("got no error from Replace")
			}
		})
	}
	wantEntries(t, folder, "file", "full", "one", "other")
	if _, err := sharedfile.LockFile(t.Context(), filepath.Join(file, "sub", "lock")); err == nil {
		t.Error("got no error from LockFile")
	}
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "cache")
	for _, content := range []string{"one", "two"} {
		if err := sharedfile.Replace(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != content {
			t.Errorf("got %q, want %q", got, content)
		}
	}
	wantMode(t, path, 0o600)
	wantEntries(t, filepath.Dir(path), "cache")
}

func TestRead(t *testing.T) {
	folder := t.TempDir()
	pipe, large, limit := filepath.Join(folder, "pipe"), filepath.Join(folder, "large"), filepath.Join(folder, "limit")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, large, "")
	write(t, limit, "")
	if err := errors.Join(os.Truncate(large, sharedfile.MaxSize+1), os.Truncate(limit, sharedfile.MaxSize)); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct{ path, want string }{
		"a folder":       {folder, "is not a regular file"},
		"a pipe":         {pipe, "is not a regular file"},
		"over the limit": {large, "must be at most 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sharedfile.Read(row.path)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want %q", err, row.want)
			}
			if x := explain.Of(err); len(x.Do) != 2 || strings.Contains(x.Do[0], "DOCKER_CONFIG") || !strings.Contains(x.Do[1], "DOCKER_CONFIG") {
				t.Errorf("the advice is %q", x.Do)
			}
		})
	}
	if content, err := sharedfile.Read(limit); err != nil || len(content) != sharedfile.MaxSize {
		t.Errorf("at the limit: got %d bytes, %v", len(content), err)
	}
	if content, err := sharedfile.Read(filepath.Join(folder, "none")); content != nil || err != nil {
		t.Errorf("no file: got %q, %v", content, err)
	}
	empty := filepath.Join(folder, "empty")
	write(t, empty, "")
	if content, err := sharedfile.Read(empty); content == nil || err != nil {
		t.Errorf("an empty file: got %v, %v; want not nil", content, err)
	}
}

// Twenty concurrent writers do not lose each other's changes. A link to a file uses the file's lock.
func TestCommitsDoNotLoseEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "counter")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	count := func(content []byte) ([]byte, error) {
		n, _ := strconv.Atoi(string(content))
		return []byte(strconv.Itoa(n + 1)), nil
	}
	var group sync.WaitGroup
	for i := range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			change, err := sharedfile.File{Path: []string{path, link}[i%2], Mode: 0o600}.Prepare(count)
			if err == nil {
				defer change.Discard()
				err = sharedfile.Commit(t.Context(), change)
			}
			if err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	if got := read(t, path); got != "20" {
		t.Errorf("got %s after 20 increments", got)
	}
	wantEntries(t, filepath.Dir(path), "counter")
}

func TestCommitEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	change := prepare(t, sharedfile.File{Path: path, Mode: 0o600}, appending("x"))
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("the build was aborted")
	cancel(reason)
	if err := sharedfile.Commit(ctx, change); !errors.Is(err, reason) {
		t.Errorf("got %v, want %v", err, reason)
	}
	change.Discard()
	wantEntries(t, filepath.Dir(path))
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	if _, err := sharedfile.LockFile(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that does not exist: got %v", err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	unlock, err := sharedfile.LockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := sharedfile.LockFile(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the second lock: got %v", err)
	}
	unlock()
	wantMode(t, path, 0o600)
	unlock, err = sharedfile.LockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

// Old temporary files of killed runs are removed. New ones, and those of other programs, are kept (issue 16, item 7).
func TestLeftoversAreSwept(t *testing.T) {
	folder := t.TempDir()
	old := time.Now().Add(-3 * time.Hour)
	for name, modified := range map[string]time.Time{
		".config.authenticate-with-aws-1": old, ".config.authenticate-with-aws-2": time.Now(),
		".other.authenticate-with-aws-3": old, ".config.tmp": old, "config": old,
	} {
		path := filepath.Join(folder, name)
		write(t, path, "")
		if err := os.Chtimes(path, modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	if err := sharedfile.Commit(t.Context(), prepare(t, sharedfile.File{Path: filepath.Join(folder, "config"), Mode: 0o600}, appending("x"))); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, folder, ".config.authenticate-with-aws-2", ".config.tmp", ".other.authenticate-with-aws-3", "config")
}

// Errors of the file system have advice (issue 16, item 23).
func TestAdvice(t *testing.T) {
	if os.Geteuid() == 0 {
		if _, err := os.Stat("/proc/self/status"); err != nil {
			t.Skip("needs /proc")
		}
	}
	_, err := sharedfile.File{Path: "/proc/self/none/config", Mode: 0o600}.Prepare(appending("x"))
	if x := explain.Of(err); err == nil || len(x.Do) < 2 || !strings.Contains(x.Do[1], "DOCKER_CONFIG") {
		t.Errorf("got %v, advice %q", err, x.Do)
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
	change, err := sharedfile.File{Path: path, Mode: 0o600}.Prepare(deleteWord)
	if err != nil {
		t.Fatal(err)
	}
	if err := sharedfile.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, filepath.Dir(filepath.Dir(path)))

	// The same if the file is removed after Prepare.
	path = filepath.Join(t.TempDir(), "config")
	write(t, path, "word")
	if change, err = (sharedfile.File{Path: path, Mode: 0o600}).Prepare(deleteWord); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := sharedfile.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, filepath.Dir(path))
}
