package profile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A folder that somebody else has made, or a link, is not trusted with a program that is going to be run.
func TestFolderOfSomebodyElse(t *testing.T) {
	home := t.TempDir()
	folder, err := FolderIn(home)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), folder.path); err != nil {
		t.Fatal(err)
	}
	if err := folder.mkdir("cache"); err == nil || !strings.Contains(err.Error(), "is not a folder of this user's") {
		t.Errorf("a link: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder somebody else's")
	}
	const nobody = 65534
	folder.path = filepath.Join(home, "theirs")
	if err := errors.Join(os.Mkdir(folder.path, 0o700), os.Chown(folder.path, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	if err := folder.mkdir("cache"); err == nil || !strings.Contains(err.Error(), "is not a folder of this user's") {
		t.Errorf("somebody else's: %v", err)
	}
}

// A program that was changed where it is kept is replaced.
func TestKeptProgramIsWhatItsFolderSays(t *testing.T) {
	folder, err := FolderIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	kept, err := folder.keepProgram(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, []byte("#!/bin/no\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.keepProgram(program); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(kept); err != nil || string(content) != "#!/bin/sh\n" {
		t.Errorf("it holds %q, %v", content, err)
	}
}
