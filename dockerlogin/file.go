package dockerlogin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
)

// File is Docker's configuration file, config.json, as
// https://docs.docker.com/reference/cli/docker/#configuration-files describes it.
type File struct{ path string }

// FindFile returns the file that Docker would use: in the folder that DOCKER_CONFIG names, else in ~/.docker. The
// lookup is Docker's own library's, environment and all, so that it cannot differ from Docker's.
func FindFile() File {
	return FileIn(dockerconfig.Dir())
}

// FileIn returns the file of a configuration folder. Neither needs to exist.
func FileIn(folder string) File {
	return File{path: filepath.Join(folder, dockerconfig.ConfigFileName)}
}

// String returns the file's path.
func (f File) String() string { return f.path }

// Store puts the login into the file. The file is replaced whole or stays as it was, with mode 0600; the folder is made,
// with mode 0700, if there is none. All else that stands in the file is kept, keys that nobody here knows included. If the
// file names a credentials store or a helper that Docker would ask instead, an empty entry under credHelpers makes it
// read the login here; other registries are not affected. undo puts back what was there.
func (f File) Store(login Login) (undo func() error, err error) {
	undo, err = f.store(login)
	if err != nil {
		return nil, fmt.Errorf("store the login to %s in %s: %w", login.Registry, f.path, err)
	}
	return undo, nil
}

func (f File) store(login Login) (undo func() error, err error) {
	old, err := os.ReadFile(f.path)
	existed := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	content, err := withLogin(old, login)
	if err != nil {
		return nil, err
	}
	if err := f.replace(content); err != nil {
		return nil, err
	}
	return func() error { return f.restore(content, old, existed) }, nil
}

// restore undoes a store. What somebody else has written into the file since then is not lost: the login stays in that
// case, since it is theirs to keep or to replace.
func (f File) restore(stored, old []byte, existed bool) error {
	now, err := os.ReadFile(f.path)
	switch {
	case err != nil:
		return fmt.Errorf("undo the login in %s: %w", f.path, err)
	case !bytes.Equal(now, stored):
		return fmt.Errorf("undo the login in %s: the file has changed in the meantime; it was left as it is", f.path)
	case existed:
		err = f.replace(old)
	default:
		err = os.Remove(f.path)
	}
	if err != nil {
		return fmt.Errorf("undo the login in %s: %w", f.path, err)
	}
	return nil
}

// withLogin returns the content of a configuration file with a login added. The content is laid over the file's own JSON
// and not written by Docker's library, because that drops every key which its version does not know.
func withLogin(old []byte, login Login) ([]byte, error) {
	if len(bytes.TrimSpace(old)) == 0 {
		old = []byte("{}")
	}
	keys := map[string]json.RawMessage{}
	if err := json.Unmarshal(old, &keys); err != nil || keys == nil {
		return nil, errors.New("the file is not a JSON object; it was left untouched")
	}
	known, err := dockerconfig.LoadFromReader(bytes.NewReader(old))
	if err != nil {
		return nil, errors.New("the file is not a Docker configuration; it was left untouched")
	}
	entry, err := encodeLogin(login)
	if err != nil {
		return nil, err
	}
	if err := setIn(keys, "auths", login.Registry.String(), entry); err != nil {
		return nil, err
	}
	if shadows(known, login.Registry) {
		if err := setIn(keys, "credHelpers", login.Registry.String(), json.RawMessage(`""`)); err != nil {
			return nil, err
		}
	}
	return encode(keys)
}

// encodeLogin lets Docker's library write the login as Docker would.
func encodeLogin(login Login) (json.RawMessage, error) {
	registry := login.Registry.String()
	file := configfile.New("")
	file.AuthConfigs[registry] = types.AuthConfig{Username: login.Username, Password: login.Password.Reveal()}
	var content bytes.Buffer
	if err := file.SaveToWriter(&content); err != nil {
		return nil, err
	}
	var parsed struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	if err := json.Unmarshal(content.Bytes(), &parsed); err != nil {
		return nil, errors.New("what Docker's library wrote cannot be read")
	}
	return parsed.Auths[registry], nil
}

// shadows tells whether Docker, with this configuration, would ask a helper program for the registry's login.
func shadows(config *configfile.ConfigFile, registry Registry) bool {
	if helper, found := config.CredentialHelpers[registry.String()]; found {
		return helper != ""
	}
	return config.CredentialsStore != ""
}

// setIn sets object[name][key]. Docker reads names without regard to case, so an existing name is used as it is spelt; of
// several spellings the last one, which counts.
func setIn(object map[string]json.RawMessage, name, key string, value json.RawMessage) error {
	for _, existing := range slices.Sorted(maps.Keys(object)) {
		if strings.EqualFold(existing, name) {
			name = existing
		}
	}
	inner := map[string]json.RawMessage{}
	if raw, found := object[name]; found && string(raw) != "null" {
		if err := json.Unmarshal(raw, &inner); err != nil {
			return fmt.Errorf("%q in the file is not a JSON object; the file was left untouched", name)
		}
	}
	inner[key] = value
	raw, err := json.Marshal(inner)
	if err != nil {
		return err
	}
	object[name] = raw
	return nil
}

// encode writes the file's content the way Docker does, with tabs.
func encode(keys map[string]json.RawMessage) ([]byte, error) {
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "\t")
	if err := encoder.Encode(keys); err != nil {
		return nil, err
	}
	return content.Bytes(), nil
}

// replace writes a new file beside the old one and renames it, so that whoever reads meanwhile, or kills the process,
// finds the one or the other. Where the file is a link, what it points at is replaced and the link stays.
func (f File) replace(content []byte) (err error) {
	target, err := resolve(f.path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return err
	}
	// CreateTemp makes the file with mode 0600.
	temporary, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary.Name())
		}
	}()
	if _, err := temporary.Write(content); err != nil {
		_ = temporary.Close()
		return err
	}
	// On the disk before the name points at it: after a crash an empty file would be neither the old nor the new one.
	if err := temporary.Sync(); err != nil {
		_ = temporary.Close()
		return err
	}
	if err := temporary.Close(); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), target)
}

// resolve follows links to the file that is to be written, which does not need to exist.
func resolve(path string) (string, error) {
	const mostLinks = 40
	for range mostLinks {
		next, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link, or nothing there
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		path = next
	}
	return "", errors.New("too many links")
}
