package dockerlogin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
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

// Check tells whether logins could be stored, as far as that can be known without writing: what the file holds is a
// configuration.
func (f File) Check() error {
	content, err := sharedfile.Read(f.path)
	if err == nil {
		_, err = withLogins(content, nil)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", f.path, err)
	}
	return nil
}

// Store puts the logins into the file. The file is replaced whole or stays as it was, with mode 0600, under a lock that
// keeps other Steps out; the folder is made, with mode 0700, if there is none. All else that stands in the file is kept,
// keys that nobody here knows included. If the file names a credentials store or a helper that Docker would ask instead, an
// empty entry under credHelpers makes it read the login here; other registries are not affected. undo puts back what was
// there.
func (f File) Store(ctx context.Context, logins []Login) (undo func() error, err error) {
	undo, err = f.store(ctx, logins)
	if err != nil {
		return nil, fmt.Errorf("store the logins in %s: %w", f.path, err)
	}
	return undo, nil
}

func (f File) store(ctx context.Context, logins []Login) (undo func() error, err error) {
	folder, mode := f.before()
	unlock, err := sharedfile.Lock(ctx, f.path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	old, err := sharedfile.Read(f.path)
	if err != nil {
		return nil, err
	}
	content, err := withLogins(old, logins)
	if err != nil {
		return nil, err
	}
	if err := sharedfile.Replace(f.path, content, fileMode); err != nil {
		return nil, err
	}
	return func() error {
		// The run's own context has perhaps ended, which is why this is called.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
		defer cancel()
		if err := f.restore(ctx, content, old, mode); err != nil {
			return fmt.Errorf("undo the logins in %s: %w", f.path, err)
		}
		if !folder {
			_ = os.Remove(filepath.Dir(f.path)) // stays if somebody else has put something there
		}
		return nil
	}, nil
}

// before tells whether the folder is there, and the mode of the file.
func (f File) before() (folder bool, mode fs.FileMode) {
	_, err := os.Lstat(filepath.Dir(f.path))
	info, statErr := os.Stat(f.path)
	if statErr != nil {
		return err == nil, fileMode
	}
	return err == nil, info.Mode().Perm()
}

const (
	fileMode fs.FileMode = 0o600
	// undoPatience bounds the wait for the lock when a run takes its logins back: whoever ends it waits a second.
	undoPatience = 500 * time.Millisecond
)

// restore undoes a store. If somebody else has written into the file since then, what they wrote is kept, and of the logins
// only those go back that are still there as they were stored.
func (f File) restore(ctx context.Context, stored, old []byte, mode fs.FileMode) error {
	unlock, err := sharedfile.Lock(ctx, f.path)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := sharedfile.Read(f.path)
	switch {
	case err != nil:
		return err
	case now == nil:
		return nil // somebody has removed it already
	case !bytes.Equal(now, stored):
		content, err := without(now, stored, old)
		if err != nil {
			return err
		}
		return sharedfile.Replace(f.path, content, fileMode)
	case old == nil:
		target, err := sharedfile.Resolve(f.path)
		if err != nil {
			return err
		}
		return os.Remove(target) // where the file is a link, it is one to nothing again
	default:
		return sharedfile.Replace(f.path, old, mode)
	}
}

// withLogins returns the content of a configuration file with logins added. The content is laid over the file's own JSON
// and not written by Docker's library, because that drops every key which its version does not know.
func withLogins(old []byte, logins []Login) ([]byte, error) {
	if len(bytes.TrimSpace(old)) == 0 {
		old = []byte("{}")
	}
	keys, err := parseObject(old)
	if err != nil {
		return nil, errors.New("the file is not a JSON object; it was left untouched")
	}
	known, err := dockerconfig.LoadFromReader(bytes.NewReader(old))
	if err != nil {
		return nil, errors.New("the file is not a Docker configuration; it was left untouched")
	}
	for _, login := range logins {
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
	}
	return encode(keys)
}

// without returns the content now of a file less what stored has and old has not.
func without(now, stored, old []byte) ([]byte, error) {
	if old == nil {
		old = []byte("{}")
	}
	var objects [3]map[string]json.RawMessage
	for i, content := range [][]byte{now, stored, old} {
		var err error
		if objects[i], err = parseObject(content); err != nil {
			return nil, errors.New("the file has changed in the meantime and is not a JSON object; it was left as it is")
		}
	}
	for _, name := range []string{"auths", "credHelpers"} {
		var entries [3]map[string]json.RawMessage
		for i, object := range objects {
			entries[i] = inner(object, name)
		}
		for key, value := range entries[1] {
			before, had := entries[2][key]
			if !bytes.Equal(entries[0][key], value) || (had && bytes.Equal(before, value)) {
				continue
			}
			if had {
				entries[0][key] = before
			} else {
				delete(entries[0], key)
			}
		}
		if err := replaceIn(objects[0], name, entries[0]); err != nil {
			return nil, err
		}
	}
	return encode(objects[0])
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

// parseObject reads a JSON object. Objects of one name are put together, as Docker's library does it; encoding/json would
// keep the last only. The cause is left out of its error, which may quote the file, and the file has logins.
func parseObject(content []byte) (map[string]json.RawMessage, error) {
	notOne := errors.New("not a JSON object")
	if !json.Valid(content) {
		return nil, notOne
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, notOne
	}
	object := map[string]json.RawMessage{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, notOne
		}
		name, _ := token.(string) // a valid object has no other names
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, notOne
		}
		if earlier, found := object[name]; found {
			value = together(earlier, value)
		}
		object[name] = value
	}
	return object, nil
}

// together puts two objects together, the later one's entries before the earlier one's; of other values the later one
// counts.
func together(earlier, later json.RawMessage) json.RawMessage {
	first, err := parseObject(earlier)
	if err != nil {
		return later
	}
	second, err := parseObject(later)
	if err != nil {
		return later
	}
	maps.Copy(first, second)
	raw, err := json.Marshal(first)
	if err != nil {
		return later
	}
	return raw
}

// spelling returns name as the object spells it: Docker reads names without regard to case. Of several spellings it is the
// last one, which counts.
func spelling(object map[string]json.RawMessage, name string) string {
	for _, existing := range slices.Sorted(maps.Keys(object)) {
		if strings.EqualFold(existing, name) {
			name = existing
		}
	}
	return name
}

// inner returns object[name], which has to be an object or absent; compact, so that values can be compared.
func inner(object map[string]json.RawMessage, name string) map[string]json.RawMessage {
	entries, err := parseObject(object[spelling(object, name)])
	if err != nil {
		return map[string]json.RawMessage{} // absent, or null
	}
	for key, value := range entries {
		var small bytes.Buffer
		if json.Compact(&small, value) == nil {
			entries[key] = small.Bytes()
		}
	}
	return entries
}

// replaceIn sets object[name], or removes it if there is nothing in it that was not there before.
func replaceIn(object map[string]json.RawMessage, name string, entries map[string]json.RawMessage) error {
	name = spelling(object, name)
	if len(entries) == 0 {
		delete(object, name)
		return nil
	}
	raw, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	object[name] = raw
	return nil
}

// setIn sets object[name][key].
func setIn(object map[string]json.RawMessage, name, key string, value json.RawMessage) error {
	raw, found := object[spelling(object, name)]
	if found && string(raw) != "null" {
		if _, err := parseObject(raw); err != nil {
			return fmt.Errorf("%q in the file is not a JSON object; the file was left untouched", name)
		}
	}
	entries := inner(object, name)
	entries[key] = value
	return replaceIn(object, name, entries)
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
