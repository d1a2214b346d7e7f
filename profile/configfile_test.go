package profile

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
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
	return Profile{Name: parsed, Region: region, Command: Command{text: `"/p" KEY`}}
}

// section is what is written for the profile bitrise.
const section = beginMark + "\n[profile bitrise]\nregion = eu-west-1\ncredential_process = \"/p\" KEY\n" + endMark + "\n"

func testFile(t *testing.T, content string) ConfigFile {
	t.Helper()
	folder := t.TempDir()
	file := ConfigFile{path: filepath.Join(folder, "config"), credentials: filepath.Join(folder, "credentials")}
	if content != "" {
		write(t, file.path, content)
	}
	return file
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func checkMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
		t.Errorf("%s: mode %v wanted, got %v, %v", path, want, info, err)
	}
}

// All that stands in the file already stays where it is, byte for byte.
func TestWriteKeepsEverythingElse(t *testing.T) {
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	other := strings.ReplaceAll(section, "bitrise", "another")
	old := strings.ReplaceAll(section, "eu-west-1", "us-east-2")
	for name, row := range map[string]struct{ before, after string }{
		"no file":            {"", section},
		"other profiles":     {"# mine\n[default]\nregion=x\n\n  [profile a]  ; odd\nkey = [profile bitrise]\n", "# mine\n[default]\nregion=x\n\n  [profile a]  ; odd\nkey = [profile bitrise]\n\n" + section},
		"no line end":        {"[default]\nregion=x", "[default]\nregion=x\n\n" + section},
		"CRLF":               {crlf("[default]\nregion=x\n"), crlf("[default]\nregion=x\n\n" + section)},
		"CRLF, no line end":  {"[a]\r\nregion=x", crlf("[a]\nregion=x\n\n" + section)},
		"its own, replaced":  {"# a\n" + old + "\n[default]\nregion=x", "# a\n" + section + "\n[default]\nregion=x"},
		"its own, CRLF":      {crlf("# a\n" + old + "[default]\n"), crlf("# a\n" + section + "[default]\n")},
		"its own, the same":  {section, section},
		"another of its own": {other + "\n" + old, other + "\n" + section},
		"no UTF-8":           {"# \xff\n[x\xff]\n", "# \xff\n[x\xff]\n\n" + section},
		"similar names":      {"[bitrise]\n[profile bitrise2]\n[profile a bitrise]\n[sso-session bitrise]\n[services bitrise]\n[profile Bitrise]\n", "[bitrise]\n[profile bitrise2]\n[profile a bitrise]\n[sso-session bitrise]\n[services bitrise]\n[profile Bitrise]\n\n" + section},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, row.before)
			undo, err := file.Write(t.Context(), testProfile(t, "bitrise"))
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, file.path); got != row.after {
				t.Errorf("got:\n%q\nwant:\n%q", got, row.after)
			}
			if err := undo(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(file.path); string(got) != row.before || (err != nil) != (row.before == "") {
				t.Errorf("after undo: %q, %v", got, err)
			}
			if entries, _ := os.ReadDir(filepath.Dir(file.path)); len(entries) > 1 {
				t.Errorf("%v is left", entries)
			}
		})
	}
}

// Each kind of reader finds its own section where a name has blanks; the default profile has none with the word profile.
func TestHeaders(t *testing.T) {
	for name, want := range map[string]string{
		"bitrise": "[profile bitrise]", "default": "[default]", "döner": "[profile döner]",
		"my döner": "[profile \"my döner\"]\nregion = eu-west-1\ncredential_process = \"/p\" KEY\n[profile my döner]",
	} {
		file := testFile(t, "")
		for range 2 {
			if _, err := file.Write(t.Context(), testProfile(t, name)); err != nil {
				t.Fatal(err)
			}
		}
		if got := read(t, file.path); !strings.Contains(got, "\n"+want+"\n") || strings.Count(got, beginMark) != 1 {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
}

// Where the Step did not write the section, or a reader might take another one, the file stays as it is.
func TestWriteLeavesWhatIsNotItsOwn(t *testing.T) {
	begin, end := beginMark+"\n", endMark+"\n"
	for name, row := range map[string]struct{ profile, content, says string }{
		"somebody's":         {"bitrise", "[profile bitrise]\n", `line 1: there is a profile "bitrise" already, which this Step did not write`},
		"quoted":             {"bitrise", "a=b\n[profile \"bitrise\"]\n", `line 2: there is a profile "bitrise" already`},
		"single quotes":      {"bitrise", "[profile 'bitrise']\n", "already"},
		"indented":           {"bitrise", "[a]\n\t[ profile\tbitrise ]\n", "already"},
		"with a comment":     {"bitrise", "[profile bitrise] # of [mine]\n", "already"},
		"with another one":   {"bitrise", "[profile bitrise];x\n", "already"},
		"blanks, quoted":     {"my profile", "[profile 'my profile']\n", "already"},
		"blanks, unquoted":   {"my profile", "[profile my  profile]\n", "already"},
		"blanks, escaped":    {"my profile", "[profile my\\ profile]\n", "already"},
		"default":            {"default", "[default]\n", `profile "default" already`},
		"profile default":    {"default", "[profile default]\n", `profile "default" already`},
		"twice":              {"bitrise", section + section, `line 7: the profile "bitrise" stands there twice`},
		"also somebody's":    {"bitrise", section + "[profile bitrise]\n", "line 6: there is a profile"},
		"another within":     {"bitrise", strings.Replace(section, "region", "[profile other]\nregion", 1), "line 3: another section stands within"},
		"no end":             {"bitrise", begin + "[profile x]\n", "line 1: what this Step wrote has no end"},
		"two beginnings":     {"bitrise", begin + begin + end, "line 1: what this Step wrote has no end"},
		"no beginning":       {"bitrise", "\n" + end, "line 2: what this Step wrote has an end and no beginning"},
		"a broken file":      {"bitrise", "[default]\n[profile unclosed\n", "line 2: a section that is opened by [ and not closed"},
		"CRLF of somebody's": {"bitrise", "[profile bitrise]\r\n", "already"},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, row.content)
			_, err := file.Write(t.Context(), testProfile(t, row.profile))
			if err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), file.path) || !strings.Contains(err.Error(), "the file was left untouched") {
				t.Errorf("got %v, want %q", err, row.says)
			}
			if early := file.Check(testProfile(t, row.profile).Name); early == nil || early.Error() != err.Error() {
				t.Errorf("early it was %v, then %v", early, err)
			}
			if got := read(t, file.path); got != row.content {
				t.Errorf("the file was changed:\n%s", got)
			}
		})
	}
}

// Keys of that name in the credentials file would be taken in place of those that renew.
func TestCredentialsFileOfTheSameName(t *testing.T) {
	for content, refused := range map[string]bool{
		"[bitrise]\naws_access_key_id=x\n": true, "[ bitrise ] # x\n": true, "[\"bitrise\"]\n": true,
		"[other]\naws_access_key_id=x\n": false, "[unclosed\n": true,
	} {
		file := testFile(t, "")
		write(t, file.credentials, content)
		if err := file.Check(testProfile(t, "bitrise").Name); (err != nil) != refused {
			t.Errorf("%q, early: %v", content, err)
		}
		_, err := file.Write(t.Context(), testProfile(t, "bitrise"))
		if (err != nil) != refused || (err != nil && !strings.Contains(err.Error(), file.credentials+", line 1")) {
			t.Errorf("%q: %v", content, err)
		}
		if _, err := os.Stat(file.path); (err == nil) == refused {
			t.Errorf("%q: the configuration file: %v", content, err)
		}
	}
}

// There is nothing in it that could stand before the profile.
func TestNoCredentialsFile(t *testing.T) {
	file := testFile(t, "")
	file.credentials = os.DevNull
	if _, err := file.Write(t.Context(), testProfile(t, "bitrise")); err != nil {
		t.Error(err)
	}
}

func TestModeAndLinkStay(t *testing.T) {
	file := testFile(t, "")
	there := filepath.Join(t.TempDir(), "dotfiles")
	write(t, there, "[default]\n")
	if err := os.Chmod(there, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(there, file.path); err != nil {
		t.Fatal(err)
	}
	undo, err := file.Write(t.Context(), testProfile(t, "bitrise"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		checkMode(t, there, 0o644)
		if info, err := os.Lstat(file.path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("the link is gone: %v, %v", info, err)
		}
		if err := undo(); err != nil && !strings.Contains(err.Error(), "has changed") {
			t.Error(err)
		}
	}
	if got := read(t, there); got != "[default]\n" {
		t.Errorf("after undo: %q", got)
	}
}

// What is not a regular file is not read, which could take forever, nor replaced.
func TestNoRegularFile(t *testing.T) {
	for name, create := range map[string]func(string) error{
		"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) }, "a folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		file := testFile(t, "")
		if err := create(file.path); err != nil {
			t.Fatal(err)
		}
		profile := testProfile(t, "bitrise")
		_, err := file.Write(t.Context(), profile)
		early := file.Check(profile.Name)
		if err == nil || early == nil || !strings.Contains(err.Error(), file.path+" is not a regular file") {
			t.Errorf("%s: %v, early: %v", name, err, early)
		}
	}
}

func TestUndoLeavesWhatOthersWrote(t *testing.T) {
	ours := testProfile(t, "bitrise").section("\n")
	for name, row := range map[string]struct {
		before string
		change func(string) string
		after  string
	}{
		"they added a section":          {"", func(s string) string { return s + "[profile theirs]\n" }, "[profile theirs]\n"},
		"behind one of theirs":          {"[default]\nregion = x\n", func(s string) string { return s + "[profile theirs]\n" }, "[default]\nregion = x\n[profile theirs]\n"},
		"where an earlier one stood":    {strings.Replace(ours, "region = ", "region = x-", 1), func(s string) string { return s + "[profile theirs]\n" }, strings.Replace(ours, "region = ", "region = x-", 1) + "[profile theirs]\n"},
		"they changed the section":      {"", func(s string) string { return strings.Replace(s, "region = ", "region = y-", 1) }, strings.Replace(ours, "region = ", "region = y-", 1)},
		"they took it out":              {"", func(string) string { return "[profile theirs]\n" }, "[profile theirs]\n"},
		"they left something in pieces": {"", func(s string) string { return s + "[profile\n" }, ours + "[profile\n"},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, row.before)
			undo, err := file.Write(t.Context(), testProfile(t, "bitrise"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, file.path, row.change(read(t, file.path)))
			err = undo()
			if broken := strings.Contains(row.after, "[profile\n"); broken != (err != nil) || (broken && !strings.Contains(err.Error(), "it was left as it is")) {
				t.Errorf("got %v", err)
			}
			if got := read(t, file.path); got != row.after {
				t.Errorf("got %q, want %q", got, row.after)
			}
		})
	}
}

// What the AWS CLI fails at is told, instead of a profile that is of no use.
func TestFilesThatTheCLIRefuses(t *testing.T) {
	for content, want := range map[string]string{
		"\ufeff[profile bitrise]\n":                "byte order mark",
		"\xff\xfe[\x00p\x00]\x00":                  "byte order mark, or is UTF-16",
		"region = x\n[default]\n":                  "line 1: there is something before the first section",
		"# a comment\n\n; another\nx\n[default]\n": "line 4: there is something before the first section",
		"[default]\n[profile a]\n[default]\n":      "line 3: the section [default] stands there twice, first in line 1",
	} {
		file := testFile(t, content)
		if _, err := file.Write(t.Context(), testProfile(t, "bitrise")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
		if got := read(t, file.path); got != content {
			t.Errorf("%q became %q", content, got)
		}
	}
}

func TestUses(t *testing.T) {
	file, profile := testFile(t, "# nothing\n"), testProfile(t, "bitrise")
	if file.Uses(profile.Command) {
		t.Error("a command that is not there is used")
	}
	if _, err := file.Write(t.Context(), profile); err != nil {
		t.Fatal(err)
	}
	if !file.Uses(profile.Command) {
		t.Error("the command is not used")
	}
}

// Undo goes on although the run's context has ended.
func TestUndoAfterASignal(t *testing.T) {
	file := testFile(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	undo, err := file.Write(ctx, testProfile(t, "bitrise"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := undo(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file.path); err == nil {
		t.Error("the file is still there")
	}
}

// Twenty runs that write at once lose nothing of each other's.
func TestManyWriteAtOnce(t *testing.T) {
	file := testFile(t, "[default]\n")
	var group sync.WaitGroup
	for i := range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			if _, err := file.Write(t.Context(), testProfile(t, fmt.Sprintf("p%d", i))); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	if got := read(t, file.path); strings.Count(got, "[profile p") != 20 || !strings.HasPrefix(got, "[default]\n\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestFindConfigFile(t *testing.T) {
	for name, row := range map[string]struct {
		environment map[string]string
		config      string // empty: an error
	}{
		"home":        {map[string]string{"HOME": "/h"}, "/h/.aws/config"},
		"variables":   {map[string]string{"AWS_CONFIG_FILE": "/c", "AWS_SHARED_CREDENTIALS_FILE": "/d"}, "/c"},
		"one of two":  {map[string]string{"AWS_CONFIG_FILE": "/c"}, ""},
		"no home":     {nil, ""},
		"a tilde":     {map[string]string{"HOME": "/h", "AWS_CONFIG_FILE": "~/c"}, ""},
		"a variable":  {map[string]string{"HOME": "/h", "AWS_CONFIG_FILE": "$HOME/c"}, ""},
		"credentials": {map[string]string{"HOME": "/h", "AWS_SHARED_CREDENTIALS_FILE": "~/c"}, ""},
	} {
		file, err := FindConfigFile(func(key string) string { return row.environment[key] })
		if (err != nil) != (row.config == "") || (err == nil && file.String() != row.config) {
			t.Errorf("%s: %s, %v", name, file, err)
		}
	}
}

// Whatever stands in the file: it is left alone, or it stays and the section is added once.
func FuzzWithProfile(f *testing.F) {
	for _, seed := range []string{"", "[default]\nregion=x", section, "# a\r\n" + section + "[x]\n", beginMark, "[", "[]", "[profile \"bitrise\" ; ]\n", "\r", "[#]"} {
		f.Add(seed)
	}
	profile := Profile{Name: Name{text: "bitrise"}, Command: Command{text: `"/p" KEY`}}
	f.Fuzz(func(t *testing.T, old string) {
		content, err := withProfile([]byte(old), profile)
		if err != nil {
			return
		}
		if again, err := withProfile(content, profile); err != nil || string(again) != string(content) {
			t.Errorf("a second time:\n%q, %v\nfirst:\n%q", again, err, content)
		}
		if place, err := find(splitLines(old), profile.Name); err != nil {
			t.Errorf("%v, after it was no error", err)
		} else if place == nil && !strings.HasPrefix(string(content), old) {
			t.Errorf("%q became %q", old, content)
		}
	})
}
