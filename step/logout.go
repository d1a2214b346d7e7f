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

// removal removes the entries of a record from Docker's and AWS's files.
type removal struct {
	changes []*sharedfile.Change
	// gone are the entries that are no longer in the files after that. The others are still in the files because of err.
	gone record
	err  error
	// done has log lines about what is removed, and kept those about what isn't, because it was changed since.
	done, kept []string
}

// prepareRemoval prepares to remove what a record lists. An error in one file doesn't prevent removal from the others.
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
			line := fmt.Sprintf("%s no longer has a profile %q from this build", file, p.Name)
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
		rm.kept = append(rm.kept, fmt.Sprintf("Kept the logins to %s in %s, because they were changed since",
			strings.Join(kept, ", "), file))
	}
}

func (rm *removal) discard() {
	for _, change := range rm.changes {
		change.Discard()
	}
}

// logout removes what the logins of this build added, according to their record, and empties the exported credentials. With a profile
// or registries, it removes only these. It needs no network. It can be repeated until everything is removed, because it removes the
// secrets first and the record last.
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
	outputs := emptyCredentialOutputs(s.Environment)
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
		staged.done = []string{"There are no logins or profiles from this build to remove"}
	}
	if err := s.commit(ctx, staged); err != nil {
		return err
	}
	for _, line := range removal.kept {
		s.Log.Warnf("%s", line)
	}
	return errors.Join(removal.err, forget(ctx, folder, path, removal.gone))
}

// unusedAge is how long sessions are kept after their last use. No build lasts that long.
const unusedAge = 24 * time.Hour

// sweep cleans up after builds that never logged out. It removes sessions that were not used for a day, with their profiles, and
// logins that have expired.
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

// forget removes the remaining files of the entries' sessions, and the entries from their record.
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
