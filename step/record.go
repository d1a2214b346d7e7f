package step

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// build identifies a build on Bitrise. Both fields are empty in a local run.
type build struct{ Slug, URL string }

func buildOf(environment Environment) build {
	return build{Slug: environment.Get("BITRISE_BUILD_SLUG"), URL: environment.Get("BITRISE_BUILD_URL")}
}

func (b build) String() string { return cmp.Or(b.Slug, b.URL, "a local run") }

// isOther reports whether two builds are known to differ. A field that one of them doesn't have is not compared.
func (b build) isOther(than build) bool {
	if b.Slug != "" && than.Slug != "" {
		return b.Slug != than.Slug
	}
	return b.URL != "" && than.URL != "" && b.URL != than.URL
}

// record is what the logins of one build wrote to files that outlive a run. It is written before anything else, so that a logout or a
// later sweep finds everything. It contains no secrets.
type record struct {
	Build    build
	Profiles []writtenProfile `json:",omitempty"`
	Logins   []writtenLogin   `json:",omitempty"`
}

// writtenProfile is a profile, and the session that is kept for it.
type writtenProfile struct {
	File    profile.ConfigFile
	Name    string
	Session profile.Session
	Written time.Time
}

// writtenLogin is a login in one of Docker's files.
type writtenLogin struct {
	File string
	dockerlogin.Entry
}

func (p writtenProfile) isSame(as writtenProfile) bool {
	return p.File == as.File && p.Name == as.Name && p.Session == as.Session
}

func (l writtenLogin) isSame(as writtenLogin) bool {
	return l.File == as.File && l.Host == as.Host && l.Digest == as.Digest
}

// recordFolder is the folder of the builds' records, in the Step's folder.
const recordFolder = "builds"

// recordPath returns the path of a build's record in the Step's folder.
func recordPath(folder profile.Folder, b build) string {
	digest := sha256.Sum256([]byte(cmp.Or(b.Slug, b.URL)))
	return folder.Path(recordFolder, hex.EncodeToString(digest[:8])+".json")
}

// prepareRecord prepares a change of a build's record. A record without entries is removed.
func prepareRecord(folder profile.Folder, path string, edit func(*record)) (*sharedfile.Change, error) {
	var change *sharedfile.Change
	err := folder.Secure(recordFolder)
	if err == nil {
		change, err = sharedfile.File{Path: path, Mode: 0o600, IsOwn: true}.Prepare(func(content []byte) ([]byte, error) {
			r, err := parseRecord(path, content)
			if err != nil {
				return nil, err
			}
			edit(&r)
			if len(r.Profiles)+len(r.Logins) == 0 {
				return nil, nil
			}
			return json.MarshalIndent(r, "", "  ")
		})
	}
	if err != nil {
		return nil, folder.Explain(fmt.Errorf("keep a record of what this build writes: %w", err))
	}
	return change, nil
}

func parseRecord(path string, content []byte) (r record, err error) {
	if content != nil && json.Unmarshal(content, &r) != nil {
		err = explain.Advise(fmt.Errorf("%s is damaged", path), "Remove the file. Logouts then skip what it lists.")
	}
	return r, err
}

// readRecord returns a build's record, which is empty if there is none.
func readRecord(path string) (record, error) {
	content, err := sharedfile.ReadOwn(path)
	if err != nil {
		return record{}, err
	}
	return parseRecord(path, content)
}

// readRecords returns the records of all builds by their paths, and the errors of those that can't be read.
func readRecords(folder profile.Folder) (map[string]record, error) {
	entries, err := os.ReadDir(folder.Path(recordFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	problems := []error{err}
	records := map[string]record{}
	for _, entry := range entries {
		if path := folder.Path(recordFolder, entry.Name()); filepath.Ext(path) == ".json" {
			r, err := readRecord(path)
			problems = append(problems, err)
			if err == nil {
				records[path] = r
			}
		}
	}
	return records, errors.Join(problems...)
}

// add adds what a login is about to write. Earlier logins to the same registry are kept, because the run may end before it replaces them.
func (r *record) add(b build, profiles []writtenProfile, logins []writtenLogin) {
	r.Build = b
	for _, p := range profiles {
		r.Profiles = slices.DeleteFunc(r.Profiles, p.isSame)
		r.Profiles = append(r.Profiles, p)
	}
	for _, login := range logins {
		r.Logins = slices.DeleteFunc(r.Logins, login.isSame)
		r.Logins = append(r.Logins, login)
	}
}

// limit removes all entries except those of a profile and of registries.
func (r *record) limit(name profile.Name, registries []dockerlogin.Registry) {
	r.Profiles = slices.DeleteFunc(r.Profiles, func(p writtenProfile) bool { return p.Name != name.String() })
	r.Logins = slices.DeleteFunc(r.Logins, func(login writtenLogin) bool {
		return !slices.ContainsFunc(registries, func(registry dockerlogin.Registry) bool { return registry.String() == login.Host })
	})
}

// setAside returns the credential helper of a registry that an earlier login replaced, so that the last logout restores it.
func setAside(records map[string]record, login writtenLogin) *string {
	for _, r := range records {
		for _, old := range r.Logins {
			if old.File == login.File && old.Host == login.Host && old.Helper != nil {
				return old.Helper
			}
		}
	}
	return nil
}

// sessions returns the sessions of profiles.
func sessions(profiles []writtenProfile) []profile.Session {
	var all []profile.Session
	for _, p := range profiles {
		all = append(all, p.Session)
	}
	return all
}
