package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
type ConfigFile struct{ path, credentials string }

// FindConfigFile returns the files that AWS's tools use: those that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, or
// else config and credentials in ~/.aws. They do not need to exist.
func FindConfigFile(getenv func(key string) string) (ConfigFile, error) {
	locate := func(key, name string) (string, error) {
		path, home := getenv(key), getenv("HOME")
		switch {
		case path == "" && home == "":
			return "", fmt.Errorf("find AWS's configuration: the variables HOME and %s are empty", key)
		case path == "":
			path = filepath.Join(home, ".aws", name)
		// botocore expands both, the SDK for Go neither: they would look in different places.
		case strings.HasPrefix(path, "~") || strings.Contains(path, "$"):
			return "", fmt.Errorf("the variable %s must be a path without ~ and $, which not all SDKs expand, got %q", key, path)
		}
		return filepath.Abs(path)
	}
	config, err := locate(configVariable, "config")
	if err != nil {
		return ConfigFile{}, err
	}
	credentials, err := locate(credentialsVariable, "credentials")
	return ConfigFile{path: config, credentials: credentials}, err
}

func (f ConfigFile) String() string { return f.path }

// Credentials returns the credentials file's path.
func (f ConfigFile) Credentials() string { return f.credentials }

// Profile is a profile of the configuration file.
type Profile struct {
	Name    Name
	Region  awsid.Region
	Command Command
}

// Check reports early, before anything is sent, what would keep [ConfigFile.PrepareProfile] from writing a profile of that
// name. It changes nothing.
func (f ConfigFile) Check(name Name) error {
	content, err := sharedfile.Read(f.path)
	if err == nil {
		_, err = f.withProfile(content, Profile{Name: name})
	}
	return wrap("write", name, err)
}

// PrepareProfile prepares to add the profile at the end of the file, or where the Step wrote one of that name earlier. Everything
// else in the file stays as it is, byte for byte, and so do its mode and a link to it. A profile of that name that the Step did
// not write is an error, as is one in the credentials file, whose keys AWS's tools would prefer. So is a file that the AWS CLI
// cannot read.
func (f ConfigFile) PrepareProfile(p Profile) (*sharedfile.Change, error) {
	change, err := f.file().Prepare(func(content []byte) ([]byte, error) { return f.withProfile(content, p) })
	return change, wrap("write", p.Name, err)
}

// PrepareRemoval prepares to remove a profile, and returns its command for [Folder.Remove]. The change is nil if there is no
// profile of that name. One that the Step did not write is an [ErrForeign].
func (f ConfigFile) PrepareRemoval(name Name) (change *sharedfile.Change, command Command, err error) {
	content, err := sharedfile.Read(f.path)
	if err != nil {
		return nil, command, wrap("remove", name, err)
	}
	place, err := find(content, name)
	if err != nil || place == nil {
		return nil, command, wrap("remove", name, f.explain(err))
	}
	if match := commandPattern.FindSubmatch(content[place.begin:place.end]); match != nil {
		command.text = string(match[1])
	}
	change, err = f.file().Prepare(func(content []byte) ([]byte, error) { return f.withoutProfile(content, name) })
	return change, command, wrap("remove", name, err)
}

var commandPattern = regexp.MustCompile(`(?m)^credential_process = (.*?)\r?$`)

func (f ConfigFile) file() sharedfile.File {
	return sharedfile.File{Path: f.path, Mode: secretMode, KeepMode: true}
}

func wrap(what string, name Name, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s the profile %q (input aws_profile): %w", what, name, err)
}

// withProfile returns the content of the configuration file with the profile.
func (f ConfigFile) withProfile(content []byte, p Profile) ([]byte, error) {
	if err := f.checkCredentials(p.Name); err != nil {
		return nil, err
	}
	place, err := find(content, p.Name)
	if err != nil {
		return nil, f.explain(err)
	}
	text, ending := string(content), lineEnding(content)
	if place != nil {
		return []byte(text[:place.begin] + p.section(ending) + text[place.end:]), nil
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += ending
	}
	if text != "" {
		text += ending
	}
	return []byte(text + p.section(ending)), nil
}

// section returns the profile's lines in the file.
func (p Profile) section(ending string) string {
	lines := []string{
		beginMark, p.Name.header(), "region = " + p.Region.String(), "credential_process = " + p.Command.text, endMark, "",
	}
	return strings.Join(lines, ending)
}

// withoutProfile returns the content of the configuration file without the profile.
func (f ConfigFile) withoutProfile(content []byte, name Name) ([]byte, error) {
	place, err := find(content, name)
	if err != nil || place == nil {
		return content, f.explain(err)
	}
	before := string(content[:place.begin])
	if above, found := strings.CutSuffix(before, lineEnding(content)); found && (above == "" || strings.HasSuffix(above, "\n")) {
		before = above // the empty line that was added above the profile
	}
	return []byte(before + string(content[place.end:])), nil
}

// lineEnding returns how the first line ends.
func lineEnding(content []byte) string {
	if first, _, _ := bytes.Cut(content, []byte("\n")); bytes.HasSuffix(first, []byte("\r")) {
		return "\r\n"
	}
	return "\n"
}

// checkCredentials looks for a profile of that name in the credentials file, where the name is the whole section header.
func (f ConfigFile) checkCredentials(name Name) error {
	if info, err := os.Stat(f.credentials); err == nil && info.Mode()&fs.ModeDevice != 0 {
		return nil // AWS_SHARED_CREDENTIALS_FILE=/dev/null
	}
	content, err := sharedfile.Read(f.credentials)
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
	return explain.Advise(fmt.Errorf("%s, %w", f.credentials, err),
		"Correct the file, or set "+credentialsVariable+" to another one for this workflow, such as /dev/null.",
		"If the profile has keys in it, remove them, or choose another name in aws_profile.")
}

// explain adds the file's name and what to do to an error of [find].
func (f ConfigFile) explain(err error) error {
	if err == nil {
		return nil
	}
	do := []string{"Correct the file, or set " + configVariable + " to another one for this workflow."}
	if errors.Is(err, ErrForeign) {
		do = []string{"Choose another name in aws_profile, or remove that profile from the file."}
	}
	return explain.Advise(fmt.Errorf("%s, %w", f.path, err), do...)
}

// runs reports whether a profile in the file runs the session of that key with the program of that version. A file that cannot
// be read might.
func (f ConfigFile) runs(version string, key Key) bool {
	content, err := sharedfile.Read(f.path)
	for text := range strings.Lines(string(content)) {
		if (Command{text: text}).runs(version, key) {
			return true
		}
	}
	return err != nil
}
