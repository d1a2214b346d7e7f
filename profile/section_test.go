package profile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// otherSection is the profile of another session, written by another version of the program.
const otherSection = "[profile other]\n" + note + "\nregion = x\ncredential_process = '/a b/" +
	"fedcba9876543210/" + ProgramName + "' credential-process " + testKey + "\n"

// oursWith returns the section of the profile bitrise with other settings in it, where the Step writes them.
func oursWith(others string) string {
	return strings.Replace(bitriseSection, "region", others+"region", 1)
}

func TestPrepareProfile(t *testing.T) {
	old := strings.ReplaceAll(bitriseSection, "eu-west-1", "us-east-2")
	odd := "# mine\n[default]\nregion=x\n\n  [profile a]  ; odd\nkey = [profile bitrise]\n"
	similar := "[bitrise]\n[profile bitrise2]\n[profile a bitrise]\n[sso-session bitrise]\n[services bitrise]\n[profile Bitrise]\n"
	const process = "credential_process = " + testCommand + "\n"
	const s3 = "s3 =\n  max_concurrent_requests = 5\n\n  # slow\n\tuse_accelerate_endpoint = true\n"
	for name, test := range map[string]struct{ before, after string }{
		"no file":                {"", bitriseSection},
		"other profiles":         {odd, odd + "\n" + bitriseSection},
		"no line end":            {"[default]\nregion=x", "[default]\nregion=x\n" + bitriseSection},
		"only a line end":        {"\n", "\n\n" + bitriseSection},
		"CRLF":                   {crlf("[default]\nregion=x\n"), crlf("[default]\nregion=x\n\n" + bitriseSection)},
		"CRLF, no line end":      {"[a]\r\nregion=x", crlf("[a]\nregion=x\n" + bitriseSection)},
		"LF, then CRLF":          {"[a]\nregion=x\r\n", "[a]\nregion=x\r\n\n" + bitriseSection},
		"CRLF, then LF":          {"[a]\r\nregion=x\n", "[a]\r\nregion=x\n" + crlf("\n"+bitriseSection)},
		"replaced":               {"# a\n" + old + "\n[default]\nregion=x", "# a\n" + bitriseSection + "\n[default]\nregion=x"},
		"replaced, CRLF":         {crlf("# a\n" + old + "[default]\n"), crlf("# a\n" + bitriseSection + "[default]\n")},
		"replaced, indented":     {"\t" + old, bitriseSection},
		"replaced, no line end":  {strings.TrimSuffix(old, "\n"), bitriseSection},
		"unchanged":              {bitriseSection, bitriseSection},
		"another session":        {strings.ReplaceAll(otherSection, "other]", "bitrise]"), bitriseSection},
		"after another profile":  {otherSection + "\n" + old, otherSection + "\n" + bitriseSection},
		"before another profile": {old + otherSection, bitriseSection + otherSection},
		"comments below":         {old + "\n# mine\n[a]\n", bitriseSection + "\n# mine\n[a]\n"},
		"comments above":         {"# mine\n\n" + old, "# mine\n\n" + bitriseSection},
		"similar names":          {similar, similar + "\n" + bitriseSection},
		"without the note":       {"[profile bitrise]\n" + process, bitriseSection},
		"only a note":            {note + "\n", note + "\n\n" + bitriseSection},

		// As aws configure set writes them.
		"a setting below":    {old + "output = json\n", oursWith("output = json\n")},
		"a setting above":    {oursWith("output = json\n"), oursWith("output = json\n")},
		"below, no line end": {old + "output = json", oursWith("output = json\n")},
		"below, CRLF":        {crlf(old + "output = json\n[a]\n"), crlf(oursWith("output = json\n") + "[a]\n")},
		"settings around":    {"[profile bitrise]\na = 1\n" + process + "b = 2\n\n[c]\n", oursWith("a = 1\nb = 2\n") + "\n[c]\n"},
		"nested settings":    {old + s3 + "output = json\n", oursWith(s3 + "output = json\n")},
		"indented":           {"[profile bitrise]\n  a = 1\n  " + process + "  b = 2\n", oursWith("  a = 1\n  b = 2\n")},
		"comments":           {"[profile bitrise]\n# a\n" + process + "\n; b\noutput = json\n", oursWith("# a\n\n; b\noutput = json\n")},
		"in upper case":      {"[profile bitrise]\nREGION: x\nCredential_Process : " + testCommand + "\n", bitriseSection},
		"more lines of ours": {"[profile bitrise]\n" + process + "# a\n  b = c\nregion = x\n  y\noutput=json\n", oursWith("# a\noutput=json\n")},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, test.before)
			change, err := file.PrepareProfile(testProfile(t, "bitrise"))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(file.Path); string(got) != test.before || (err != nil) != (test.before == "") {
				t.Errorf("before the commit: got %q, %v", got, err)
			}
			commit(t, change...)
			if got := read(t, file.Path); got != test.after {
				t.Errorf("got:\n%q\nwant:\n%q", got, test.after)
			}
			file.add(t, testProfile(t, "bitrise"))
			if got := read(t, file.Path); got != test.after {
				t.Errorf("the second time, got:\n%q", got)
			}
			if got := tree(t, filepath.Dir(file.Path)); len(got) > 1 {
				t.Errorf("left behind: %q", got)
			}
		})
	}
}

// Every section that runs one of the sessions is removed, with all its settings, and nothing else.
func TestPrepareRemoval(t *testing.T) {
	copied := strings.Replace(bitriseSection, "profile bitrise", "profile copied", 1)
	def := strings.Replace(bitriseSection, "profile bitrise", "default", 1)
	foreign := "[profile foreign]\ncredential_process = /p credential-process " + testKey + "\n"
	// For the AWS CLI, the section a has everything; for others, there is b, too.
	indented := "[a]\ncredential_process = " + testCommand + "\n  [b]\noutput = json\n"
	for name, test := range map[string]struct{ before, after, removed string }{
		"alone":                  {bitriseSection, "", "bitrise"},
		"CRLF alone":             {crlf(bitriseSection), "", "bitrise"},
		"below another":          {"[default]\nregion = x\n\n" + bitriseSection, "[default]\nregion = x\n", "bitrise"},
		"below without a space":  {"[default]\n" + bitriseSection, "[default]", "bitrise"},
		"below two empty lines":  {"[default]\n\n\n" + bitriseSection, "[default]\n\n", "bitrise"},
		"below an empty line":    {"\n" + bitriseSection, "", "bitrise"},
		"above another":          {bitriseSection + otherSection, otherSection, "bitrise"},
		"between others":         {"[default]\n\n" + bitriseSection + "\n[a]\n", "[default]\n\n[a]\n", "bitrise"},
		"between, without space": {"[default]\n" + bitriseSection + "[a]\n", "[default]\n[a]\n", "bitrise"},
		"CRLF":                   {crlf("[default]\n\n" + bitriseSection + "[a]\n"), crlf("[default]\n[a]\n"), "bitrise"},
		"mixed line ends":        {"[default]\r\n\n" + bitriseSection + "[a]\n", "[default]\r\n\n[a]\n", "bitrise"},
		"CRLF, empty line":       {crlf("\n" + bitriseSection), "", "bitrise"},
		"with other settings":    {"# a\n" + bitriseSection + "output = json\ns3 =\n  x = y\n\n# b\n[c]\n", "# a\n\n# b\n[c]\n", "bitrise"},
		"renamed":                {copied, "", "copied"},
		"default":                {def + "\n# mine\n", "\n# mine\n", "default"},
		"not a profile":          {strings.Replace(bitriseSection, "profile bitrise", "bitrise", 1), "", "bitrise"},
		"quoted":                 {strings.Replace(bitriseSection, "profile bitrise", `profile "bitrise"`, 1), "", "bitrise"},
		"several":                {"[a]\n\n" + bitriseSection + "\n[b]\n\n" + copied, "[a]\n\n[b]\n", "bitrise copied"},
		"several, adjacent":      {bitriseSection + copied, "", "bitrise copied"},
		"adjacent below another": {"[a]\n" + bitriseSection + copied, "[a]", "bitrise copied"},
		"foreign":                {foreign, foreign, ""},
		"an indented section":    {indented, indented, ""},
		"no file":                {"", "", ""},
		"another session":        {otherSection, otherSection, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, test.before)
			change, removed, err := file.PrepareRemoval([]Session{bitriseSession, testVersion + "/another"})
			if err != nil || strings.Join(removed, " ") != test.removed {
				t.Fatalf("got %q, %v", removed, err)
			}
			if exists(file.Path) {
				if got := read(t, file.Path); got != test.before {
					t.Errorf("before the commit: got %q", got)
				}
				write(t, file.Path, strings.ReplaceAll(test.before, "default", "changed"))
			}
			commit(t, change...)
			if got, want := exists(file.Path), test.before != ""; got != want {
				t.Errorf("the file exists: %v, want %v", got, want)
			} else if got && read(t, file.Path) != strings.ReplaceAll(test.after, "default", "changed") {
				t.Errorf("got %q, want %q", read(t, file.Path), test.after)
			}
		})
	}
}

// A file that the AWS CLI can't read is not changed. Without sessions, nothing is removed.
func TestPrepareRemovalWithoutEffect(t *testing.T) {
	file := testFile(t, "[a]\n[a]\n")
	_, _, err := file.PrepareRemoval([]Session{bitriseSession})
	if err == nil || err.Error() != file.Path+", line 2: repeats the section of line 1"+cannotRead {
		t.Errorf("got %v", err)
	}
	checkAdvice(t, err, "Correct the file, or set AWS_CONFIG_FILE to a different one for this workflow.")
	write(t, file.Path, bitriseSection)
	change, removed, err := file.PrepareRemoval(nil)
	if err != nil || len(removed) > 0 {
		t.Fatalf("got %q, %v", removed, err)
	}
	commit(t, change...)
	if got := read(t, file.Path); got != bitriseSection {
		t.Errorf("got %q", got)
	}
	// The profile is replaced between Prepare and Commit.
	change, _, err = file.PrepareRemoval([]Session{bitriseSession})
	if err != nil {
		t.Fatal(err)
	}
	replaced := strings.ReplaceAll(otherSection, "other]", "bitrise]")
	write(t, file.Path, replaced)
	commit(t, change...)
	if got := read(t, file.Path); got != replaced {
		t.Errorf("got %q", got)
	}
}

// Any file is either rejected, or the profile is added, and its removal gives back exactly the file. A second write changes nothing.
func FuzzWithProfile(f *testing.F) {
	for _, seed := range []string{
		"", "[default]\nregion=x", bitriseSection, "# a\r\n" + bitriseSection + "[x]\n", note, "[", "[]", "[profile \"bitrise\" ; ]\n",
		"\r", "[#]", "[a]\nb=\n c=d\n", " \r\n\n", "a", "[a]\nb=c", "[a]\nb=c\r", "\n", "[a]\r\n\n",
		bitriseSection + "output = json", bitriseSection + otherSection, "[a]\nb = c\n  [profile bitrise]\n",
		strings.Replace(bitriseSection, "bitrise", "a", 1), strings.ReplaceAll(otherSection, "other]", "bitrise]") + "s3 =\n  a = b\n",
		bitriseSection + strings.Replace(bitriseSection, "bitrise", "a", 1), bitriseSection + "  [x]\nregion = y\n",
		"[profile bitrise]\ncredential_process = " + testCommand + "\n  [x]\nregion = y\n",
		"[a]\nb = c\n[profile bitrise]\ncredential_process = " + testCommand + "\n  [x]\noutput = y\n",
		"[e]\ncredential_process=" + testCommand + "\n [x]\n =",
	} {
		f.Add(seed)
	}
	p := Profile{Name: Name{text: "bitrise"}, Command: Command{text: testCommand}}
	sessions := []Session{bitriseSession}
	var config awsFile
	f.Fuzz(func(t *testing.T, old string) {
		content, err := config.withProfile([]byte(old), p)
		if err != nil {
			return
		}
		if again, err := config.withProfile(content, p); err != nil || string(again) != string(content) {
			t.Errorf("%q: the second time: got\n%q, %v\nthe first time:\n%q", old, again, err, content)
		}
		rest, removed, err := withoutSessions(content, sessions)
		if err != nil || !slices.Contains(removed, "bitrise") {
			t.Errorf("%q: got %q, %v", content, removed, err)
		}
		if left, err := config.find(rest, p.Name); left.lines != nil || err != nil {
			t.Errorf("%q: got %q, %v after the removal", content, rest, err)
		}
		if more, removed, err := withoutSessions(rest, sessions); err != nil || len(removed) > 0 || string(more) != string(rest) {
			t.Errorf("%q: a second removal: got %q, %q, %v", rest, more, removed, err)
		}
		place, err := config.find([]byte(old), p.Name)
		if err != nil {
			t.Errorf("%q: got %v the second time, but no error the first time", old, err)
		}
		if _, earlier, _ := withoutSessions([]byte(old), sessions); place.lines == nil && len(earlier) == 0 && string(rest) != old {
			t.Errorf("%q: got %q after the removal", old, rest)
		}
	})
}
