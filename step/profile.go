package step

import (
	"context"
	"errors"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// profileVariable names the profile to AWS's CLI and SDKs.
const profileVariable = "AWS_PROFILE"

// checkProfile finds what would keep the profile from being written, before anything is sent.
func (s Step) checkProfile(config Config) error {
	if config.Profile.String() == "" {
		return nil
	}
	if _, err := profile.FolderIn(s.Environment.Get("HOME")); err != nil {
		return err
	}
	file, err := profile.FindConfigFile(s.Environment.Get)
	if err != nil {
		return err
	}
	return file.Check(config.Profile)
}

// writeProfile sets up a profile that hands out the session's credentials, and renews them. undo takes it back.
func (s Step) writeProfile(ctx context.Context, config Config, session awsauth.Session) (undo func() error, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	started := s.Now()
	file, err := profile.FindConfigFile(s.Environment.Get)
	if err != nil {
		return nil, err
	}
	folder, err := profile.FolderIn(s.Environment.Get("HOME"))
	if err != nil {
		return nil, err
	}
	command, undoInstall, err := folder.Install(ctx, s.Program, s.sessionSettings(), credentials(session), s.Now())
	if err != nil {
		return nil, err
	}
	undoWrite, err := file.Write(ctx, profile.Profile{Name: config.Profile, Region: config.Region, Command: command})
	if err != nil {
		return nil, errors.Join(err, undoInstall())
	}
	s.Log.Printf("Wrote the profile %q into %s; its credentials renew by themselves, with the program in %s (%s)", config.Profile, file, folder, s.since(started))
	if !config.Profile.Portable() {
		s.Log.Warnf("The profile's name has more in it than ASCII letters, digits and _.-/%%@:+; the AWS CLI, boto3 and AWS's SDK for Go find it, but the SDKs for Java and Rust, for example, do not")
	}
	s.warnOfWhatDoesNotRenew(config)
	return func() error {
		err := undoWrite()
		// Another run may have written a profile of the same session meanwhile, or this one's could not be taken out.
		if file.Uses(command) {
			return err
		}
		return errors.Join(err, undoInstall())
	}, nil
}

// warnOfWhatDoesNotRenew tells of sessions that last no longer than what they came from.
func (s Step) warnOfWhatDoesNotRenew(config Config) {
	switch {
	case config.AccessKeys != nil && !config.AccessKeys.SessionToken.IsEmpty():
		s.Log.Warnf("session_token is given: the profile's credentials can be renewed, if at all, for as long as that one lives")
	case config.AccessKeys != nil && len(config.Chain) > 0:
		s.Log.Warnf("The access key is kept in a file that only this user can read, as the profile needs it to renew its credentials")
	case config.AccessKeys != nil:
		s.Log.Warnf("The access key is kept in a file that only this user can read; the profile hands it out as it is, since it does not end")
	case config.WebIdentity.Ready != nil:
		s.Log.Warnf("identity_token is given, and it is not kept: the profile's credentials work until they end, and are not renewed then; leave identity_token empty to let the Step fetch tokens itself")
	case config.WebIdentity.BuildAPIToken.Reveal() != strings.TrimSpace(s.Environment.Get(buildTokenVariable)):
		s.Log.Warnf("build_api_token is not what %s holds, which is what the profile reads when it renews its credentials: set that variable for the Steps that follow", buildTokenVariable)
	}
}

// warnOfShadows tells of what an earlier Step left that SDKs would take in place of the profile.
func (s Step) warnOfShadows(written profile.Name) {
	if other := s.Environment.Get("AWS_DEFAULT_PROFILE"); other != "" && other != written.String() {
		s.Log.Warnf("AWS_DEFAULT_PROFILE is set (to %q): the AWS CLI and boto3 take that profile rather than %q; unset it if that is not meant", other, written)
	}
	if file := s.Environment.Get("AWS_WEB_IDENTITY_TOKEN_FILE"); file != "" {
		s.Log.Warnf("AWS_WEB_IDENTITY_TOKEN_FILE is set (to %q): SDKs take the role that it stands for rather than the profile %q; unset it if that is not meant", file, written)
	}
}

// profileOutputs are the outputs of a run that has written a profile. The credentials are exported empty, or they would
// shadow it. The profile's name comes last: what fails before it leaves no name of a profile that is taken back, and it is
// never emptied again, because SDKs refuse an empty name.
func profileOutputs(outputs []output, name profile.Name) []output {
	result := make([]output, 0, len(outputs)+1)
	for _, out := range outputs {
		if out.sensitive || out.key == "AWS_CREDENTIAL_EXPIRATION" {
			out = plain(out.key, "")
		}
		result = append(result, out)
	}
	return append(result, plain(profileVariable, name.String()))
}

func credentials(session awsauth.Session) profile.Credentials {
	return profile.Credentials{
		AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken, Expires: session.Expires,
	}
}
