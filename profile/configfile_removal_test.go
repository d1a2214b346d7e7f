package profile

import (
	"strings"
	"testing"
)

func TestPrepareRemoval(t *testing.T) {
	other := strings.ReplaceAll(section, "bitrise", "another")
	for name, test := range map[string]struct{ before, after string }{
		"alone":                 {section, ""},
		"CRLF alone":            {crlf(section), ""},
		"below another":         {"[default]\nregion = x\n\n" + section, "[default]\nregion = x\n"},
		"below without a space": {"[default]\n" + section, "[default]\n"},
		"below two empty lines": {"[default]\n\n\n" + section, "[default]\n\n"},
		"below an empty line":   {"\n" + section, ""},
		"above another":         {section + other, other},
		"between others":        {"[default]\n\n" + section + "\n[a]\n", "[default]\n\n[a]\n"},
		"CRLF":                  {crlf("[default]\n\n" + section + "[a]\n"), crlf("[default]\n[a]\n")},
		"CRLF, empty line":      {crlf("\n" + section), ""},
		"edited":                {strings.Replace(section, "region", "output = json\nregion", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := testFile(t, test.before)
			change, command, err := file.PrepareRemoval(testProfile(t, "bitrise").Name)
			if err != nil || command.text != "/p credential-process KEY" {
				t.Fatalf("got %q, %v", command.text, err)
			}
			if got := read(t, file.path); got != test.before {
				t.Errorf("before the commit: got %q", got)
			}
			write(t, file.path, strings.ReplaceAll(test.before, "another", "changed"))
			commit(t, change)
			if got := read(t, file.path); got != strings.ReplaceAll(test.after, "another", "changed") {
				t.Errorf("got %q, want %q", got, test.after)
			}
		})
	}
}

func TestRemovalOfAMissingProfile(t *testing.T) {
	for _, content := range []string{"", "[default]\n", strings.ReplaceAll(section, "bitrise", "another")} {
		file := testFile(t, content)
		change, command, err := file.PrepareRemoval(testProfile(t, "bitrise").Name)
		if change != nil || command != (Command{}) || err != nil {
			t.Errorf("%q: got %v, %v, %v", content, change, command, err)
		}
	}
	// A profile without a command.
	file := testFile(t, beginMark+"\n[profile bitrise]\n"+endMark+"\n")
	if change, command, err := file.PrepareRemoval(testProfile(t, "bitrise").Name); change == nil || command != (Command{}) || err != nil {
		t.Errorf("got %v, %v, %v", change, command, err)
	}
	// Another run has removed it in the meantime.
	file = testFile(t, section)
	change, _, err := file.PrepareRemoval(testProfile(t, "bitrise").Name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file.path, "[default]\n")
	commit(t, change)
	if got := read(t, file.path); got != "[default]\n" {
		t.Errorf("got %q", got)
	}
}
