package text_test

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "",
		" plain ":               "plain",
		"a\r\nb\tc":             "a  b c",
		"a\x1b[31mb\u009bc":     "a [31mb c",
		"a\u202eb":              "a b",
		"ünïcode ☃":             "ünïcode ☃",
		"0123456789":            "0123456789",
		"0123456789x":           "0123456789…",
		"\n\n0123456789":        "01234567…",
		strings.Repeat("ü", 11): strings.Repeat("ü", 10) + "…",
	} {
		if got := text.OneLine(in, 10); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	for length, want := range map[int]int{0: 0, 99: 99, 100: 100, 101: 101, 5000: 101} {
		if got := len([]rune(text.Shorten(strings.Repeat("ü", length)))); got != want {
			t.Errorf("%d characters became %d, want %d", length, got, want)
		}
	}
}
