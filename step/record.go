package step

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	File dockerlogin.File
	dockerlogin.Entry
}

func (l writtenLogin) isSame(as writtenLogin) bool {
	return l.File == as.File && l.Host == as.Host && l.Digest == as.Digest
}

// recordFolder is the folder of the builds' records, in the Step's folder.
const recordFolder = "builds"

// recordPath returns the path of a build's record in the Step's folder.
func recordPath(folder profile.Folder, b build) string {
	digest := sha256.Sum256([]byte(cmp.Or(b.Slug, b.URL)))
	return folder.Path(recordFolder, fmt.Sprintf("%x.json", digest[:8]))
}

// prepareRecord prepares a change of a build's record. A record without entries is removed.
func prepareRecord(folder profile.Folder, b build, edit func(*record)) (*sharedfile.Change, error) {
	path := recordPath(folder, b)
	var change *sharedfile.Change
	err := folder.Secure(recordFolder)
	if err == nil {
		change, err = sharedfile.File{Path: path, Mode: 0o600, IsOwn: true}.Prepare(func(content []byte) ([]byte, error) {
			r, err := parseRecord(path, content)
			if err != nil {
				return nil, err
			}
			r.Build = b
			edit(&r)
			if r.isEmpty() {
				return nil, nil
			}
			return json.MarshalIndent(r, "", "  ")
		})
	}
	return change, folder.Explain("keep a record of what this build writes", err)
}

func parseRecord(path string, content []byte) (r record, err error) {
	hasNoSession := func(p writtenProfile) bool { return p.Session == "" }
	if content != nil && (json.Unmarshal(content, &r) != nil || slices.ContainsFunc(r.Profiles, hasNoSession)) {
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

// readRecords returns the records of all builds, and the errors of those that can't be read.
func readRecords(folder profile.Folder) (records []record, err error) {
	names, _ := fs.Glob(os.DirFS(folder.Path(recordFolder)), "*.json") // none without the folder
	var problems []error
	for _, name := range names {
		r, err := readRecord(folder.Path(recordFolder, name))
		if err == nil {
			records = append(records, r)
		}
		problems = append(problems, err)
	}
	return records, errors.Join(problems...)
}

func (r record) isEmpty() bool { return len(r.Profiles)+len(r.Logins) == 0 }

// setAside returns the credential helper of a registry that an earlier login replaced, so that the last logout restores it.
func setAside(records []record, login writtenLogin) *string {
	for _, r := range records {
		for _, old := range r.Logins {
			if old.File == login.File && old.Host == login.Host && old.Helper != nil {
				return old.Helper
			}
		}
	}
	return nil
}
