package profile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

const (
	configVariable      = "AWS_CONFIG_FILE"
	credentialsVariable = "AWS_SHARED_CREDENTIALS_FILE" //nolint:gosec // the variable's name
)

// ConfigFile is AWS's shared configuration file, together with the shared credentials file, which AWS's tools read first.
// See https://docs.aws.amazon.com/sdkref/latest/guide/file-location.html.
type ConfigFile struct{ Path, Credentials string }

// FindConfigFile returns the files that AWS's tools use: those in AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE, or else config
// and credentials in ~/.aws. They don't need to exist. The paths must be absolute, because tools that run in other folders would read
// other files, and not all tools expand ~ and variables.
func FindConfigFile(getenv func(key string) string) (ConfigFile, error) {
	config, err := sharedfile.Locate(getenv, configVariable, filepath.Join(".aws", "config"))
	if err != nil {
		return ConfigFile{}, err
	}
	credentials, err := sharedfile.Locate(getenv, credentialsVariable, filepath.Join(".aws", "credentials"))
	return ConfigFile{Path: config, Credentials: credentials}, err
}

func (f ConfigFile) String() string { return f.Path }

// Profile is a profile of the configuration file.
type Profile struct {
	Name    Name
	Region  awsid.Region
	Command Command
}

// Check returns the error that [ConfigFile.PrepareProfile] would return for a profile with this name, before anything is sent. It also
// returns the session of the Step's profile that would be replaced, if any. It changes nothing.
func (f ConfigFile) Check(name Name) (replaced Session, err error) {
	for _, file := range f.files() {
		content, err := sharedfile.Read(file.path)
		if err != nil {
			return "", wrap(name, err)
		}
		place, err := file.find(content, name)
		if err != nil {
			return "", wrap(name, file.explain(err))
		}
		replaced = cmp.Or(replaced, place.session)
	}
	return replaced, nil
}

// PrepareProfile prepares to add the profile at the end of the file, or to the section that the Step wrote earlier. Everything else in
// the file, other settings in the section, the file's mode, and a link to it are kept. An existing profile with this name that the
// Step didn't create is an error, as are keys for it in the credentials file, because AWS's tools would prefer them. So is a file that
// the AWS CLI can't read. If a user has copied the profile to the credentials file, the copy is updated.
func (f ConfigFile) PrepareProfile(p Profile) ([]*sharedfile.Change, error) {
	changes, err := f.prepare(func(file awsFile, content []byte) ([]byte, error) { return file.withProfile(content, p) })
	return changes, wrap(p.Name, err)
}

// PrepareRemoval prepares to remove the profiles of some sessions from both files, and returns the profiles' names. A file that
// doesn't exist is not created.
func (f ConfigFile) PrepareRemoval(sessions []Session) (changes []*sharedfile.Change, removed []string, err error) {
	changes, err = f.prepare(func(_ awsFile, content []byte) ([]byte, error) {
		rest, names, err := withoutSessions(content, sessions)
		removed = append(removed, names...)
		return rest, err
	})
	return changes, slices.Compact(slices.Sorted(slices.Values(removed))), err
}

// prepare prepares a change of each file.
func (f ConfigFile) prepare(edit func(file awsFile, content []byte) ([]byte, error)) (changes []*sharedfile.Change, err error) {
	for _, file := range f.files() {
		change, err := sharedfile.File{Path: file.path, Mode: secretMode, KeepMode: true}.Prepare(func(content []byte) ([]byte, error) {
			content, err := edit(file, content)
			return content, file.explain(err)
		})
		if err != nil {
			for _, change := range changes {
				change.Discard()
			}
			return nil, err
		}
		changes = append(changes, change)
	}
	return changes, nil
}

func wrap(name Name, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write the profile %q (input aws_profile): %w", name, err)
}

// awsFile is one of AWS's two files.
type awsFile struct {
	path          string
	isCredentials bool
}

// files returns the two files, or only the first if AWS_SHARED_CREDENTIALS_FILE is a device such as /dev/null.
func (f ConfigFile) files() []awsFile {
	files := []awsFile{{path: f.Path}, {path: f.Credentials, isCredentials: true}}
	if info, err := os.Stat(f.Credentials); err == nil && info.Mode()&fs.ModeDevice != 0 {
		return files[:1]
	}
	return files
}

// explain adds the file's path and advice to an error of the file's content.
func (f awsFile) explain(err error) error {
	if err == nil {
		return nil
	}
	do := []string{"Correct the file, or set " + configVariable + " to a different one for this workflow."}
	switch {
	case f.isCredentials:
		do = []string{
			"If the profile has keys in it, remove its section, or choose a different name in aws_profile. A script that runs " +
				"\"aws configure set aws_access_key_id\" may have added them. It is no longer needed.",
			"Or correct the file, or set " + credentialsVariable + " to a different one for this workflow, such as /dev/null.",
		}
	case errors.Is(err, ErrForeign):
		do = []string{"Choose a different name in aws_profile, or remove that profile from the file."}
	}
	return explain.Advise(fmt.Errorf("%s, %w", f.path, err), do...)
}
