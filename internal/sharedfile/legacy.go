package sharedfile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// Lock locks the folder of a file.
//
// Deprecated: use [File.Prepare] and [Commit].
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	target, err := resolve(path)
	if err != nil {
		return nil, err
	}
	return lockFolders(ctx, []string{target})
}

// Resolve follows links.
//
// Deprecated: use [File.Prepare] and [Commit].
func Resolve(path string) (string, error) { return resolve(path) }

// Sweep removes temporary files of any age.
//
// Deprecated: temporary files are swept automatically.
func Sweep(path string) {
	target, err := resolve(path)
	if err != nil {
		return
	}
	entries, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "."+filepath.Base(target)+".authenticate-with-aws-") {
			_ = os.Remove(filepath.Join(filepath.Dir(target), entry.Name()))
		}
	}
}
