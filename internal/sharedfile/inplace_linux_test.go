package sharedfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A file that cannot be replaced is written in place: its inode stays the same, and nothing is left next to it.
func TestInPlace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can create files of other users, mounts, and files that cannot be removed")
	}
	for name, hinder := range map[string]func(t *testing.T, path string){
		"a mount point": func(t *testing.T, path string) {
			if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil {
				t.Skipf("cannot mount: %v", err)
			}
			t.Cleanup(func() { _ = syscall.Unmount(path, 0) })
		},
		"a folder that no file can be added to": func(t *testing.T, path string) {
			folder := filepath.Dir(path)
			if output, err := exec.Command("chattr", "+i", folder).CombinedOutput(); err != nil {
				t.Skipf("chattr: %s", output)
			}
			t.Cleanup(func() { _ = exec.Command("chattr", "-i", folder).Run() })
		},
		"a file that can be replaced": func(*testing.T, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			write(t, path, "old ")
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			hinder(t, path)
			change := prepare(t, File{Path: path, KeepMode: true, InPlace: true}, appending("new"))
			if got := read(t, path); got != "old " {
				t.Errorf("before the commit: got %q", got)
			}
			if err := Commit(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			change.Discard()
			if got := read(t, path); got != "old new" {
				t.Errorf("got %q", got)
			}
			after, err := os.Stat(path)
			if isSame := err == nil && os.SameFile(before, after); isSame != (name != "a file that can be replaced") {
				t.Errorf("the file is the same: %v, %v", isSame, err)
			}
			wantEntries(t, filepath.Dir(path), "store")
		})
	}
}
