package step

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// logout removes what the logins of this build added, according to their record, and empties the exported credentials.
// With a profile or registries, it removes only these. It needs no network.
func (s *Step) logout(ctx context.Context, config Config) error {
	store, err := findEnvstore(s.Environment)
	if err != nil {
		return err
	}
	folder, err := profile.FolderIn(s.Environment.Get("HOME"))
	if err != nil {
		return err
	}
	if err := folder.Secure(recordFolder); err != nil { // a different user may have written the record
		return folder.Explain("read the record of what this build wrote", err)
	}
	folder.Sweep()
	written, err := readRecord(recordPath(folder, buildOf(s.Environment)))
	if err != nil {
		return err
	}
	outputs := emptyCredentialOutputs(s.Environment)
	if config.hasProfile() || len(config.Registries) > 0 {
		outputs = nil
		written.Profiles = slices.DeleteFunc(written.Profiles, func(p writtenProfile) bool {
			return p.Name != config.Profile.String()
		})
		written.Logins = slices.DeleteFunc(written.Logins, func(login writtenLogin) bool {
			return !slices.ContainsFunc(config.Registries, func(r dockerlogin.Registry) bool { return r.String() == login.Host })
		})
	}
	if written.isEmpty() {
		s.Log.Printf("There are no logins or profiles from this build to remove")
	}
	if err := remove(ctx, s.Log, folder, written, time.Time{}); err != nil {
		return err
	}
	folder.RemoveIfEmpty(recordFolder)
	staged := &staged{files: files{store: store}, outputs: outputs}
	defer staged.discard()
	return s.commit(ctx, staged)
}

// unusedAge is how long sessions are kept after their last use. No build lasts that long.
const unusedAge = 24 * time.Hour

// sweep cleans up after builds that never logged out. It removes sessions that were not used for a day, with their
// profiles, and logins that have expired.
func (s *Step) sweep(ctx context.Context, folder profile.Folder) error {
	folder.Sweep()
	unusedSince := s.Now().Add(-unusedAge)
	records, err := readRecords(folder)
	problems := []error{err}
	for _, r := range records {
		r.Profiles = slices.DeleteFunc(r.Profiles, func(p writtenProfile) bool {
			return p.Written.After(unusedSince) // the run may be about to put the session into place
		})
		r.Logins = slices.DeleteFunc(r.Logins, func(login writtenLogin) bool { return login.Expires.After(s.Now()) })
		problems = append(problems, remove(ctx, s.Log.Quiet(), folder, r, unusedSince))
	}
	return errors.Join(problems...)
}

// remove removes what some entries of a build's record list, the secrets first, and then these entries. What can't be removed
// is kept in the record, so that the removal can be repeated. With a time, sessions that were used since are kept, too.
func remove(ctx context.Context, log *report.Log, folder profile.Folder, entries record, unusedSince time.Time) error {
	var problems []error
	profiles, logins := map[profile.ConfigFile]*record{}, map[dockerlogin.File]*record{}
	for _, p := range entries.Profiles {
		isRemoved, err := folder.RemoveSecrets(ctx, p.Session, unusedSince)
		problems = append(problems, err)
		if !isRemoved {
			continue
		}
		if profiles[p.File] == nil {
			profiles[p.File] = &record{Build: entries.Build}
		}
		profiles[p.File].Profiles = append(profiles[p.File].Profiles, p)
	}
	for _, login := range entries.Logins {
		if logins[login.File] == nil {
			logins[login.File] = &record{Build: entries.Build}
		}
		logins[login.File].Logins = append(logins[login.File].Logins, login)
	}
	for file, part := range profiles {
		problems = append(problems, removeProfiles(ctx, log, folder, file, *part))
	}
	for file, part := range logins {
		problems = append(problems, removeLogins(ctx, log, folder, file, *part))
	}
	return errors.Join(problems...)
}

// forget removes entries from the record of their build.
func forget(ctx context.Context, folder profile.Folder, entries record) error {
	change, err := prepareRecord(folder, entries.Build, func(r *record) {
		r.Profiles = slices.DeleteFunc(r.Profiles, func(p writtenProfile) bool {
			return slices.Contains(entries.Profiles, p)
		})
		r.Logins = slices.DeleteFunc(r.Logins, func(login writtenLogin) bool {
			return slices.ContainsFunc(entries.Logins, login.isSame)
		})
	})
	if err != nil {
		return err
	}
	return apply(ctx, change)
}

// removeProfiles removes profiles from AWS's files, and then their sessions. It logs which it didn't find.
func removeProfiles(ctx context.Context, log *report.Log, folder profile.Folder, file profile.ConfigFile, entries record) error {
	var sessions []profile.Session
	var names []string
	for _, p := range entries.Profiles {
		sessions, names = append(sessions, p.Session), append(names, p.Name)
	}
	changes, removed, err := file.PrepareRemoval(sessions)
	if err == nil {
		err = apply(ctx, changes...)
	}
	if err != nil {
		return err
	}
	for _, name := range removed {
		log.Printf("Removed the profile %q from %s", name, file)
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if !slices.Contains(removed, name) {
			log.Warnf("%s no longer has a profile %q from this build", file, name)
		}
	}
	for _, session := range sessions {
		if err := folder.Remove(ctx, session); err != nil {
			return err
		}
	}
	return forget(ctx, folder, entries)
}

// removeLogins removes logins from Docker's file.
func removeLogins(ctx context.Context, log *report.Log, folder profile.Folder, file dockerlogin.File, entries record) error {
	var logins []dockerlogin.Entry
	for _, login := range entries.Logins {
		logins = append(logins, login.Entry)
	}
	change, removed, kept, err := file.PrepareRemoval(logins)
	if err == nil {
		err = apply(ctx, change)
	}
	if err != nil {
		return err
	}
	if len(removed) > 0 {
		log.Printf("Removed the logins to %s from %s", strings.Join(removed, ", "), file)
	}
	if len(kept) > 0 {
		log.Warnf("Kept the logins to %s in %s, because they were changed since", strings.Join(kept, ", "), file)
	}
	return forget(ctx, folder, entries)
}

// apply puts changes into place.
func apply(ctx context.Context, changes ...*sharedfile.Change) error {
	staged := staged{changes: changes}
	defer staged.discard()
	return sharedfile.Commit(ctx, changes...)
}
