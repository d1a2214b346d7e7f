package profile

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	for _, name := range []string{
		"bitrise", "default", "Default", "a", "my döner profile", "ビルド 日本語", "हिन्दी", "e\u0301", "a.b_c-d/e%f@g:h+i", "4711", "two  spaces",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseName(" " + name + "\n"); err != nil || got.String() != name {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	for name, want := range map[string]string{
		"": "must be the name of a profile", "  ": "must be the name of a profile", "\xff": "must be UTF-8",
		"a]b": "']'", "a[b": "'['", `a"b`: `'"'`, "a'b": `'\''`, `a\b`: `'\\'`,
		"a#b": "'#'", "a;b": "';'", "a=b": "'='", "a,b": "','", "a$b": "'$'",
		"a`b": "'`'", "a\tb": `'\t'`, "a\nb": `'\n'`, "a\u00a0b": `'\u00a0'`, "a\u3000b": `'\u3000'`, "a\u200bb": `'\u200b'`, "a\x00b": `'\x00'`,
		"emoji😀": "'😀'", "(a)": "'('", "*": "'*'", "!": "'!'",
	} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			if got, err := ParseName(name); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestIsPortable(t *testing.T) {
	for name, want := range map[string]bool{
		"bitrise": true, "a.b_c-d/e%f@g:h+i": true, "AZaz09": true, "my profile": false,
		"döner": false, "日本": false, "٣": false, "e\u0301": false,
	} {
		if got := (Name{text: name}).IsPortable(); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestIsSection(t *testing.T) {
	for _, test := range []struct {
		name, section string
		want          bool
	}{
		{"bitrise", "profile bitrise", true},
		{"bitrise", "\tprofile  'bitrise' ", true},
		{"bitrise", `profile "bitrise"`, true},
		{"bitrise", "bitrise", false},
		{"bitrise", "profile Bitrise", false},
		{"bitrise", "profile bitrise2", false},
		{"bitrise", "profilebitrise", false},
		{"bitrise", "sso-session bitrise", false},
		{"bitrise", "default", false},
		{"bitrise", "", false},
		{"a b", `profile "a b"`, true},
		{"a b", `profile a\  b`, true},
		{"a b", "profile ab", false},
		{"default", "default", true},
		{"default", "profile default", true},
		{"default", "", false},
		{"default", "DEFAULT", false},
	} {
		if got := (Name{text: test.name}).isSection(test.section); got != test.want {
			t.Errorf("[%s] is the profile %s: got %v, want %v", test.section, test.name, got, test.want)
		}
	}
}
