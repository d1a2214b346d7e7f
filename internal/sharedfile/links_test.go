package sharedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

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
			change := prepare(t, File{Path: link, Mode: 0o600}, func([]byte) ([]byte, error) { return []byte(name), nil })
			if err := Commit(t.Context(), change); err != nil {
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
	if err := Commit(t.Context(), prepare(t, File{Path: link, Mode: 0o600}, appending("new"))); err != nil {
		t.Fatal(err)
	}
	if got := read(t, link); got != "new" {
		t.Errorf("through the link: got %q", got)
	}
	wantEntries(t, home, ".aws", "dotfiles")
	wantEntries(t, shared, "config")
}

// In the Step's own folder, no link is followed: neither to another file, nor to a device, nor to nothing.
func TestOwnFileThatIsALink(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	write(t, target, "old")
	for name, to := range map[string]string{"a file": target, "a device": "/dev/zero", "nothing": target + "-missing"} {
		t.Run(name, func(t *testing.T) {
			link := filepath.Join(t.TempDir(), "cache.json")
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
			_, errRead := ReadOwn(link)
			_, errPrepare := File{Path: link, IsOwn: true}.Prepare(appending("new"))
			for _, err := range []error{errRead, errPrepare, Replace(link, []byte("new"), 0o600)} {
				if err == nil || err.Error() != link+" is a link and must be a file" {
					t.Errorf("got %v", err)
				}
				wantAdvice(t, err, "Remove the link.")
			}
			if got, err := os.Readlink(link); err != nil || got != to {
				t.Errorf("the link was replaced: %q, %v", got, err)
			}
			wantEntries(t, filepath.Dir(link), "cache.json")
		})
	}
	wantEntries(t, filepath.Dir(target), "target")
	if got := read(t, target); got != "old" {
		t.Errorf("got %q", got)
	}
}

// A link may also appear between Prepare and Commit.
func TestOwnFileBecomesALink(t *testing.T) {
	folder := t.TempDir()
	path, target := filepath.Join(folder, "cache.json"), filepath.Join(folder, "target")
	write(t, target, "old")
	change := prepare(t, File{Path: path, IsOwn: true}, appending("new"))
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	if err := Commit(t.Context(), change); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("got %v", err)
	}
	if got := read(t, target); got != "old" {
		t.Errorf("got %q", got)
	}
}

// A device is never replaced, even as root, and neither is anything else that is not a regular file.
func TestDevicesAreKept(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a device": "/dev/zero", "a pipe": pipe} {
		for _, isLinked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, linked: %v", name, isLinked), func(t *testing.T) {
				before, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				given := path
				if isLinked {
					given = filepath.Join(t.TempDir(), "link")
					if err := os.Symlink(path, given); err != nil {
						t.Fatal(err)
					}
				}
				for _, file := range []File{{Path: given}, {Path: given, InPlace: true}, {Path: given, IsOwn: true}} {
					if _, err := file.Prepare(appending("x")); err == nil {
						t.Errorf("%+v: got no error", file)
					}
				}
				if err := Replace(given, []byte("x"), 0o600); err == nil {
					t.Error("got no error from Replace")
				}
				if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
					t.Errorf("it was replaced: %v", err)
				}
			})
		}
	}
}

// A file may also become a link to a device between Prepare and Commit.
func TestFileBecomesADevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	change := prepare(t, File{Path: path, Mode: 0o600}, appending("x"))
	if err := os.Symlink("/dev/zero", path); err != nil {
		t.Fatal(err)
	}
	if err := Commit(t.Context(), change); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("got %v", err)
	}
	if to, err := os.Readlink(path); err != nil || to != "/dev/zero" {
		t.Errorf("the link was replaced: %q, %v", to, err)
	}
}

// A link to a folder that doesn't exist is called what it is.
func TestDanglingLinkAsAFolder(t *testing.T) {
	home := t.TempDir()
	link := filepath.Join(home, ".docker")
	if err := os.Symlink(filepath.Join(home, "missing"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(link, "config.json"), filepath.Join(link, "sub", "config.json")} {
		_, errPrepare := File{Path: path}.Prepare(appending("x"))
		_, errLock := LockFolders(t.Context(), filepath.Dir(path))
		for _, err := range []error{errPrepare, errLock, Replace(path, []byte("x"), 0o600)} {
			if err == nil || !strings.Contains(err.Error(), link+" is a link to a folder that doesn't exist") {
				t.Errorf("%s: got %v", path, err)
			}
			wantAdvice(t, err, "Create the folder, or remove the link.")
		}
	}
	wantEntries(t, home, ".docker")
}
