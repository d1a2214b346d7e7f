package text_test

import (
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// No invisible characters and no parts of escape sequences are left.
func TestClean(t *testing.T) {
	for name, row := range map[string]struct{ in, want string }{
		"nothing to remove":            {" ünïcode ☃ 日本語\n\ta\u00a0b ", " ünïcode ☃ 日本語\n\ta\u00a0b "},
		"empty":                        {"", ""},
		"control characters":           {"a\rb\x00c\x7fd\u0085e\x08f", "a b c d e f"},
		"color":                        {"a\x1b[31mb\x1b[0mc\x1b[38;5;196md\x1b[me", "abcde"},
		"cursor":                       {"a\x1b[2Jb\x1b[1;1Hc\x1b[?25ld\x1b[ qe\x1b[!pf", "abcdef"},
		"8-bit control sequence":       {"a\u009b31mb", "ab"},
		"window title":                 {"a\x1b]0;title\x07b\x1b]0;title\x1b\\c\u009d0;title\u009cd", "abcd"},
		"link":                         {"a\x1b]8;;https://evil.example\x1b\\b\x1b]8;;\x1b\\c", "abc"},
		"device control and others":    {"a\x1bPq#0\x1b\\b\x1bXs\x1b\\c\x1b^p\x1b\\d\x1b_a\x1b\\e", "abcde"},
		"8-bit strings":                {"a\u0090x\u009cb\u0098x\u009cc\u009ex\u009cd\u009fx\u009ce", "abcde"},
		"two characters":               {"a\x1bcb\x1b7c\x1b=d\x1b~e", "abcde"},
		"character set":                {"a\x1b(Bb\x1b#8c\x1b%Gd", "abcd"},
		"string without its end":       {"a\x1b]0;title\nb", "a0;title\nb"},
		"control sequence without end": {"a\x1b[31\nb", "a31\nb"},
		"escape at the end":            {"a\x1b", "a "},
		"escape before a line feed":    {"a\x1b\nb", "a \nb"},
		"line separators":              {"a\u2028b\u2029c", "a b c"},
		"bidirectional":                {"a\u202eb\u2066c\u200ed\u061ce", "a b c d e"},
		"zero width":                   {"a\u200bb\u200cc\u200dd\ufeffe\u2060f", "a b c d e f"},
		"soft hyphen":                  {"a\u00adb", "a b"},
		"fillers":                      {"a\u115fb\u1160c\u3164d\uffa0e\u034ff\u17b4g", "a b c d e f g"},
		"variation selectors":          {"a\ufe0fb\U000e0100c\u180bd", "a b c d"},
		"tags":                         {"a\U000e0041b", "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text.Clean(row.in); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		" plain ":           "plain",
		"a\r\nb\tc":         "a  b c",
		"a\x1b[31mb\u202ec": "ab c",
		"ünïcode ☃":         "ünïcode ☃",
		"\n\n0123456789":    "0123456789",
	} {
		t.Run(in, func(t *testing.T) {
			if got := text.Line(in); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestIsGraphicASCII(t *testing.T) {
	for in, want := range map[string]bool{"": true, "!AKIA/+=~": true, "a b": false, "a\n": false, "a\x7f": false, "ä": false} {
		t.Run(in, func(t *testing.T) {
			if got := text.IsGraphicASCII(in); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
