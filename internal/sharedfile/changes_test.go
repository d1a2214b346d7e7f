package sharedfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

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
			change := prepare(t, File{Path: path, Mode: 0o600}, func([]byte) ([]byte, error) {
				edits++
				return []byte("new"), nil
			})
			set(row.meanwhile)
			if err := Commit(t.Context(), change, prepare(t, File{Path: last, Mode: 0o600}, appending("last"))); err != nil {
				t.Fatal(err)
			}
			if read(t, path) != "new" || read(t, last) != "last" || edits != row.edits {
				t.Errorf("got %q, %q, after %d edits, want %d", read(t, path), read(t, last), edits, row.edits)
			}
		})
	}
}

// Changes that another program makes between Prepare and Commit are kept.
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
			change := prepare(t, File{Path: path, Mode: 0o600}, appending("three"))
			write(t, path, row.meanwhile)
			if err := Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			if got := read(t, path); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
			wantEntries(t, filepath.Dir(path), "config")
		})
	}
}

// So are changes that a program without the lock makes while Commit edits the file again.
func TestCommitComparesRightBeforeTheRename(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	write(t, path, "one ")
	edits := 0
	change := prepare(t, File{Path: path, Mode: 0o600}, func(content []byte) ([]byte, error) {
		if edits++; edits == 2 {
			write(t, path, "one two three ")
		}
		return append(append([]byte{}, content...), "four"...), nil
	})
	write(t, path, "one two ")
	if err := Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "one two three four" {
		t.Errorf("got %q", got)
	}
}

// Twenty concurrent writers do not lose each other's changes. A link to a file uses the file's lock. In the bubble, they have all the
// time that they need.
func TestCommitsDoNotLoseEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
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
				change, err := File{Path: []string{path, link}[i%2], Mode: 0o600}.Prepare(count)
				if err == nil {
					defer change.Discard()
					err = Commit(t.Context(), change)
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
	})
}

// fickle changes a file in each of its first edits, as a program without the lock may do. It returns how often it edits.
func fickle(t *testing.T, path string, changes int) (edit Edit, edits *int) {
	edits = new(int)
	return func(content []byte) ([]byte, error) {
		if *edits++; *edits <= changes {
			write(t, path, strings.Repeat("theirs ", *edits))
		}
		return append(slices.Clone(content), "ours"...), nil
	}, edits
}

// A program that changes the file again and again is followed, but not forever.
func TestCommitOfAFileThatKeepsChanging(t *testing.T) {
	const mostChanges = 20
	path := filepath.Join(t.TempDir(), "config")
	edit, edits := fickle(t, path, mostChanges)
	commit(t, prepare(t, File{Path: path, Mode: 0o600}, edit))
	if want := strings.Repeat("theirs ", mostChanges) + "ours"; read(t, path) != want || *edits != mostChanges+1 {
		t.Errorf("after %d edits: got %q", *edits, read(t, path))
	}

	path = filepath.Join(t.TempDir(), "config")
	edit, edits = fickle(t, path, 1000)
	change := prepare(t, File{Path: path, Mode: 0o600}, edit)
	err := Commit(t.Context(), change)
	if !errors.Is(err, errBusy) || !strings.Contains(err.Error(), path) || change.IsDone() {
		t.Errorf("got %v, done: %v", err, change.IsDone())
	}
	wantAdvice(t, err, "Find the program that keeps changing the file")
	if got := read(t, path); got != strings.Repeat("theirs ", *edits) {
		t.Errorf("got %q", got)
	}
	change.Discard()
	wantEntries(t, filepath.Dir(path), "config")
}

// After a failure between two renames, it is known which files are in place.
func TestFailureBetweenTwoRenames(t *testing.T) {
	folder := t.TempDir()
	first := prepare(t, File{Path: filepath.Join(folder, "first"), Mode: 0o600}, appending("x"))
	same := prepare(t, File{Path: filepath.Join(folder, "same"), Mode: 0o600}, func([]byte) ([]byte, error) { return nil, nil })
	edit, _ := fickle(t, filepath.Join(folder, "busy"), 1000)
	busy := prepare(t, File{Path: filepath.Join(folder, "busy"), Mode: 0o600}, edit)
	last := prepare(t, File{Path: filepath.Join(folder, "last"), Mode: 0o600}, appending("x"))
	changes := []*Change{first, same, busy, last}
	if err := Commit(t.Context(), changes...); !errors.Is(err, errBusy) {
		t.Errorf("got %v", err)
	}
	var done []string
	for _, change := range changes {
		if change.IsDone() {
			done = append(done, change.Path())
		}
		change.Discard()
	}
	if !slices.Equal(done, []string{filepath.Join(folder, "first")}) {
		t.Errorf("in place: %q", done)
	}
	wantEntries(t, folder, "busy", "first")
}

// The content of a file whose path stands for it is not read again, but it is written again if the file has disappeared.
func TestFixedFile(t *testing.T) {
	for name, row := range map[string]struct {
		before, meanwhile string // "-": no file
		want              string
		edits             int
	}{
		"new": {"-", "-", "fixed", 1}, "there": {"fixed", "fixed", "fixed", 1}, "damaged": {"fix", "fix", "fixed", 1},
		"disappeared": {"fixed", "-", "fixed", 2}, "written by another run": {"-", "fixed", "fixed", 1},
		"not read again": {"fixed", "not read", "not read", 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "folder", "program")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if row.before != "-" {
				write(t, path, row.before)
			}
			edits := 0
			change := prepare(t, File{Path: path, Mode: 0o700, IsOwn: true, IsFixed: true}, func([]byte) ([]byte, error) {
				edits++
				return []byte("fixed"), nil
			})
			if row.meanwhile == "-" && row.before != "-" {
				if err := os.RemoveAll(filepath.Dir(path)); err != nil {
					t.Fatal(err)
				}
			} else if row.meanwhile != "-" {
				write(t, path, row.meanwhile)
			}
			commit(t, change)
			if got := read(t, path); got != row.want || edits != row.edits {
				t.Errorf("got %q after %d edits", got, edits)
			}
			wantEntries(t, filepath.Dir(path), "program")
		})
	}
}
