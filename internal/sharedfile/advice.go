package sharedfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

const elsewhere = "Or use a different folder for this workflow: DOCKER_CONFIG for Docker's file, AWS_CONFIG_FILE for AWS's."

// advise adds advice to an error of the file system, unless it already has some.
func advise(err error) error {
	if err == nil || errors.As(err, new(*explain.Error)) {
		return err
	}
	var path string
	var file *fs.PathError
	var link *os.LinkError
	if errors.As(err, &file) {
		path = file.Path
	} else if errors.As(err, &link) {
		path = link.New
	}
	folder := filepath.Dir(path)
	writable := "Check that this user can write to " + folder
	var do []string
	switch {
	case errors.Is(err, errBusy):
		do = []string{"Find the program that keeps changing the file, and stop it.", elsewhere}
	case errors.Is(err, syscall.EBUSY):
		do = []string{
			"The file is a mount point, so it cannot be replaced. Mount the folder that contains it instead of the file.", elsewhere,
		}
	case errors.Is(err, syscall.EROFS):
		do = []string{"The file system is read-only: make " + folder + " writable.", elsewhere}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		do = []string{"Free some disk space."}
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		do = []string{"Raise the limit of open files (ulimit -n), or stop the program that keeps so many files open."}
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
		do = []string{"The file system of " + path + " doesn't support locks, which keep builds from overwriting each other's changes. Some " +
			"network file systems don't. Set HOME, DOCKER_CONFIG, and AWS_CONFIG_FILE to paths on a local disk."}
	case errors.Is(err, fs.ErrPermission):
		do = append(ownership(path), writable+".", elsewhere)
	default:
		do = []string{writable + ", and that the disk is not full.", elsewhere}
	}
	return explain.Advise(err, do...)
}

// ownership returns advice if a file belongs to a different user.
func ownership(path string) []string {
	info, err := os.Stat(path)
	if err != nil || ownerOf(info) == os.Geteuid() {
		return nil
	}
	name := strconv.Itoa(ownerOf(info))
	if owner, err := user.LookupId(name); err == nil {
		name = owner.Username
	}
	return []string{fmt.Sprintf("%s belongs to %s. Change its owner to the user that runs the build, or remove it.", path, name)}
}
