package sharedfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

func TestRead(t *testing.T) {
	folder := t.TempDir()
	pipe, large, limit := filepath.Join(folder, "pipe"), filepath.Join(folder, "large"), filepath.Join(folder, "limit")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, large, "")
	write(t, limit, "")
	if err := errors.Join(os.Truncate(large, MaxSize+1), os.Truncate(limit, MaxSize)); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct{ path, want string }{
		"a folder":       {folder, "is a folder and must be a file"},
		"a device":       {"/dev/zero", "is not a regular file"},
		"a pipe":         {pipe, "is not a regular file"},
		"over the limit": {large, "must be at most 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(row.path)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want %q", err, row.want)
			}
			if x := explain.Of(err); len(x.Do) != 2 || strings.Contains(x.Do[0], "DOCKER_CONFIG") || !strings.Contains(x.Do[1], "DOCKER_CONFIG") {
				t.Errorf("the advice is %q", x.Do)
			}
		})
	}
	if content, err := Read(limit); err != nil || len(content) != MaxSize {
		t.Errorf("at the limit: got %d bytes, %v", len(content), err)
	}
	if content, err := Read(filepath.Join(folder, "none")); content != nil || err != nil {
		t.Errorf("no file: got %q, %v", content, err)
	}
	empty := filepath.Join(folder, "empty")
	write(t, empty, "")
	if content, err := Read(empty); content == nil || err != nil {
		t.Errorf("an empty file: got %v, %v; want not nil", content, err)
	}
}

func TestMaxSizeOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	for size, accepted := range map[int64]bool{3: false, 4: true} {
		_, err := File{Path: path, MaxSize: size}.Prepare(func(content []byte) ([]byte, error) { return content, nil })
		if (err == nil) != accepted {
			t.Errorf("with a limit of %d bytes: got %v", size, err)
		}
	}
}

// Linux lists mount points, and has files without a size.
func TestLinux(t *testing.T) {
	if _, err := os.Stat("/proc/self/mountinfo"); err != nil {
		t.Skip("this is not Linux")
	}
	for path, want := range map[string]bool{"/proc": true, "/proc/self/mountinfo": false, t.TempDir(): false, "/proc/none": false} {
		if got := isMountPoint(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
	for size, want := range map[int64]bool{1: false, 1 << 20: true} {
		if content, err := (File{Path: "/proc/self/mountinfo", MaxSize: size}).read(); (err == nil) != want || (len(content) > 0) != want {
			t.Errorf("with a limit of %d bytes: got %d bytes, %v", size, len(content), err)
		}
	}
}
