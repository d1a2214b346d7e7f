package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// FindConfigFile returns the files that AWS's tools use: those that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, or
// else config and credentials in ~/.aws. They do not need to exist. The paths must be absolute: tools in other folders would read
// other files, and not all tools expand ~ and variables.
func FindConfigFile(getenv func(key string) string) (ConfigFile, error) {
	locate := func(key, name string) (string, error) {
		variable, path := key, getenv(key)
		if path == "" {
			variable, path = "HOME", filepath.Join(getenv("HOME"), ".aws", name)
		}
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("the variable %s must be an absolute path without ~, got %q", variable, getenv(variable))
		}
		return path, nil
	}
	config, err := locate(configVariable, "config")
	if err != nil {
		return ConfigFile{}, err
	}
	credentials, err := locate(credentialsVariable, "credentials")
	return ConfigFile{Path: config, Credentials: credentials}, err
}

func (f ConfigFile) String() string { return f.Path }

// Profile is a profile of the configuration file.
type Profile struct {
	Name    Name
	Region  awsid.Region
	Command Command
}

// Check reports early, before anything is sent, what would keep [ConfigFile.PrepareProfile] from writing a profile of that
// name, and returns the session of a profile of the Step that is going to be replaced; nil if there is none. It changes nothing.
func (f ConfigFile) Check(name Name) (replaced *Session, err error) {
	content, err := sharedfile.Read(f.Path)
	if err == nil {
		err = f.checkCredentials(name)
	}
	var place *section
	if err == nil {
		place, err = find(content, name)
		err = f.explain(err)
	}
	if err == nil && place != nil {
		replaced = place.session
	}
	return replaced, wrap(name, err)
}

// PrepareProfile prepares to add the profile at the end of the file, or to the section that the Step wrote earlier. Everything
// else in the file and other settings in the section stay, and so do the file's mode and a link to it. A profile of that name that
// the Step didn't create is an error, as is one in the credentials file, whose keys AWS's tools would prefer. So is a file that the
// AWS CLI can't read.
func (f ConfigFile) PrepareProfile(p Profile) (*sharedfile.Change, error) {
	change, err := f.file().Prepare(func(content []byte) ([]byte, error) {
		if err := f.checkCredentials(p.Name); err != nil {
			return nil, err
		}
		content, err := withProfile(content, p)
		return content, f.explain(err)
	})
	return change, wrap(p.Name, err)
}

// PrepareRemoval prepares to remove the profiles of some sessions, whatever their names, and returns the names. A file that does not
// exist is not created.
func (f ConfigFile) PrepareRemoval(sessions []Session) (change *sharedfile.Change, removed []string, err error) {
	change, err = f.file().Prepare(func(content []byte) (rest []byte, err error) {
		if content == nil {
			return nil, nil
		}
		rest, removed, err = withoutSessions(content, sessions)
		return rest, f.explain(err)
	})
	return change, removed, err
}

func (f ConfigFile) file() sharedfile.File {
	return sharedfile.File{Path: f.Path, Mode: secretMode, KeepMode: true}
}

func wrap(name Name, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write the profile %q (input aws_profile): %w", name, err)
}

// checkCredentials looks for a profile of that name in the credentials file, where the name is the whole section header.
func (f ConfigFile) checkCredentials(name Name) error {
	if info, err := os.Stat(f.Credentials); err == nil && info.Mode()&fs.ModeDevice != 0 {
		return nil // AWS_SHARED_CREDENTIALS_FILE=/dev/null
	}
	content, err := sharedfile.Read(f.Credentials)
	if err != nil {
		return err
	}
	lines, err := parse(content)
	for i, l := range lines {
		if normalize(l.section) == name.text {
			err = fmt.Errorf("line %d: there are keys for the profile %q, which AWS's tools would use instead of credentials that renew", i+1, name)
		}
	}
	if err == nil {
		return nil
	}
	return explain.Advise(fmt.Errorf("%s, %w", f.Credentials, err),
		"Correct the file, or set "+credentialsVariable+" to a different one for this workflow, such as /dev/null.",
		"If the profile has keys in it, remove them, or choose a different name in aws_profile.")
}

// explain adds the file's name and what to do to an error of the file's content.
func (f ConfigFile) explain(err error) error {
	if err == nil {
		return nil
	}
	do := []string{"Correct the file, or set " + configVariable + " to a different one for this workflow."}
	if errors.Is(err, ErrForeign) {
		do = []string{"Choose a different name in aws_profile, or remove that profile from the file."}
	}
	return explain.Advise(fmt.Errorf("%s, %w", f.Path, err), do...)
}
