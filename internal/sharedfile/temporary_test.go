package sharedfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// stagedFolder is the variable with which a test starts this program as a run that is killed while it has staged a file.
const stagedFolder = "SHAREDFILE_TEST_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(stagedFolder); folder != "" {
		if _, err := (File{Path: filepath.Join(folder, "config"), Mode: 0o600}).Prepare(appending("of a killed run")); err != nil {
			panic(err)
		}
		process, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = process.Kill()
		}
		panic(err)
	}
	os.Exit(m.Run())
}

// stageAndKill runs a process that is killed while it has staged a change of the file config.
func stageAndKill(t *testing.T, folder string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), stagedFolder+"="+folder)
	if output, err := command.CombinedOutput(); err == nil || len(output) > 0 {
		t.Fatalf("got %v: %s", err, output)
	}
	if left := temporaries(t, folder); len(left) != 1 {
		t.Fatalf("the killed process left %q", left)
	}
}

// temporaries returns the temporary files in a folder.
func temporaries(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, ".*"+mark+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// The temporary file of a killed run is removed at once, however new it is. That of a run that is still there is kept, however old.
func TestLeftoversAreSwept(t *testing.T) {
	for name, sweepIt := range map[string]func(t *testing.T, folder string){
		"by a change of the same file": func(t *testing.T, folder string) {
			commit(t, prepare(t, File{Path: filepath.Join(folder, "config"), Mode: 0o600}, appending("x")))
		},
		"by Sweep": func(_ *testing.T, folder string) { Sweep(folder) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			stageAndKill(t, folder)
			change := prepare(t, File{Path: filepath.Join(folder, "config"), Mode: 0o600}, appending("of a living run"))
			old := time.Now().Add(-1000 * time.Hour)
			if err := os.Chtimes(change.Staged(), old, old); err != nil {
				t.Fatal(err)
			}
			sweepIt(t, folder)
			if left := temporaries(t, folder); len(left) != 1 || left[0] != change.Staged() {
				t.Errorf("got %q, want %s", left, change.Staged())
			}
			commit(t, change)
			if left := temporaries(t, folder); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// A change removes the leftovers of its target file only. Sweep is for the Step's folders.
func TestOtherFilesAreNotSwept(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{".config.tmp", ".other" + mark + "1", "config" + mark + "2", ".config" + mark + "3"} {
		write(t, filepath.Join(folder, name), "")
	}
	commit(t, prepare(t, File{Path: filepath.Join(folder, "config"), Mode: 0o600}, appending("x")))
	wantEntries(t, folder, ".config.tmp", ".other"+mark+"1", "config", "config"+mark+"2")
	Sweep(folder)
	wantEntries(t, folder, ".config.tmp", "config", "config"+mark+"2")
	Sweep(filepath.Join(folder, "missing"))
}

// A link with the name of a temporary file is not followed.
func TestLinksAreNotSwept(t *testing.T) {
	folder, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	write(t, target, "")
	link := ".config" + mark + "1"
	if err := os.Symlink(target, filepath.Join(folder, link)); err != nil {
		t.Fatal(err)
	}
	Sweep(folder)
	wantEntries(t, folder, link)
	wantEntries(t, filepath.Dir(target), "target")
}

// While many runs prepare and sweep at once, none loses its own temporary file.
func TestSweepsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	done := make(chan error)
	const runs, changes = 8, 50
	for range runs {
		go func() {
			var err error
			for range changes {
				var change *Change
				if change, err = (File{Path: path, Mode: 0o600}).Prepare(appending("x")); err != nil {
					break
				}
				_, err = os.Lstat(change.Staged())
				change.Discard()
				if err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range runs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	wantEntries(t, filepath.Dir(path))
}

// Replace doesn't depend on what it replaces, except that it must be a file.
func TestReplaceReadsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache")
	write(t, path, "")
	if err := os.Truncate(path, MaxSize+1); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("x"), 0o600); err != nil || read(t, path) != "x" {
		t.Errorf("got %v", err)
	}
}

// Runs that start together create the same folders.
func TestFoldersAreCreatedTogether(t *testing.T) {
	root := t.TempDir()
	for i := range 1000 {
		start := make(chan struct{})
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				<-start
				if _, err := makeFolders(filepath.Join(root, strconv.Itoa(i), "sub")); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		group.Wait()
	}
}

// A folder that a different run removes before the temporary file is in it is created again.
func TestFolderThatIsRemovedMeanwhile(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "sub")
	for range 200 {
		done := make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() { // removes the folder once, unless the file is in it before
			for os.Remove(folder) != nil {
				select {
				case <-done:
					return
				default:
				}
			}
		})
		change, err := File{Path: filepath.Join(folder, "x"), Mode: 0o600}.Prepare(appending("x"))
		close(done)
		group.Wait()
		if err != nil {
			t.Fatal(err)
		}
		change.Discard()
	}
}
