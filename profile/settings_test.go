package profile

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func TestKey(t *testing.T) {
	base := Settings{"a": secret.New("1"), "b": secret.New("2")}
	for name, other := range map[string]Settings{
		"a value": {"a": secret.New("1"), "b": secret.New("3")}, "a name": {"a": secret.New("1"), "c": secret.New("2")},
		"one more": {"a": secret.New("1"), "b": secret.New("2"), "c": secret.New("x")}, "swapped": {"a": secret.New("2"), "b": secret.New("1")},
	} {
		if base.Key() == other.Key() {
			t.Errorf("%s: got the same key", name)
		}
	}
	if base.Key() != (Settings{"b": secret.New("2"), "a": secret.New("1"), "c": secret.New("")}).Key() {
		t.Error("an empty value: got another key")
	}
	if parsed, err := ParseKey(base.Key().String()); err != nil || parsed != base.Key() {
		t.Errorf("got %s, %v", parsed, err)
	}
	for _, wrong := range []string{"", "abc", strings.Repeat("A", 64), strings.Repeat("a", 65), "../" + strings.Repeat("a", 61)} {
		if _, err := ParseKey(wrong); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

func TestSettingsThatCannotBeRead(t *testing.T) {
	folder := Folder{root: t.TempDir(), version: "v"}
	key := Settings{"a": secret.New("1")}.Key()
	if _, err := folder.Settings(key); err == nil || !strings.HasSuffix(err.Error(), "settings.json does not exist") {
		t.Errorf("got %v", err)
	}
	for _, content := range []string{"", "canary", "null", "[]", `{"a":["canary"]}`} {
		write(t, folder.settingsPath(key), content)
		_, err := folder.Settings(key)
		if err == nil || strings.Contains(err.Error(), "canary") || !strings.HasSuffix(err.Error(), "settings.json is damaged") {
			t.Errorf("%s: got %v", content, err)
		}
		checkAdvice(t, err, "Run the Step again.")
	}
	write(t, folder.settingsPath(key), `{"a":"1"}`)
	if settings, err := folder.Settings(key); err != nil || settings.Get("a") != "1" || settings.Get("b") != "" {
		t.Errorf("got %v, %v", settings, err)
	}
}
