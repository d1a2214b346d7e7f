package profile

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// newFileMode is for a configuration file that was not there.
const newFileMode fs.FileMode = 0o600

// ConfigFile is AWS's shared configuration file, and the shared credentials file that is read together with it.
// See https://docs.aws.amazon.com/sdkref/latest/guide/file-location.html.
type ConfigFile struct{ path, credentials string }

// FindConfigFile returns the files that AWS's SDKs would use: those that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE
// name, else config and credentials in ~/.aws. None of them needs to exist.
func FindConfigFile(getenv func(key string) string) (ConfigFile, error) {
	locate := func(key, name string) (string, error) {
		path := getenv(key)
		if path == "" {
			home := getenv("HOME")
			if home == "" {
				return "", fmt.Errorf("the variables HOME and %s are empty, so there is no place for AWS's configuration", key)
			}
			return filepath.Join(home, ".aws", name), nil
		}
		// botocore expands both, AWS's SDK for Go neither: they would look in different places.
		if strings.HasPrefix(path, "~") || strings.Contains(path, "$") {
			return "", fmt.Errorf("the variable %s: a path without ~ and $ wanted, which AWS's SDKs do not all expand, %q found", key, path)
		}
		return filepath.Abs(path)
	}
	config, err := locate("AWS_CONFIG_FILE", "config")
	if err != nil {
		return ConfigFile{}, err
	}
	credentials, err := locate("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	return ConfigFile{path: config, credentials: credentials}, err
}

// String returns the configuration file's path.
func (f ConfigFile) String() string { return f.path }

// Check tells early whether [ConfigFile.Write] would find a profile of that name that the Step did not write. It changes
// nothing.
func (f ConfigFile) Check(name Name) error {
	if err := f.checkCredentials(name); err != nil {
		return err
	}
	content, _, _, err := f.read()
	if err != nil {
		return f.failed(name, err)
	}
	if _, err := find(splitLines(string(content)), name); err != nil {
		return f.failed(name, untouched(err))
	}
	return nil
}

// read returns what the file holds, its mode, and whether it is there at all.
func (f ConfigFile) read() (content []byte, mode fs.FileMode, existed bool, err error) {
	content, err = sharedfile.Read(f.path)
	if err != nil || content == nil {
		return nil, newFileMode, false, err
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, 0, false, err
	}
	return content, info.Mode().Perm(), true, nil
}

func untouched(err error) error { return fmt.Errorf("%w; the file was left untouched", err) }

// Profile is a profile that is to stand in the file.
type Profile struct {
	Name    Name
	Region  awsid.Region
	Command Command
}

// Write puts the profile into the file, in the place of one of that name that the Step wrote earlier, else at the end. All
// else in the file stays, byte for byte; so do its mode, and a link to it. The file is replaced whole, under a lock, or
// stays as it was. A profile of that name that the Step did not write is an error; so is one in the credentials file,
// because the SDKs would take its keys and never run the credential process. undo puts back what was there.
func (f ConfigFile) Write(ctx context.Context, profile Profile) (undo func() error, err error) {
	unlock, err := sharedfile.Lock(ctx, f.path)
	if err != nil {
		return nil, f.failed(profile.Name, err)
	}
	defer unlock()
	if err := f.checkCredentials(profile.Name); err != nil {
		return nil, err
	}
	old, mode, existed, err := f.read()
	if err != nil {
		return nil, f.failed(profile.Name, err)
	}
	content, err := withProfile(old, profile)
	if err != nil {
		return nil, f.failed(profile.Name, untouched(err))
	}
	if err := sharedfile.Replace(f.path, content, mode); err != nil {
		return nil, f.failed(profile.Name, err)
	}
	return func() error {
		if err := f.restore(ctx, profile, content, old, mode, existed); err != nil {
			return fmt.Errorf("take the profile %q out of %s again: %w", profile.Name, f.path, err)
		}
		return nil
	}, nil
}

// Uses tells whether a profile in the file has the command.
func (f ConfigFile) Uses(command Command) bool {
	content, err := sharedfile.Read(f.path)
	return err == nil && bytes.Contains(content, []byte(command.text))
}

func (f ConfigFile) failed(name Name, err error) error {
	return fmt.Errorf("write the profile %q (input aws_profile) into %s: %w", name, f.path, err)
}

// checkCredentials finds a section of that name in the credentials file. There it is the name alone.
func (f ConfigFile) checkCredentials(name Name) error {
	if info, err := os.Stat(f.credentials); err == nil && info.Mode()&fs.ModeDevice != 0 {
		return nil // AWS_SHARED_CREDENTIALS_FILE=/dev/null
	}
	content, err := sharedfile.Read(f.credentials)
	if err != nil {
		return f.failed(name, err)
	}
	lines := splitLines(string(content))
	if err := plainText(lines); err != nil {
		return fmt.Errorf("%s: %w; no profile was written", f.credentials, err)
	}
	for i, line := range lines {
		headers, err := readHeader(line)
		if err != nil {
			return fmt.Errorf("%s, line %d: %w; no profile was written", f.credentials, i+1, err)
		}
		for _, header := range headers {
			if plain(header) == plain(name.text) {
				return fmt.Errorf("%s, line %d: there is a profile %q already, whose keys AWS's SDKs would take in place of those that renew; remove it, or give another aws_profile; no profile was written", f.credentials, i+1, name)
			}
		}
	}
	return nil
}

// restore undoes a write. If somebody else has written into the file since then, what they wrote is kept, and the profile
// alone goes. It goes on although the run has ended, but waits for nobody.
func (f ConfigFile) restore(ctx context.Context, profile Profile, written, old []byte, mode fs.FileMode, existed bool) error {
	unlock, err := lockSoon(ctx, f.path)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := os.ReadFile(f.path)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(now, written):
		content, err := without(now, old, profile)
		if err != nil {
			return fmt.Errorf("the file has changed in the meantime; it was left as it is: %w", err)
		}
		return sharedfile.Replace(f.path, content, mode)
	case existed:
		return sharedfile.Replace(f.path, old, mode)
	}
	target, err := sharedfile.Resolve(f.path)
	if err != nil {
		return err
	}
	return os.Remove(target)
}

// withProfile returns the content of a configuration file with the profile in it.
func withProfile(old []byte, profile Profile) ([]byte, error) {
	lines := splitLines(string(old))
	place, err := find(lines, profile.Name)
	if err != nil {
		return nil, err
	}
	if place != nil {
		section := profile.section(lineEnd(lines[place.first:]))
		return []byte(strings.Join(lines[:place.first], "") + section + strings.Join(lines[place.last+1:], "")), nil
	}
	end := lineEnd(lines)
	before := string(old)
	if before != "" {
		if !strings.HasSuffix(before, "\n") {
			before += end
		}
		before += end
	}
	return []byte(before + profile.section(end)), nil
}

// without returns the content now of a file less the profile, if it stands there as it was written; where the file had an
// earlier one of that name, that is put back.
func without(now, old []byte, profile Profile) ([]byte, error) {
	lines, before := splitLines(string(now)), splitLines(string(old))
	place, err := find(lines, profile.Name)
	if err != nil || place == nil {
		return now, err
	}
	if section := strings.Join(lines[place.first:place.last+1], ""); section != profile.section(lineEnd(lines[place.first:])) {
		return now, nil // somebody else's by now
	}
	earlier, err := find(before, profile.Name)
	if err != nil {
		return nil, err
	}
	first, back := place.first, ""
	switch {
	case earlier != nil:
		back = strings.Join(before[earlier.first:earlier.last+1], "")
	case first > 0 && strings.TrimSpace(lines[first-1]) == "":
		first-- // the blank line that was put before it
	}
	return []byte(strings.Join(lines[:first], "") + back + strings.Join(lines[place.last+1:], "")), nil
}

// section is the profile's lines in the file.
func (p Profile) section(end string) string {
	lines := []string{beginMark}
	for _, header := range p.Name.headers() {
		lines = append(lines, header, "region = "+p.Region.String(), "credential_process = "+p.Command.text)
	}
	return strings.Join(append(lines, endMark, ""), end)
}

// splitLines splits a text behind its line ends, which stay.
func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// lineEnd is how the first line ends.
func lineEnd(lines []string) string {
	if len(lines) > 0 && strings.HasSuffix(lines[0], "\r\n") {
		return "\r\n"
	}
	return "\n"
}
