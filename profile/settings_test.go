package profile

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func TestKey(t *testing.T) {
	key := KeyOf(secret.New("a"))
	if key == KeyOf(secret.New("b")) || key != KeyOf(secret.New("a")) {
		t.Error("the key does not identify the settings")
	}
	if parsed, err := ParseKey(key.String()); err != nil || parsed != key {
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
	key := KeyOf(secret.New("x"))
	_, err := folder.Settings(key)
	if err == nil || !strings.HasSuffix(err.Error(), "settings.json does not exist") {
		t.Errorf("got %v", err)
	}
	checkAdvice(t, err, "Run the Step again.")
	write(t, folder.settingsPath(key), "x")
	if settings, err := folder.Settings(key); err != nil || settings.Reveal() != "x" {
		t.Errorf("got %v, %v", settings, err)
	}
}
