package step

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// removal takes entries of a record out of Docker's and AWS's files.
type removal struct {
	changes []*sharedfile.Change
	// gone are the entries that are not in the files after that; the others are still there because of err.
	gone record
	err  error
	// done says what the changes do, and kept what they don't, because something else is there now.
	done, kept []string
}

// prepareRemoval prepares to remove what a record lists. A file that can't be changed keeps nothing else from being removed.
func prepareRemoval(r record) *removal {
	rm := &removal{}
	byConfig := map[profile.ConfigFile][]writtenProfile{}
	for _, p := range r.Profiles {
		byConfig[p.File] = append(byConfig[p.File], p)
	}
	for file, profiles := range byConfig {
		rm.removeProfiles(file, profiles)
	}
	byDocker := map[string][]writtenLogin{}
	for _, login := range r.Logins {
		byDocker[login.File] = append(byDocker[login.File], login)
	}
	for _, path := range slices.Sorted(maps.Keys(byDocker)) {
		rm.removeLogins(dockerlogin.FileAt(path), byDocker[path])
	}
	return rm
}

func (rm *removal) removeProfiles(file profile.ConfigFile, profiles []writtenProfile) {
	changes, removed, err := file.PrepareRemoval(sessions(profiles))
	if err != nil {
		rm.err = errors.Join(rm.err, err)
		return
	}
	rm.changes = append(rm.changes, changes...)
	rm.gone.Profiles = append(rm.gone.Profiles, profiles...)
	for _, name := range removed {
		rm.done = append(rm.done, fmt.Sprintf("Removed the profile %q from %s", name, file))
	}
	for _, p := range profiles {
		if !slices.Contains(removed, p.Name) {
			line := fmt.Sprintf("%s has no profile %q of this build anymore", file, p.Name)
			if !slices.Contains(rm.kept, line) {
				rm.kept = append(rm.kept, line)
			}
		}
	}
}

func (rm *removal) removeLogins(file dockerlogin.File, logins []writtenLogin) {
	var entries []dockerlogin.Entry
	for _, login := range logins {
		entries = append(entries, login.Entry)
	}
	change, removed, kept, err := file.PrepareRemoval(entries)
	if err != nil {
		rm.err = errors.Join(rm.err, err)
		return
	}
	rm.changes = append(rm.changes, change)
	rm.gone.Logins = append(rm.gone.Logins, logins...)
	if len(removed) > 0 {
		rm.done = append(rm.done, fmt.Sprintf("Removed the logins to %s from %s", strings.Join(removed, ", "), file))
	}
	if len(kept) > 0 {
		rm.kept = append(rm.kept, fmt.Sprintf("Kept the logins to %s in %s: something else has logged in there since",
			strings.Join(kept, ", "), file))
	}
}

func (rm *removal) discard() {
	for _, change := range rm.changes {
		change.Discard()
	}
}

// logout takes away what the logins of this build have added, by the record that they keep, and empties the exported credentials. With
// a profile or registries, it takes away only these. It needs no network, and can be repeated until everything is gone: secrets go
// first, and the record last.
func (s *Step) logout(ctx context.Context, config Config) error {
	store, err := findEnvstore(s.Environment)
	if err != nil {
		return err
	}
	folder, err := profile.FolderIn(s.Environment.Get("HOME"))
	if err != nil {
		return err
	}
	folder.Sweep()
	path := recordPath(folder, buildOf(s.Environment))
	written, err := readRecord(path)
	if err != nil {
		return err
	}
	outputs := emptyCredentialOutputs()
	if config.hasProfile() || len(config.Registries) > 0 {
		outputs = nil
		written.limit(config.Profile, config.Registries)
	}
	for _, session := range sessions(written.Profiles) {
		if err := folder.RemoveSecrets(ctx, session); err != nil {
			return fmt.Errorf("remove the credentials that are kept in %s: %w", folder, err)
		}
	}
	removal := prepareRemoval(written)
	staged := &staged{files: files{store: store}, outputs: outputs, changes: removal.changes, done: removal.done}
	defer staged.discard()
	if len(written.Profiles)+len(written.Logins) == 0 {
		staged.done = []string{"There are no logins and profiles of this build to remove"}
	}
	if err := s.commit(ctx, staged); err != nil {
		return err
	}
	for _, line := range removal.kept {
		s.Log.Warnf("%s", line)
	}
	return errors.Join(removal.err, forget(ctx, folder, path, removal.gone))
}

// unusedAge is the age from which on what a build has left is removed. No build lasts that long.
const unusedAge = 24 * time.Hour

// sweep removes what builds that never logged out have left: sessions that were not used for a day with their profiles, and logins
// that have expired.
func (s *Step) sweep(ctx context.Context, folder profile.Folder) error {
	folder.Sweep()
	unused, err := folder.RemoveUnused(ctx, s.Now(), unusedAge)
	records, readErr := readRecords(folder)
	problems := []error{err, readErr}
	for path, r := range records {
		r.Profiles = slices.DeleteFunc(r.Profiles, func(p writtenProfile) bool {
			isOrphan := s.Now().Sub(p.Written) > unusedAge && !folder.Has(p.Session)
			return !isOrphan && !slices.Contains(unused, p.Session)
		})
		r.Logins = slices.DeleteFunc(r.Logins, func(login writtenLogin) bool { return login.Expires.After(s.Now()) })
		if len(r.Profiles)+len(r.Logins) == 0 {
			continue
		}
		removal := prepareRemoval(r)
		err := sharedfile.Commit(ctx, removal.changes...)
		if err == nil {
			err = forget(ctx, folder, path, removal.gone)
		}
		removal.discard()
		problems = append(problems, removal.err, err)
	}
	return errors.Join(problems...)
}

// forget removes what is left of the sessions of entries, and takes the entries out of their record.
func forget(ctx context.Context, folder profile.Folder, path string, gone record) error {
	var problems []error
	for _, session := range sessions(gone.Profiles) {
		problems = append(problems, folder.Remove(ctx, session))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("remove what was kept in %s: %w", folder, err)
	}
	change, err := prepareRecord(folder, path, func(r *record) {
		r.Profiles = slices.DeleteFunc(r.Profiles, func(p writtenProfile) bool {
			return slices.ContainsFunc(gone.Profiles, p.isSame)
		})
		r.Logins = slices.DeleteFunc(r.Logins, func(login writtenLogin) bool {
			return slices.ContainsFunc(gone.Logins, login.isSame)
		})
	})
	if err != nil {
		return err
	}
	defer change.Discard()
	if err := sharedfile.Commit(ctx, change); err != nil {
		return err
	}
	folder.RemoveIfEmpty(recordFolder)
	return nil
}
