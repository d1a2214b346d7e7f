package step

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// files are the files that a run changes.
type files struct {
	docker   dockerlogin.File
	config   profile.ConfigFile
	profiles profile.Folder
}

// findFiles finds out, before anything is sent, whether the files can be changed.
func (s *Step) findFiles(config Config) (found files, err error) {
	if config.DockerLogin {
		if found.docker, err = dockerlogin.FindFile(s.Environment.Get); err == nil {
			err = found.docker.Check()
		}
	}
	if err == nil && config.hasProfile() {
		if found.profiles, err = profile.FolderIn(s.Environment.Get("HOME")); err != nil {
			return files{}, err
		}
		if found.config, err = profile.FindConfigFile(s.Environment.Get); err == nil {
			err = found.config.Check(config.Profile)
		}
	}
	return found, err
}

// staged is what a run is going to change.
type staged struct {
	store   envstore
	files   files
	outputs []output
	// registries are the hosts that Docker is going to be logged in to.
	registries []string
	changes    []*sharedfile.Change
	// done are the lines for the log once the changes are in place.
	done []string
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
	logins, err := a.ecr.Logins(ctx, dockerlogin.LoginRequest{
		Credentials: session.Credentials, AccountID: session.AccountID, Registries: a.config.Registries, Retry: a.retry("Getting an ECR login"),
	})
	var names []string
	for _, login := range logins {
		s.Log.Protect(login.Password)
		names = append(names, login.Registry.String())
	}
	if err != nil {
		return err
	}
	file := staged.files.docker
	change, err := file.PrepareLogins(logins)
	if err != nil {
		return err
	}
	staged.registries = names
	first := slices.MinFunc(logins, func(x, y dockerlogin.Login) int { return x.Expires.Compare(y.Expires) })
	s.Log.Printf("Obtained logins for %s; they expire at %s (%s)", strings.Join(names, ", "), clock(first.Expires), a.since(started))
	staged.changes = append(staged.changes, change)
	staged.done = append(staged.done, fmt.Sprintf("Logged in to %s, in %s", strings.Join(names, ", "), file))
	staged.outputs = append(staged.outputs, plain("ECR_REGISTRY", names[0]), plain("ECR_REGISTRIES", strings.Join(names, "\n")))
	return nil
}

// stageProfile stages a profile that hands out the session's credentials and renews them. The credentials themselves are not
// exported: they would take precedence over the profile.
func (s *Step) stageProfile(
	ctx context.Context, staged *staged, config Config, kept kept, session awsauth.Session,
) error {
	file, folder := staged.files.config, staged.files.profiles
	command, changes, err := folder.Stage(ctx, s.Program, kept.encode(), session.Credentials, s.Now())
	staged.changes = append(staged.changes, changes...)
	if err != nil {
		return err
	}
	change, err := file.PrepareProfile(profile.Profile{Name: config.Profile, Region: config.Region, Command: command})
	if err != nil {
		return err
	}
	staged.changes = append(staged.changes, change)
	written := fmt.Sprintf("Wrote the profile %q to %s", config.Profile, file)
	if config.isRenewable() {
		written += "; its credentials renew automatically, with the program in " + folder.String()
	}
	staged.done = append(staged.done, written)
	staged.outputs = append(emptyCredentialOutputs(), staged.outputs...)
	staged.outputs = append(staged.outputs, plain("AWS_SDK_LOAD_CONFIG", "1"))
	s.warnOfLimits(config)
	return nil
}

// warnOfLimits warns of credentials that cannot be renewed, or only with something that is kept.
func (s *Step) warnOfLimits(config Config) {
	switch {
	case config.AccessKey != nil && !config.AccessKey.SessionToken.IsEmpty():
		s.Log.Warnf("session_token is set: the profile's credentials can be renewed only until that session expires, if at all.")
	case config.AccessKey != nil && len(config.Chain) > 0:
		s.Log.Warnf("The profile keeps the access key in a file that only this user can read, because it needs the key to renew its credentials.")
	case config.AccessKey != nil:
		s.Log.Warnf("The profile keeps the access key in a file that only this user can read, and hands it out as it is: it does not expire.")
	case !config.WebIdentity.Token.Text.IsEmpty():
		s.Log.Warnf("identity_token is set, and it is not kept: the profile's credentials work until they expire and are not " +
			"renewed. Leave identity_token empty to let the Step fetch tokens.")
	case config.BuildAPIToken.Reveal() != s.Environment.Get(buildTokenVariable):
		s.Log.Warnf("build_api_token differs from %s, which the profile reads when it renews its credentials. Set that variable for "+
			"the next Steps.", buildTokenVariable)
	}
}

// facts returns what the table of variables needs to know about the run.
func (s *staged) facts(config Config) runFacts {
	run := runFacts{
		region: config.Region.String(), profile: config.Profile.String(), registries: s.registries, dockerFile: s.files.docker.String(),
	}
	if config.hasProfile() {
		run.configFile, run.credentialsFile = s.files.config.String(), s.files.config.Credentials()
	}
	return run
}

// commit puts the files into place, envman's store with the outputs last. If it fails, nothing is exported.
func (s *Step) commit(ctx context.Context, staged staged) error {
	started := s.Now()
	outputs := forEnvironment(staged.outputs, s.Environment)
	exports, err := staged.store.prepare(outputs)
	if err != nil {
		return err
	}
	defer exports.Discard()
	if err := sharedfile.Commit(ctx, append(staged.changes, exports)...); err != nil {
		return err
	}
	s.isDone.Store(true)
	for _, line := range staged.done {
		s.Log.Printf("%s", line)
	}
	if len(outputs) > 0 {
		s.Log.Donef("Exported for the next Steps (%s):", elapsed(s.Now().Sub(started)))
		printOutputs(s.Log, outputs)
	}
	return nil
}
