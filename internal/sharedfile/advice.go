package sharedfile

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

const elsewhere = "Or use another folder for this workflow: DOCKER_CONFIG for Docker's file, AWS_CONFIG_FILE for AWS's."

// advise adds what to do to an error of the file system.
func advise(err error) error {
	folder := "the folder"
	var path *fs.PathError
	if errors.As(err, &path) {
		folder = filepath.Dir(path.Path)
	}
	switch {
	case errors.Is(err, syscall.EBUSY):
		return explain.Advise(err,
			"The file is a mount point, so it cannot be replaced. Mount the folder that contains it instead of the file.", elsewhere)
	case errors.Is(err, syscall.EROFS):
		return explain.Advise(err, "The file system is read-only: make "+folder+" writable.", elsewhere)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return explain.Advise(err, "Free some disk space.")
	case errors.Is(err, fs.ErrPermission):
		return explain.Advise(err, "Check that this user can write to "+folder+".", elsewhere)
	default:
		return explain.Advise(err, "Check that this user can write to "+folder+", and that the disk is not full.", elsewhere)
	}
}
