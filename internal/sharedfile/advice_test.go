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

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// What to do depends on why the file system has rejected a change, whatever the kind of error.
func TestAdvice(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "config.json")
	write(t, mine, "")
	writable := "Check that this user can write to " + filepath.Dir(mine)
	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"a mount point":        {&fs.PathError{Path: mine, Err: syscall.EBUSY}, "Mount the folder that contains it"},
		"a link error":         {&os.LinkError{Old: "/temporary", New: mine, Err: syscall.EPERM}, writable + "."},
		"no permission":        {&fs.PathError{Path: mine, Err: syscall.EACCES}, writable + "."},
		"a read-only disk":     {&os.LinkError{New: mine, Err: syscall.EROFS}, "The file system is read-only: make " + filepath.Dir(mine) + " writable."},
		"a full disk":          {&fs.PathError{Path: mine, Err: syscall.ENOSPC}, "Free some disk space."},
		"a quota":              {&os.LinkError{New: mine, Err: syscall.EDQUOT}, "Free some disk space."},
		"open files":           {&fs.PathError{Path: mine, Err: syscall.EMFILE}, "ulimit -n"},
		"all open files":       {&fs.PathError{Path: mine, Err: syscall.ENFILE}, "ulimit -n"},
		"NFS without locks":    {&fs.PathError{Op: "lock", Path: mine, Err: syscall.ENOLCK}, "The file system of " + mine + " doesn't support locks"},
		"locks not supported":  {&fs.PathError{Op: "lock", Path: mine, Err: syscall.EOPNOTSUPP}, "HOME, DOCKER_CONFIG, and AWS_CONFIG_FILE"},
		"flock not supported":  {&fs.PathError{Op: "lock", Path: mine, Err: syscall.ENOSYS}, "doesn't support locks"},
		"another error":        {&fs.PathError{Path: mine, Err: syscall.EIO}, writable + ", and that the disk is not full."},
		"busy":                 {fmt.Errorf("x: %w", errBusy), "Find the program"},
		"an error with advice": {explain.Advise(syscall.ENOSPC, "Do this."), "Do this."},
	} {
		t.Run(name, func(t *testing.T) {
			err := advise(row.err)
			if !errors.Is(err, row.err) {
				t.Errorf("got %v", err)
			}
			wantAdvice(t, err, row.want)
			if all := strings.Join(explain.Of(err).Do, "\n"); strings.Contains(all, "belongs to") {
				t.Errorf("got advice about the owner: %q", all)
			}
		})
	}
	if err := advise(nil); err != nil {
		t.Errorf("got %v", err)
	}
}

// A file of another user in a folder of this one: the file is to blame, not the folder.
func TestAdviceAboutTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can create files of other users")
	}
	const user = 4321 // without a name
	for id, want := range map[int]string{0: "", user: " belongs to 4321. Change its owner", 1: " belongs to daemon. Change its owner"} {
		path := filepath.Join(t.TempDir(), "config.json")
		write(t, path, "")
		if err := os.Chown(path, id, id); err != nil {
			t.Fatal(err)
		}
		err := advise(&os.LinkError{Op: "rename", Old: "/temporary", New: path, Err: syscall.EPERM})
		if want != "" {
			wantAdvice(t, err, path+want)
		} else if do := explain.Of(err).Do; strings.Contains(strings.Join(do, " "), "belongs") {
			t.Errorf("got %q", do)
		}
	}
}
