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

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

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
	return Profile{Name: parsed, Region: region, Command: Command{text: "/p credential-process KEY"}}
}

// section is the text of the profile bitrise.
const section = beginMark + "\n[profile bitrise]\nregion = eu-west-1\ncredential_process = /p credential-process KEY\n" + endMark + "\n"

func testFile(t *testing.T, content string) ConfigFile {
	t.Helper()
	folder := t.TempDir()
	file := ConfigFile{path: filepath.Join(folder, "config"), credentials: filepath.Join(folder, "credentials")}
	if content != "" {
		write(t, file.path, content)
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
	commit(t, change)
}

// The markers must stay the same, so that profiles of earlier versions are recognized.
func TestMarks(t *testing.T) {
	const old = "# Written by Authenticate with AWS, a Bitrise Step, which replaces the lines from here on:\n" +
		"[profile bitrise]\nregion = x\ncredential_process = \"/p\" KEY\n# End of what Authenticate with AWS wrote.\n"
	file := testFile(t, old)
	file.add(t, testProfile(t, "bitrise"))
	if got := read(t, file.path); got != section {
		t.Errorf("got\n%s", got)
	}
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestPrepareProfileKeepsEverythingElse(t *testing.T) {
	other := strings.ReplaceAll(section, "bitrise", "another")
	old := strings.ReplaceAll(section, "eu-west-1", "us-east-2")
	odd := "# mine\n[default]\nregion=x\n\n  [profile a]  ; odd\nkey = [profile bitrise]\n"
	similar := "[bitrise]\n[profile bitrise2]\n[profile a bitrise]\n[sso-session bitrise]\n[services bitrise]\n[profile Bitrise]\n"
	for name, test := range map[string]struct{ before, after string }{
		"no file":                {"", section},
		"other profiles":         {odd, odd + "\n" + section},
		"no line end":            {"[default]\nregion=x", "[default]\nregion=x\n\n" + section},
		"only a line end":        {"\n", "\n\n" + section},
		"CRLF":                   {crlf("[default]\nregion=x\n"), crlf("[default]\nregion=x\n\n" + section)},
		"CRLF, no line end":      {"[a]\r\nregion=x", crlf("[a]\nregion=x\n\n" + section)},
		"replaced":               {"# a\n" + old + "\n[default]\nregion=x", "# a\n" + section + "\n[default]\nregion=x"},
		"replaced, CRLF":         {crlf("# a\n" + old + "[default]\n"), crlf("# a\n" + section + "[default]\n")},
		"replaced, indented":     {"\t" + old, section},
		"replaced, no line end":  {strings.TrimSuffix(old, "\n"), section},
		"unchanged":              {section, section},
		"after another profile":  {other + "\n" + old, other + "\n" + section},
		"before another profile": {old + other, section + other},
		"comments below":         {old + "\n# mine\n[a]\n", section + "\n# mine\n[a]\n"},
		"comments above":         {"# mine\n\n" + old, "# mine\n\n" + section},
		"similar names":          {similar, similar + "\n" + section},
		"begin without an end":   {beginMark + "\n", beginMark + "\n\n" + section},
		"end without a begin":    {endMark + "\n", endMark + "\n\n" + section},
		"other end is missing":   {beginMark + "\n[profile other]\n" + old, beginMark + "\n[profile other]\n" + section},
		"begin, no end, section": {"[a]\n" + beginMark + "\nb = c\n" + old, "[a]\n" + beginMark + "\nb = c\n" + section},
		"settings of the user":   {beginMark + "\n[profile bitrise]\n# mine\noutput = json\n" + endMark + "\n", section},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, test.before)
			change, err := file.PrepareProfile(testProfile(t, "bitrise"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(file.path); string(got) != test.before || (err != nil) != (test.before == "") {
				t.Errorf("before the commit: got %q, %v", got, err)
			}
			commit(t, change)
			if got := read(t, file.path); got != test.after {
				t.Errorf("got:\n%q\nwant:\n%q", got, test.after)
			}
			if got := tree(t, filepath.Dir(file.path)); len(got) > 1 {
				t.Errorf("left behind: %q", got)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	const settings = "\nregion = eu-west-1\ncredential_process = /p credential-process KEY\n"
	for name, want := range map[string]string{
		"bitrise": "[profile bitrise]" + settings, "default": "[default]" + settings,
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, "")
			for range 2 {
				file.add(t, testProfile(t, name))
			}
			if got := read(t, file.path); got != beginMark+"\n"+want+endMark+"\n" {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// Changes that another program makes between Prepare and Commit are kept and checked.
func TestFileChangesBeforeTheCommit(t *testing.T) {
	for name, test := range map[string]struct{ config, credentials, want, wantErr string }{
		"another profile": {"[profile theirs]\n", "", "[profile theirs]\n\n" + section, ""},
		"the same":        {section, "", section, ""},
		"a foreign one":   {"[profile bitrise]\n", "", "[profile bitrise]\n", "this Step did not write it"},
		"keys":            {"# changed\n", "[bitrise]\n", "# changed\n", "there are keys"},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, "[default]\n")
			change, err := file.PrepareProfile(testProfile(t, "bitrise"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, file.path, test.config)
			write(t, file.credentials, test.credentials)
			err = sharedfile.Commit(t.Context(), change)
			if (err != nil) != (test.wantErr != "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("got %v", err)
			}
			if got := read(t, file.path); got != test.want {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

func TestModeAndLinkStay(t *testing.T) {
	file := testFile(t, "")
	target := filepath.Join(t.TempDir(), "dotfiles")
	write(t, target, "[default]\n")
	if err := errors.Join(os.Chmod(target, 0o644), os.Symlink(target, file.path)); err != nil {
		t.Fatal(err)
	}
	file.add(t, testProfile(t, "bitrise"))
	checkMode(t, target, 0o644)
	if info, err := os.Lstat(file.path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	if got := read(t, target); got != "[default]\n\n"+section {
		t.Errorf("got %q", got)
	}
}

func TestModeOfANewFile(t *testing.T) {
	file := testFile(t, "")
	file.add(t, testProfile(t, "bitrise"))
	checkMode(t, file.path, 0o600)
}

// Concurrent runs do not lose each other's changes.
func TestManyRunsAtOnce(t *testing.T) {
	file := testFile(t, "[default]\n")
	for i := range 10 {
		file.add(t, testProfile(t, fmt.Sprintf("old%d", i)))
	}
	var group sync.WaitGroup
	for i := range 10 {
		group.Add(2)
		go func() {
			defer group.Done()
			file.add(t, testProfile(t, fmt.Sprintf("new%d", i)))
		}()
		go func() {
			defer group.Done()
			change, _, err := file.PrepareRemoval(testProfile(t, fmt.Sprintf("old%d", i)).Name)
			if err != nil {
				t.Error(err)
				return
			}
			commit(t, change)
		}()
	}
	group.Wait()
	got := read(t, file.path)
	if strings.Count(got, "[profile new") != 10 || strings.Contains(got, "[profile old") || !strings.HasPrefix(got, "[default]\n\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestFindConfigFile(t *testing.T) {
	for name, test := range map[string]struct {
		environment         map[string]string
		config, credentials string
		wantErr             string
	}{
		"home":      {map[string]string{"HOME": "/h"}, "/h/.aws/config", "/h/.aws/credentials", ""},
		"variables": {map[string]string{"AWS_CONFIG_FILE": "/c", "AWS_SHARED_CREDENTIALS_FILE": "/d"}, "/c", "/d", ""},
		"one variable": {map[string]string{"AWS_CONFIG_FILE": "/c"}, "", "",
			"find AWS's configuration: the variables HOME and AWS_SHARED_CREDENTIALS_FILE are empty"},
		"nothing": {nil, "", "", "find AWS's configuration: the variables HOME and AWS_CONFIG_FILE are empty"},
		"a tilde": {map[string]string{"HOME": "/h", "AWS_CONFIG_FILE": "~/c"}, "", "",
			`the variable AWS_CONFIG_FILE must be a path without ~ and $, which not all SDKs expand, got "~/c"`},
		"a variable in it": {map[string]string{"HOME": "/h", "AWS_CONFIG_FILE": "$HOME/c"}, "", "", "the variable AWS_CONFIG_FILE must be"},
		"credentials": {map[string]string{"HOME": "/h", "AWS_SHARED_CREDENTIALS_FILE": "~/c"}, "", "",
			"the variable AWS_SHARED_CREDENTIALS_FILE must be"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := FindConfigFile(func(key string) string { return test.environment[key] })
			if test.wantErr != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.wantErr) {
					t.Errorf("got %v", err)
				}
			} else if err != nil || file.String() != test.config || file.credentials != test.credentials {
				t.Errorf("got %+v, %v", file, err)
			}
		})
	}
	t.Chdir(t.TempDir())
	file, err := FindConfigFile(func(string) string { return "relative" })
	if err != nil || !filepath.IsAbs(file.path) || !filepath.IsAbs(file.credentials) {
		t.Errorf("got %+v, %v", file, err)
	}
}

// Any file is either rejected, or kept with the profile added once, and the profile can be removed again.
func FuzzWithProfile(f *testing.F) {
	for _, seed := range []string{
		"", "[default]\nregion=x", section, "# a\r\n" + section + "[x]\n", beginMark, "[", "[]", "[profile \"bitrise\" ; ]\n",
		"\r", "[#]", "[a]\nb=\n c=d\n",
		beginMark + "\n[profile bitrise]\n" + endMark, section + "output = json",
	} {
		f.Add(seed)
	}
	p := Profile{Name: Name{text: "bitrise"}, Command: Command{text: "/p credential-process KEY"}}
	f.Fuzz(func(t *testing.T, old string) {
		file := ConfigFile{credentials: os.DevNull}
		content, err := file.withProfile([]byte(old), p)
		if err != nil {
			return
		}
		if again, err := file.withProfile(content, p); err != nil || string(again) != string(content) {
			t.Errorf("the second time: got\n%q, %v\nthe first time:\n%q", again, err, content)
		}
		place, err := find([]byte(old), p.Name)
		if err != nil {
			t.Errorf("got %v the second time, but no error the first time", err)
		} else if place == nil && !strings.HasPrefix(string(content), old) {
			t.Errorf("%q was changed to %q", old, content)
		}
		removed, err := file.withoutProfile(content, p.Name)
		if err != nil {
			t.Errorf("%q: got %v", content, err)
		}
		if place == nil && strings.HasSuffix(old, "\n") && string(removed) != old {
			t.Errorf("%q: got %q after the removal", old, removed)
		}
		if left, err := find(removed, p.Name); left != nil || err != nil {
			t.Errorf("%q: got %q, %v after the removal", content, removed, err)
		}
	})
}
