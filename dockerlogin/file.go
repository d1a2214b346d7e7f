package dockerlogin

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// File is the path of Docker's configuration file, config.json.
// See https://docs.docker.com/reference/cli/docker/#configuration-files.
type File string

// FindFile returns the file that Docker uses: config.json in the folder DOCKER_CONFIG, or in ~/.docker.
// The path must be absolute, because the next Steps may run in other folders. The file need not exist.
func FindFile(getenv func(key string) string) (File, error) {
	folder, err := sharedfile.Locate(getenv, "DOCKER_CONFIG", ".docker")
	if err != nil {
		return "", err
	}
	return File(filepath.Join(folder, "config.json")), nil
}

// Check returns an error if logins can't be stored, as far as that is known without writing.
func (f File) Check() error {
	content, err := sharedfile.Read(string(f))
	if err == nil {
		_, err = f.parse(content)
	}
	return err
}

// Entry is a login that the Step has written to Docker's file.
type Entry struct {
	Host string
	// Digest identifies the login. One with a different digest is from a different program or build.
	Digest  string
	Expires time.Time
	// Helper is the credential helper that an empty one replaced, or empty if the host had none. It is
	// nil if nothing was replaced.
	Helper *string `json:",omitempty"`
}

// PrepareLogins prepares to add logins to the file, which gets mode 0600, and returns what it adds. Everything else in the file is
// kept, except for the order of its keys. If a credentials store or a credential helper would take precedence over a login, an empty
// entry in credHelpers makes Docker read the login from the file; other registries are not affected.
//
// Logins that docker login stores before the change is committed are kept. But docker login takes no
// lock and writes back what it has read, so a change that is committed while it runs can be lost.
func (f File) PrepareLogins(logins []Login) (change *sharedfile.Change, entries []Entry, err error) {
	change, err = f.prepare("store", func(c config) bool {
		entries = nil
		for _, login := range logins {
			entries = append(entries, c.add(login))
		}
		return true
	})
	return change, entries, err
}

// PrepareRemoval prepares to remove logins, and returns the hosts of those that it removes, and of those
// that are different now, which are kept. Missing logins are fine. A missing file is not created.
func (f File) PrepareRemoval(entries []Entry) (change *sharedfile.Change, removed, kept []string, err error) {
	change, err = f.prepare("remove", func(c config) (hasChanged bool) {
		removed, kept = nil, nil
		for _, entry := range entries {
			isRemoved, isRestored := c.remove(entry)
			if isRemoved {
				removed = append(removed, entry.Host)
			}
			hasChanged = hasChanged || isRemoved || isRestored
		}
		// Only now: of several logins to one registry, the file can have only one.
		for _, entry := range entries {
			if c.auths[entry.Host] != nil && !slices.Contains(kept, entry.Host) {
				kept = append(kept, entry.Host)
			}
		}
		return hasChanged
	})
	return change, removed, kept, err
}

// prepare prepares a change of the logins. Errors start with what.
func (f File) prepare(what string, edit func(config) (hasChanged bool)) (*sharedfile.Change, error) {
	// Docker gives the file this mode, too, because it contains passwords.
	change, err := sharedfile.File{Path: string(f), Mode: 0o600}.Prepare(func(content []byte) ([]byte, error) {
		c, err := f.parse(content)
		if err != nil || !edit(c) {
			return content, err
		}
		return c.encode()
	})
	if err != nil {
		return nil, fmt.Errorf("%s the logins: %w", what, err)
	}
	return change, nil
}

// parse parses the file's content. Its errors contain the file's path and don't quote the content.
func (f File) parse(content []byte) (config, error) {
	c, err := parseConfig(content)
	if err != nil {
		return config{}, explain.Advise(fmt.Errorf("Docker's configuration file %s %w", f, err), //nolint:staticcheck // Docker is a name
			"Correct the file, or move it away.", "Or set DOCKER_CONFIG to a different folder for this workflow.")
	}
	return c, nil
}
