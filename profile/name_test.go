package profile

import (
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	for _, name := range []string{"bitrise", "default", "Default", "a", "my döner profile", "ビルド 日本語", "हिन्दी", "e\u0301", "a.b_c-d/e%f@g:h+i", "4711", "two  blanks"} {
		if got, err := ParseName(" " + name + "\n"); err != nil || got.String() != name {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "  ", "a]b", "a[b", `a"b`, "a'b", `a\b`, "a#b", "a;b", "a=b", "a,b", "a$b", "a`b", "a\tb", "a\nb", "a\u00a0b", "a\u3000b", "a\u200bb", "a\x00b", "emoji😀", "\xff", "(a)", "*", "!"} {
		if got, err := ParseName(name); err == nil {
			t.Errorf("%q was taken as %q", name, got)
		}
	}
	if _, err := ParseName("a#b"); err == nil || !strings.Contains(err.Error(), "'#'") {
		t.Errorf("the error does not say which character it is: %v", err)
	}
}

func TestPortable(t *testing.T) {
	for name, want := range map[string]bool{"bitrise": true, "a.b_c-d/e%f@g:h+i": true, "ABZ-019": true, "my profile": false, "döner": false, "日本": false} {
		if got := (Name{text: name}).Portable(); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCommandCarriesOnlyWhatAllReadersSplitAlike(t *testing.T) {
	key := Settings{}.Key()
	for _, path := range []string{"/Users/vagrant/x", "/home/a b/ü/x", "/a'b/x", "/a#b;c/x", "/a%b(c)&d|e/x"} {
		if got, err := newCommand(path, key); err != nil || got.text != `"`+path+`" `+key.String() {
			t.Errorf("%q: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{`/a"b`, `/a\b`, "/a$b", "/a`b", "/a\nb", "/a\tb", "/a #b", "/a ;b", "/a\xffb"} {
		if got, err := newCommand(path, key); err == nil {
			t.Errorf("%q was taken as %q", path, got)
		}
	}
}
