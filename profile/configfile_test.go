package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// testCommand runs the session with testVersion and testKey.
const testCommand = "/p/" + testVersion + "/" + ProgramName + " credential-process " + testKey

func testProfile(t *testing.T, name string) Profile {
	t.Helper()
	parsed, err := ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	region, err := awsid.ParseRegion("eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	return Profile{Name: parsed, Region: region, Command: Command{text: testCommand}}
}

// bitriseSection is the text of the profile bitrise.
const bitriseSection = "[profile bitrise]\n" + note + "\nregion = eu-west-1\ncredential_process = " + testCommand + "\n"

func testFile(t *testing.T, content string) ConfigFile {
	t.Helper()
	folder := t.TempDir()
	file := ConfigFile{Path: filepath.Join(folder, "config"), Credentials: filepath.Join(folder, "credentials")}
	if content != "" {
		write(t, file.Path, content)
	}
	return file
}

// add writes a profile to the file.
func (f ConfigFile) add(t *testing.T, p Profile) {
	t.Helper()
	change, err := f.PrepareProfile(p)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, change...)
}

func TestHeaders(t *testing.T) {
	for name, want := range map[string]string{
		"bitrise": bitriseSection, "default": strings.Replace(bitriseSection, "[profile bitrise]", "[default]", 1),
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, "")
			for range 2 {
				file.add(t, testProfile(t, name))
			}
			if got := read(t, file.Path); got != want {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// Changes that another program makes between Prepare and Commit are kept and checked.
func TestFileChangesBeforeTheCommit(t *testing.T) {
	for name, test := range map[string]struct{ config, credentials, want, wantErr string }{
		"another profile": {"[profile theirs]\n", "", "[profile theirs]\n\n" + bitriseSection, ""},
		"the same":        {bitriseSection, "", bitriseSection, ""},
		"a foreign one":   {"[profile bitrise]\n", "", "[profile bitrise]\n", "this Step didn't create it"},
		"keys":            {"# changed\n", "[bitrise]\n", "# changed\n", "there are keys"},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, "[default]\n")
			change, err := file.PrepareProfile(testProfile(t, "bitrise"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, file.Path, test.config)
			write(t, file.Credentials, test.credentials)
			err = sharedfile.Commit(t.Context(), change...)
			if (err != nil) != (test.wantErr != "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("got %v", err)
			}
			if got := read(t, file.Path); got != test.want {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

func TestModeAndLinkStay(t *testing.T) {
	file := testFile(t, "")
	target := filepath.Join(t.TempDir(), "dotfiles")
	write(t, target, "[default]\n")
	if err := errors.Join(os.Chmod(target, 0o644), os.Symlink(target, file.Path)); err != nil {
		t.Fatal(err)
	}
	file.add(t, testProfile(t, "bitrise"))
	checkMode(t, target, 0o644)
	if info, err := os.Lstat(file.Path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	if got := read(t, target); got != "[default]\n\n"+bitriseSection {
		t.Errorf("got %q", got)
	}
}

func TestModeOfANewFile(t *testing.T) {
	file := testFile(t, "")
	file.add(t, testProfile(t, "bitrise"))
	checkMode(t, file.Path, 0o600)
}

// Check returns the session of a profile that is going to be replaced.
func TestCheckReturnsTheReplacedSession(t *testing.T) {
	for content, want := range map[string]Session{
		"": "", "[default]\n": "", bitriseSection: bitriseSession, strings.ReplaceAll(bitriseSection, "bitrise", "other"): "",
	} {
		file := testFile(t, content)
		got, err := file.Check(testProfile(t, "bitrise").Name)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v", content, got, err)
		}
	}
}

// numbered returns a profile with a different session for each number.
func numbered(t *testing.T, name string, number int) (Profile, Session) {
	t.Helper()
	p, key := testProfile(t, fmt.Sprintf("%s%d", name, number)), fmt.Sprintf("%064d", number)
	command, err := newCommand("/p/"+testVersion+"/"+ProgramName, key)
	if err != nil {
		t.Fatal(err)
	}
	p.Command = command
	return p, Session(testVersion + "/" + key)
}

// Concurrent runs do not lose each other's changes. In the bubble, they have all the time that they need.
func TestManyRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := testFile(t, "[default]\n")
		for i := range 10 {
			p, _ := numbered(t, "old", i)
			file.add(t, p)
		}
		var group sync.WaitGroup
		for i := range 10 {
			group.Go(func() {
				p, _ := numbered(t, "new", 100+i)
				file.add(t, p)
			})
			group.Go(func() {
				_, s := numbered(t, "old", i)
				change, _, err := file.PrepareRemoval([]Session{s})
				if err != nil {
					t.Error(err)
					return
				}
				commit(t, change...)
			})
		}
		group.Wait()
		got := read(t, file.Path)
		if strings.Count(got, "[profile new") != 10 || strings.Contains(got, "[profile old") || !strings.HasPrefix(got, "[default]\n\n") {
			t.Errorf("got:\n%s", got)
		}
	})
}

// The paths are absolute, because tools in other folders would read other files.
func TestFindConfigFile(t *testing.T) {
	const must = " must be an absolute path without ~, got "
	for name, test := range map[string]struct {
		environment         map[string]string
		config, credentials string
		wantErr             string
	}{
		"home":            {map[string]string{"HOME": "/h"}, "/h/.aws/config", "/h/.aws/credentials", ""},
		"variables":       {map[string]string{"AWS_CONFIG_FILE": "/c", "AWS_SHARED_CREDENTIALS_FILE": "/d"}, "/c", "/d", ""},
		"one variable":    {map[string]string{"AWS_CONFIG_FILE": "/c"}, "", "", "the variable HOME" + must + `""`},
		"nothing":         {nil, "", "", "the variable HOME" + must + `""`},
		"a relative home": {map[string]string{"HOME": "h"}, "", "", "the variable HOME" + must + `"h"`},
		"a tilde":         {map[string]string{"HOME": "/h", "AWS_CONFIG_FILE": "~/c"}, "", "", "the variable AWS_CONFIG_FILE" + must + `"~/c"`},
		"relative":        {map[string]string{"HOME": "/h", "AWS_CONFIG_FILE": "c"}, "", "", "the variable AWS_CONFIG_FILE" + must + `"c"`},
		"a variable in it": {map[string]string{"HOME": "/h", "AWS_CONFIG_FILE": "$HOME/c"}, "", "",
			"the variable AWS_CONFIG_FILE" + must + `"$HOME/c"`},
		"credentials": {map[string]string{"HOME": "/h", "AWS_SHARED_CREDENTIALS_FILE": "./c"}, "", "",
			"the variable AWS_SHARED_CREDENTIALS_FILE" + must + `"./c"`},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := FindConfigFile(func(key string) string { return test.environment[key] })
			if test.wantErr != "" {
				if err == nil || err.Error() != test.wantErr {
					t.Errorf("got %v", err)
				}
			} else if err != nil || file.String() != test.config || file.Credentials != test.credentials {
				t.Errorf("got %+v, %v", file, err)
			}
		})
	}
}
