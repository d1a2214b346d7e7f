package sharedfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// MaxSize is the largest file that is read, in bytes. Docker's has 9 MB with 3,000 ECR logins.
const MaxSize = 16 << 20

// Locate returns the path in a variable, or if it is empty, the path of something in the user's home. It must be absolute, because
// other programs run in other folders.
func Locate(getenv func(key string) string, variable, inHome string) (string, error) {
	path := getenv(variable)
	if path == "" {
		variable, path = "HOME", filepath.Join(getenv("HOME"), inHome)
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("the variable %s must be an absolute path without ~, got %q", variable, getenv(variable))
	}
	return path, nil
}

// Read returns a file's content, or nil without an error if there is no file. A file that is larger
// than [MaxSize], or not regular (it might never end), is an error. Links are followed.
func Read(path string) ([]byte, error) { return File{Path: path}.read() }

// ReadOwn is [Read] for a file in the Step's own folder: a link is an error.
func ReadOwn(path string) ([]byte, error) { return File{Path: path, IsOwn: true}.read() }

func (f File) read() (content []byte, err error) {
	stat, flags := os.Stat, os.O_RDONLY|syscall.O_NONBLOCK
	if f.IsOwn {
		stat, flags = os.Lstat, flags|syscall.O_NOFOLLOW
	}
	info, err := stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, advise(err)
	case !info.Mode().IsRegular():
		return nil, notRegular(f.Path, info.Mode())
	}
	size, limit := info.Size(), cmp.Or(f.MaxSize, MaxSize)
	if size <= limit {
		file, err := os.OpenFile(f.Path, flags, 0)
		if err == nil {
			content, err = io.ReadAll(io.LimitReader(file, limit+1))
			_ = file.Close()
		}
		if err != nil {
			return nil, advise(err)
		}
		size = int64(len(content))
	}
	if size > limit {
		err := fmt.Errorf("%s must be at most %d MiB, got %d MiB", f.Path, limit>>20, size>>20)
		return nil, explain.Advise(err, "Make the file smaller, or remove it.", elsewhere)
	}
	return content, nil
}

func notRegular(path string, mode fs.FileMode) error {
	switch {
	case mode.IsDir():
		return explain.Advise(fmt.Errorf("%s is a folder and must be a file", path),
			"Remove the folder. Docker creates one if a file that is to be mounted doesn't exist.", elsewhere)
	case mode&fs.ModeSymlink != 0:
		return explain.Advise(fmt.Errorf("%s is a link and must be a file", path), "Remove the link.")
	default:
		return explain.Advise(fmt.Errorf("%s is not a regular file", path), "Choose the path of a file.", elsewhere)
	}
}

// inFolder creates a folder and calls do, both again if a different run removes the folder meanwhile. It returns the folders that it
// created, the innermost first.
func inFolder(folder string, do func() error) (created []string, err error) {
	const mostAttempts = 100

	for range mostAttempts {
		var folders []string
		folders, err = makeFolders(folder)
		created = append(folders, created...)
		if err == nil {
			err = do()
		}
		// Creating the folder fails with either error, too, if it is removed at the same moment.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return created, err
}

// makeFolders creates a folder and those above it. It returns what it created, the innermost first.
func makeFolders(folder string) (created []string, err error) {
	for path := folder; ; path = filepath.Dir(path) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return created, advise(os.MkdirAll(folder, 0o700))
		}
		if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return nil, explain.Advise(fmt.Errorf("%s is a link to a folder that doesn't exist", path),
				"Create the folder, or remove the link.", elsewhere)
		}
		created = append(created, path)
	}
}

// checkReplaceable returns an error if it is known in advance that a file can't be replaced.
func checkReplaceable(path string) error {
	info, err := os.Stat(path)
	folder, folderErr := os.Stat(filepath.Dir(path))
	if err != nil || folderErr != nil {
		return nil // nothing to replace, or the change itself will fail
	}
	// Not even root can open an immutable file for writing. Other errors don't prevent a rename.
	file, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	_ = file.Close()
	user, isSticky := os.Geteuid(), folder.Mode()&fs.ModeSticky != 0
	switch {
	case isMountPoint(path):
		err = syscall.EBUSY
	case errors.Is(err, syscall.EPERM), isSticky && user != 0 && user != ownerOf(info) && user != ownerOf(folder):
		err = syscall.EPERM
	default:
		return nil
	}
	return advise(&fs.PathError{Op: "replace", Path: path, Err: err})
}

// ownerOf returns the ID of the user that a file belongs to.
func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// isMountPoint reports whether a file is a mount point, which can't be replaced. Only on Linux is this
// known before a rename fails: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html.
func isMountPoint(path string) bool {
	const mountPoint = 4 // the field's index

	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	path = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(path)
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > mountPoint && fields[mountPoint] == path {
			return true
		}
	}
	return false
}

// resolve follows links to the file that is to be written, which doesn't need to exist. A link's
// ".." is relative to the folder that the link is really in, so the folder is resolved first.
func resolve(path string) (string, error) {
	const mostLinks = 40

	for range mostLinks {
		folder, name := filepath.Split(path)
		if existing, err := filepath.EvalSymlinks(folder); err == nil {
			folder = existing
		}
		path = filepath.Join(folder, name)
		next, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link, or nothing there
		}
		if !filepath.IsAbs(next) {
			next = folder + string(filepath.Separator) + next // Join would remove ".." from the text
		}
		path = next
	}
	return "", fmt.Errorf("%s: too many links", path)
}
