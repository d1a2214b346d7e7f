package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

// Check returns the error that [ConfigFile.PrepareProfile] would return for a profile with this name, before anything is sent. It also
// returns the session of the Step's profile that would be replaced, or nil if there is none. It changes nothing.
func (f ConfigFile) Check(name Name) (replaced *Session, err error) {
	content, err := sharedfile.Read(f.Path)
	var place *section
	if err == nil {
		place, err = find(content, name)
		err = f.explain(err)
	}
	if err == nil && place != nil {
		replaced = place.session
	}
	if err == nil && !f.hasNoCredentials() {
		if content, err = sharedfile.Read(f.Credentials); err == nil {
			_, err = f.withCopy(content, Profile{Name: name})
		}
	}
	return replaced, wrap(name, err)
}

// PrepareProfile prepares to add the profile at the end of the file, or to the section that the Step wrote earlier. Everything else in
// the file, other settings in the section, the file's mode, and a link to it are kept. An existing profile with this name that the
// Step didn't create is an error, as are keys for it in the credentials file, because AWS's tools would prefer them. So is a file that
// the AWS CLI can't read. If a user has copied the profile's credential process to the credentials file, the copy is updated.
func (f ConfigFile) PrepareProfile(p Profile) ([]*sharedfile.Change, error) {
	changes, err := f.prepare(
		func(content []byte) ([]byte, error) {
			content, err := withProfile(content, p)
			return content, f.explain(err)
		},
		func(content []byte) ([]byte, error) { return f.withCopy(content, p) })
	return changes, wrap(p.Name, err)
}

// PrepareRemoval prepares to remove the profiles of some sessions from both files, and returns the profiles' names. A file that
// doesn't exist is not created.
func (f ConfigFile) PrepareRemoval(sessions []Session) (changes []*sharedfile.Change, removed []string, err error) {
	var inConfig, inCredentials []string
	remove := func(content []byte, names *[]string) (rest []byte, err error) {
		if content == nil {
			return nil, nil
		}
		rest, *names, err = withoutSessions(content, sessions)
		return rest, err
	}
	changes, err = f.prepare(
		func(content []byte) ([]byte, error) {
			rest, err := remove(content, &inConfig)
			return rest, f.explain(err)
		},
		func(content []byte) ([]byte, error) {
			rest, err := remove(content, &inCredentials)
			return rest, f.explainCredentials(err)
		})
	return changes, slices.Compact(slices.Sorted(slices.Values(slices.Concat(inConfig, inCredentials)))), err
}

// prepare prepares a change of each file.
func (f ConfigFile) prepare(config, credentials sharedfile.Edit) (changes []*sharedfile.Change, err error) {
	change, err := sharedfile.File{Path: f.Path, Mode: secretMode, KeepMode: true}.Prepare(config)
	if err != nil || f.hasNoCredentials() {
		return []*sharedfile.Change{change}, err
	}
	second, err := sharedfile.File{Path: f.Credentials, Mode: secretMode, KeepMode: true}.Prepare(credentials)
	if err != nil {
		change.Discard()
		return nil, err
	}
	return []*sharedfile.Change{change, second}, nil
}

// hasNoCredentials reports whether AWS_SHARED_CREDENTIALS_FILE is a device such as /dev/null.
func (f ConfigFile) hasNoCredentials() bool {
	info, err := os.Stat(f.Credentials)
	return err == nil && info.Mode()&fs.ModeDevice != 0
}

func wrap(name Name, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write the profile %q (input aws_profile): %w", name, err)
}

// withCopy updates the profile's command in the content of the credentials file if a user has copied the profile there. In this file,
// the section's header is just the name. A section with this name and without the Step's command is an error.
func (f ConfigFile) withCopy(content []byte, p Profile) ([]byte, error) {
	lines, err := parse(content)
	if err != nil {
		return nil, f.explainCredentials(err)
	}
	isCopy := func(section string) bool { return normalize(section) == p.Name.text }
	for _, s := range slices.Backward(findSections(lines, isCopy)) {
		line := fmt.Sprintf("line %d: ", lineNumber(content, s.begin))
		for _, l := range s.lines {
			if l.setting == "aws_access_key_id" && l.value == "" {
				return nil, f.explainCredentials(fmt.Errorf("%sthe profile %q has an empty aws_access_key_id, and AWS's tools would "+
					"sign their calls with it", line, p.Name))
			}
			if l.setting == processSetting && s.session != nil {
				copied := strings.Replace(string(content[l.begin:l.end]), l.value, p.Command.text, 1)
				content = slices.Concat(content[:l.begin], []byte(copied), content[l.end:])
			}
		}
		if s.session == nil {
			return nil, f.explainCredentials(fmt.Errorf("%sthere are keys for the profile %q, which AWS's tools would use instead of "+
				"credentials that are renewed", line, p.Name))
		}
	}
	return content, nil
}

// explainCredentials is explain for the credentials file.
func (f ConfigFile) explainCredentials(err error) error {
	if err == nil {
		return nil
	}
	return explain.Advise(fmt.Errorf("%s, %w", f.Credentials, err),
		"If the profile has keys in it, remove its section, or choose a different name in aws_profile. A script that runs "+
			"\"aws configure set aws_access_key_id\" may have added them. It is no longer needed.",
		"Or correct the file, or set "+credentialsVariable+" to a different one for this workflow, such as /dev/null.")
}

// explain adds the file's path and advice to an error of the file's content.
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
