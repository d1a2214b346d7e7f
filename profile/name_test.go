package profile

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	for _, name := range []string{"bitrise", "default", "Default", "a", "AZaz09", "a.b_c-d/e%f@g:h+i", "4711"} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseName(" " + name + "\n"); err != nil || got.String() != name {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	for _, name := range []string{
		"", "  ", "a b", "döner", "日本", "e\u0301", "٣", "\xff", "a]b", "a[b", `a"b`, "a'b", `a\b`, "a#b", "a;b", "a=b", "a,b", "$a",
		"a`b", "a\tb", "a\nb", "a\u00a0b", "a\u200bb", "a\x00b", "😀", "(a)", "*", "!",
	} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			want := fmt.Sprintf("must be ASCII letters, digits, and _.-/%%@:+, such as bitrise, got %q", strings.TrimSpace(name))
			if got, err := ParseName(name); err == nil || err.Error() != want {
				t.Errorf("got %q, %v", got, err)
			}
		})
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
		{"bitrise", `profile bit\rise`, true},
		{"bitrise", "bitrise", false},
		{"bitrise", "profile Bitrise", false},
		{"bitrise", "profile bitrise2", false},
		{"bitrise", `profile "my bitrise"`, false},
		{"bitrise", "profilebitrise", false},
		{"bitrise", "sso-session bitrise", false},
		{"bitrise", "default", false},
		{"bitrise", "", false},
		{"default", "default", true},
		{"default", "profile default", true},
		{"default", "", false},
		{"default", "DEFAULT", false},
	} {
		if got := (awsFile{}).isSection(Name{text: test.name}, test.section); got != test.want {
			t.Errorf("[%s] is the profile %s: got %v, want %v", test.section, test.name, got, test.want)
		}
	}
}
