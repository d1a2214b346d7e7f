package profile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// unreadableFiles maps files that Python's configparser or botocore rejects to the beginning of our error.
func unreadableFiles() map[string]string {
	return map[string]string{
		"region = x\n[default]\n":                "line 1: a setting must be in a section, which begins with [NAME]",
		"# comment\n\n; another\nx\n[default]\n": "line 4: a setting must be in a section, which begins with [NAME]",
		"[a]\nregion\n":                          "line 2: must be a section, a setting (NAME = VALUE), or a comment",
		"[a]\n= x\n":                             "line 2: must be a section, a setting (NAME = VALUE), or a comment",
		"[a]\n: x\n":                             "line 2: must be a section, a setting (NAME = VALUE), or a comment",
		"[a]\n  x\n":                             "line 2: must be a section, a setting (NAME = VALUE), or a comment",
		"[a]\nb = 1\nx\n":                        "line 3: must be a section, a setting (NAME = VALUE), or a comment",
		"[a]\n  b = 1\n  x\n":                    "line 3: must be a section, a setting (NAME = VALUE), or a comment",
		"[a]\n  b = 1\n x\n":                     "line 3: must be a section, a setting (NAME = VALUE), or a comment",
		"[a]\nb = 1\n[c]\n  x\n":                 "line 4: must be a section, a setting (NAME = VALUE), or a comment",
		"[default]\n[profile a]\n[default]\n":    "line 3: repeats the section of line 1",
		"[a]\n  [a]\n":                           "line 2: repeats the section of line 1",
		"[a]\nb = 1\n\n\nB : 2\n":                "line 5: repeats the setting of line 2",
		"[a]\nb c = 1\nb c  = 2\n":               "line 3: repeats the setting of line 2",
		"[a]\nÜ = 1\nü = 2\n":                    "line 3: repeats the setting of line 2",
		"[a]\nb = 1\n# [c]\nb = 1\n":             "line 4: repeats the setting of line 2",
		"[a\n":                                   "line 1: a section must be [NAME]",
		"[]\n":                                   "line 1: a section must be [NAME]",
		"[a]\ns3 =\n  x\n":                       "line 3: a nested setting must be NAME = VALUE",
		"[a]\ns3 =\n  x = 1\n\n  # comment\n  y : 2\n": "line 6: a nested setting must be NAME = VALUE",
		"[a]\ns3:\n\tx\n":             "line 3: a nested setting must be NAME = VALUE",
		"[a]\ns3 =\n  [x]\n":          "line 3: a nested setting must be NAME = VALUE",
		"\ufeff[default]\n":           "line 1: must be UTF-8 without a byte order mark",
		"\xff\xfe[\x00a\x00]\x00":     "line 1: must be UTF-8 without a byte order mark",
		"[a]\n# \xff\n":               "line 2: must be UTF-8 without a byte order mark",
		"[a]\nb = \xc3(\n":            "line 2: must be UTF-8 without a byte order mark",
		"[a]\ns3 =\n  x = 1\x0cy\n":   "line 3: must not contain control characters",
		"[a]\ns3 =\n  x = 1\u2028y\n": "line 3: must not contain control characters",
		"[a]\rb\n":                    "line 1: must not contain control characters",
	}
}

// rejectedFiles are rejected although Python reads them, because other programs parse them differently.
func rejectedFiles() map[string]string {
	return map[string]string{
		"[a]\r[b]\n":          "line 1: must not contain control characters",
		"[a]\n# b\rc = 1\n":   "line 2: must not contain control characters",
		"[a]\nb = \x00\n":     "line 2: must not contain control characters",
		"[a]\n[b = 1\n":       "line 2: a section must be [NAME]",
		"[a]\n[a] # or [b]\n": "line 2: repeats the section of line 1",
	}
}

func readableFiles() []string {
	return []string{
		"", "\n", "# comment", "[a]", "[a]\n", "[a]\r\nb = 1\r\n", "[a]\nb = 1\n\tc\n", "[a]\nb =\n  c = 1\n  d = 2\n",
		"[a]\nb = 1\n  c\n\n  d\n",
		"[a]\nb = 1\n[c]\nb = 1\n", "  [a]\n  b = 1\n", "[a]\n  b = 1\nc = 2\n", "[a]\nb : 1\n", "[a]\nb = c = d : e\n",
		"[a] # comment\nb = 1 # comment\n",
		"[a]\nb =\n\n# comment\nc = 1\n", "[a]\n\u00a0b = 1\n\u00a0\u00a0c\n", "[a]\n  b = 1\n\u00a0\u00a0\u00a0c\n",
		"[a]\nb=\n", "[a]\r\r\nb = 1\n",
		"[a]\n[b]\n[A]\n[ a ]\n", "[a]\nx\ufeff = 1\n", "[a]\nb = 1\n  [x]\n", "[a]\nb = 1\n  [x\n",
		"[a]\nb =\n  =\n", "[a]\nb = \"\n", "[a]\nb == 1\n", "[[a]\n",
	}
}

const cannotRead = "; the AWS CLI cannot read such a file"

func TestParse(t *testing.T) {
	for content, want := range unreadableFiles() {
		t.Run(fmt.Sprintf("%q", content), func(t *testing.T) {
			if _, err := parse([]byte(content)); err == nil || err.Error() != want+cannotRead {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	for content, want := range rejectedFiles() {
		t.Run(fmt.Sprintf("%q", content), func(t *testing.T) {
			if _, err := parse([]byte(content)); err == nil || err.Error() != want+cannotRead {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	for _, content := range readableFiles() {
		t.Run(fmt.Sprintf("%q", content), func(t *testing.T) {
			lines, err := parse([]byte(content))
			if want := len(slices.Collect(strings.Lines(content))); err != nil || len(lines) != want {
				t.Errorf("got %d lines, want %d; %v", len(lines), want, err)
			}
		})
	}
}

func TestParseFindsSections(t *testing.T) {
	const content = "[a]\n # [b]\n\t[c] ; [d]\nx = [e]\n  [f]\n  [g\n[h] [i]\n"
	lines, err := parse([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		if l.section != "" {
			got = append(got, l.section+content[l.begin:l.begin+3])
		}
	}
	if fmt.Sprintf("%q", got) != `["a[a]" "c\t[c" "f  [" "h[h]"]` {
		t.Errorf("got %q", got)
	}
}

// judge reads a file like the AWS CLI: with botocore.configloader.raw_config_parse or, without botocore, with the same steps.
const judge = `
import configparser, json, os, sys, tempfile

def read(path):
    parser = configparser.RawConfigParser(default_section=None)
    with open(path, encoding="utf-8") as file:
        parser.read_file(file)
    for section in parser.sections():
        for option in parser.options(section):
            value = parser.get(section, option)
            if value.startswith("\n"):
                for line in value.splitlines():
                    if line.strip():
                        key, value = line.split("=", 1)

try:
    from botocore.configloader import raw_config_parse as read
except ImportError:
    pass

verdicts = []
path = os.path.join(tempfile.mkdtemp(), "config")
for content in json.load(sys.stdin):
    with open(path, "wb") as file:
        file.write(bytes.fromhex(content))
    try:
        read(path)
        verdicts.append("")
    except Exception as error:
        verdicts.append(str(error))
os.remove(path)
os.rmdir(os.path.dirname(path))
json.dump(verdicts, sys.stdout)
`

// pythonVerdicts returns, for each file, Python's error or "".
func pythonVerdicts(t *testing.T, contents []string) []string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	var encoded []string
	for _, content := range contents {
		encoded = append(encoded, fmt.Sprintf("%x", content))
	}
	input, err := json.Marshal(encoded)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), python, "-X", "utf8", "-c", judge)
	command.Stdin = strings.NewReader(string(input))
	output, err := command.Output()
	var verdicts []string
	if err != nil || json.Unmarshal(output, &verdicts) != nil || len(verdicts) != len(contents) {
		t.Fatalf("%v: %s", err, output)
	}
	return verdicts
}

func TestPythonAgreesWithTheTables(t *testing.T) {
	var contents []string
	for content := range unreadableFiles() {
		contents = append(contents, content)
	}
	unreadable := len(contents)
	contents = append(contents, readableFiles()...)
	for content := range rejectedFiles() {
		contents = append(contents, content)
	}
	for i, verdict := range pythonVerdicts(t, contents) {
		if (verdict != "") != (i < unreadable) {
			t.Errorf("%q: got Python's verdict %q", contents[i], verdict)
		}
	}
}

// Files are generated from random parts of the grammar.
func TestPythonAgreesOnGeneratedFiles(t *testing.T) {
	parts := []string{
		"[a]", "[b]", "[ a ]", "[profile a]", "[a] ; x", "[b] x", "a = 1", "A=2", "b : 1", "b =", "a:", "c", "= 1",
		"x y = z", "# [a]", "; c", "", "\ufeff", "a = [b]", "[",
		"\u00a0", " ", "  ", "\t", " ", "\r", "\x00", "\xff", "=", "ü",
	}
	random := rand.New(rand.NewPCG(1, 2))
	contents := make([]string, 3000)
	for i := range contents {
		var content strings.Builder
		for range 1 + random.IntN(6) {
			content.WriteString(strings.Repeat(" ", max(0, random.IntN(5)-2)))
			for range 1 + random.IntN(5)/4 {
				// The last ones are rare, because most lines should be valid.
				content.WriteString(parts[min(random.IntN(len(parts)), random.IntN(len(parts)))])
			}
			content.WriteString("\n")
		}
		contents[i] = content.String()
	}
	accepted := 0
	for i, verdict := range pythonVerdicts(t, contents) {
		_, err := parse([]byte(contents[i]))
		switch {
		case err == nil && verdict != "":
			t.Errorf("%q was accepted, but Python's verdict is %q", contents[i], verdict)
		case err != nil && verdict == "" && !isStricter(contents[i], err):
			t.Errorf("%q: got %v, but Python accepts it", contents[i], err)
		case err == nil:
			accepted++
		}
	}
	if accepted < len(contents)/20 || accepted > len(contents)*19/20 {
		t.Errorf("%d of %d files were accepted; the generator should produce more of both kinds", accepted, len(contents))
	}
}

// isStricter reports whether a file is one of those of rejectedFiles.
func isStricter(content string, err error) bool {
	message := err.Error()
	return strings.Contains(message, "control characters") && strings.ContainsAny(content, "\r\x00") ||
		strings.Contains(message, "a section must be [NAME]") ||
		strings.Contains(message, "repeats the section") && strings.Count(content, "]") > 2
}
