package step

import (
	"context"
	"fmt"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

const (
	// profileVariable names the profile to AWS's CLI and SDKs.
	profileVariable = "AWS_PROFILE"
	// buildTokenVariable is where a renewal reads the build's API token, which is written to no file.
	buildTokenVariable = "BITRISE_BUILD_API_TOKEN" //nolint:gosec // the variable's name
)

func (c Config) hasProfile() bool { return c.Profile.String() != "" }

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

// isRenewable reports whether the credentials can be obtained again for as long as the build runs.
func (c Config) isRenewable() bool {
	if key := c.AccessKey; key != nil {
		return len(c.Chain) > 0 && key.SessionToken.IsEmpty()
	}
	return c.WebIdentity.Token.Text.IsEmpty()
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
