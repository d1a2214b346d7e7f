package step

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// files are the files that a run changes.
type files struct {
	store  envstore
	folder profile.Folder
	docker dockerlogin.File
	config profile.ConfigFile
	// replaced is the session of the Step's profile that this run will replace, if any.
	replaced profile.Session
}

// findFiles returns the files, or an error if they can't be changed, before anything is sent.
func (s *Step) findFiles(config Config) (found files, err error) {
	if found.store, err = findEnvstore(s.Environment); err != nil {
		return found, err
	}
	if !config.DockerLogin && !config.hasProfile() {
		return found, nil
	}
	if found.folder, err = profile.FolderIn(s.Environment.Get("HOME")); err != nil {
		return found, err
	}
	if _, err := readRecord(recordPath(found.folder, buildOf(s.Environment))); err != nil {
		return found, err
	}
	if config.DockerLogin {
		if found.docker, err = dockerlogin.FindFile(s.Environment.Get); err == nil {
			err = found.docker.Check()
		}
	}
	if err == nil && config.hasProfile() {
		if found.config, err = profile.FindConfigFile(s.Environment.Get); err == nil {
			found.replaced, err = found.config.Check(config.Profile)
		}
	}
	return found, err
}

// staged is what a run is going to change.
type staged struct {
	config  Config
	files   files
	outputs []output
	// registries are the hosts of the Docker logins.
	registries []string
	// entries are those for the build's record.
	entries record
	changes []*sharedfile.Change
	// done has the log lines to write when the changes are in place.
	done []string
	// notes are about variables of the environment that the outputs change, warnings about those that defeat an output.
	notes, warnings []string
}

// discard removes the changes that were not committed.
func (s *staged) discard() {
	for _, change := range s.changes {
		change.Discard()
	}
}

// stageLogins gets a login to every registry and stages them in Docker's file.
func (s *Step) stageLogins(ctx context.Context, staged *staged, a *authenticator, session awsauth.Session) error {
	started := s.Now()
	logins, err := a.ecr.Logins(ctx, session.Credentials, a.config.Registries, a.retry("Getting an ECR login"))
	for _, login := range logins {
		s.Log.Protect(login.Password)
		staged.registries = append(staged.registries, login.Host)
	}
	if err != nil {
		return err
	}
	file := staged.files.docker
	before, _ := readRecords(staged.files.folder) // damaged records of other builds don't matter
	change, entries, err := file.PrepareLogins(logins)
	if err != nil {
		return err
	}
	staged.changes = append(staged.changes, change)
	after, _ := readRecords(staged.files.folder) // a build may have logged in or out meanwhile
	s.stageEntries(staged, entries, append(before, after...))
	first := slices.MinFunc(logins, func(x, y dockerlogin.Login) int { return x.Expires.Compare(y.Expires) })
	what, expire := "a Docker login for "+staged.registries[0], "it expires"
	if len(logins) > 1 {
		expire = "they expire"
		what = fmt.Sprintf("Docker logins for %d registries", len(logins))
	}
	staged.done = append(staged.done, fmt.Sprintf("Saved %s to %s in %s; %s %s",
		what, file, a.since(started), expire, expiry(first.Expires, s.Now())))
	staged.outputs = append(staged.outputs,
		plain("ECR_REGISTRY", staged.registries[0]), plain("ECR_REGISTRIES", strings.Join(staged.registries, "\n")))
	return nil
}

// stageEntries adds the logins to the record, with the credential helpers that they or earlier logins replaced, and logs those.
func (s *Step) stageEntries(staged *staged, entries []dockerlogin.Entry, records []record) {
	file := staged.files.docker
	for _, entry := range entries {
		login := writtenLogin{File: file, Entry: entry}
		switch {
		case entry.Helper == nil:
			login.Helper = setAside(records, login)
		case *entry.Helper == "":
			s.Log.Printf("Docker will read the login to %s from %s instead of its credentials store", entry.Host, file)
		default:
			s.Log.Printf("The credential helper %q is disabled for %s until this build logs out", *entry.Helper, entry.Host)
		}
		staged.entries.Logins = append(staged.entries.Logins, login)
	}
}

// stageProfile stages a profile that provides the session's credentials and renews them.
func (s *Step) stageProfile(ctx context.Context, staged *staged, settings secret.Text, session awsauth.Session) error {
	config, file, folder := staged.config, staged.files.config, staged.files.folder
	stored, command, changes, err := folder.Stage(ctx, s.Program, settings, session.Credentials, s.Now())
	staged.changes = append(staged.changes, changes...)
	if err != nil {
		return err
	}
	changes, err = file.PrepareProfile(profile.Profile{Name: config.Profile, Region: config.Region, Command: command})
	if err != nil {
		return err
	}
	staged.changes = append(staged.changes, changes...)
	staged.entries.Profiles = []writtenProfile{{File: file, Name: config.Profile.String(), Session: stored, Written: s.Now().UTC()}}
	written := fmt.Sprintf("Wrote the profile %q to %s", config.Profile, file)
	if s.warnOfLimits(config) {
		written += "; it renews its credentials automatically"
	}
	staged.done = append(staged.done, written)
	staged.outputs = append(staged.outputs, plain("AWS_PROFILE", config.Profile.String()), plain("AWS_SDK_LOAD_CONFIG", "1"))
	s.warnOfReplacing(staged.files, config.Profile)
	return nil
}

// warnOfReplacing warns if the profile belongs to a different build until now.
func (s *Step) warnOfReplacing(files files, name profile.Name) {
	if files.replaced == "" {
		return
	}
	records, _ := readRecords(files.folder)
	for _, r := range records {
		isIts := slices.ContainsFunc(r.Profiles, func(p writtenProfile) bool { return p.Session == files.replaced })
		if isIts && r.Build.isOther(buildOf(s.Environment)) {
			s.Log.Warnf("The profile %q belonged to build %s, which can't use it anymore. Give each build's profile its own name: "+
				"bitrise-$BITRISE_BUILD_SLUG.", name, r.Build)
		}
	}
}

// warnOfLimits reports whether the profile's credentials can be renewed for as long as the build runs. It warns if not, or if
// that requires a stored key or a variable.
func (s *Step) warnOfLimits(config Config) (isRenewable bool) {
	switch {
	case config.AccessKey != nil && !config.AccessKey.SessionToken.IsEmpty():
		s.Log.Warnf("session_token is set, so the profile's credentials can be renewed only until that session expires, if at all.")
	case config.AccessKey != nil && len(config.Chain) > 0:
		s.Log.Warnf("The profile keeps the access key in a file that only this user can read, because it needs the key to renew its credentials.")
		return true
	case config.AccessKey != nil:
		s.Log.Warnf("The profile keeps the access key in a file that only this user can read and returns it unchanged because it doesn't expire.")
	case !config.WebIdentity.Token.Text.IsEmpty():
		s.Log.Warnf("identity_token is set and is not kept, so the profile's credentials are not renewed: they work until they " +
			"expire. Leave identity_token empty to let the Step fetch tokens.")
	case config.BuildAPIToken.Reveal() != s.Environment.Get(buildTokenVariable):
		s.Log.Warnf("build_api_token differs from %s, which the profile reads when it renews its credentials. Set that variable for "+
			"the next Steps.", buildTokenVariable)
		return true
	default:
		return true
	}
	return false
}

// stageRecord stages the record of what the build writes, as the first file that is put into place. Earlier logins to the same registry
// are kept, because the run may end before it replaces them.
func (s *Step) stageRecord(staged *staged) error {
	if staged.entries.isEmpty() {
		return nil
	}
	change, err := prepareRecord(staged.files.folder, buildOf(s.Environment), func(r *record) {
		for _, p := range staged.entries.Profiles {
			r.Profiles = slices.DeleteFunc(r.Profiles, func(old writtenProfile) bool {
				old.Written = p.Written // nothing else may differ
				return old == p
			})
		}
		r.Profiles = append(r.Profiles, staged.entries.Profiles...)
		r.Logins = append(r.Logins, staged.entries.Logins...)
	})
	if err == nil {
		staged.changes = slices.Insert(staged.changes, 0, change)
	}
	return err
}

// commit puts the files into place, the outputs last, so that nothing is exported if it fails.
func (s *Step) commit(ctx context.Context, staged *staged) error {
	started := s.Now()
	exports, err := staged.files.store.prepare(staged.outputs)
	if err != nil {
		return err
	}
	staged.changes = append(staged.changes, exports)
	if err := sharedfile.Commit(ctx, staged.changes...); err != nil {
		s.listWritten(staged.changes)
		return err
	}
	s.isDone.Store(true)
	for _, line := range staged.done {
		s.Log.Printf("%s", line)
	}
	if len(staged.outputs) > 0 {
		s.Log.Printf("")
		s.Log.Donef("Exported for the next Steps (%s):", elapsed(s.Now().Sub(started)))
		printOutputs(s.Log, staged.outputs)
	}
	if len(staged.notes)+len(staged.warnings) > 0 {
		s.Log.Printf("")
	}
	for _, line := range staged.notes {
		s.Log.Printf("%s", line)
	}
	for _, line := range staged.warnings {
		s.Log.Warnf("%s", line)
	}
	return nil
}

// listWritten lists the files that a failed run has changed.
func (s *Step) listWritten(changes []*sharedfile.Change) {
	written := slices.DeleteFunc(slices.Clone(changes), func(change *sharedfile.Change) bool { return !change.IsDone() })
	if len(written) > 0 {
		s.Log.Warnf("The Step changed these files before it failed (action: logout removes what it added):")
	}
	for _, change := range written {
		s.Log.Warnf("- %s", change.Path())
	}
}
