package profile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// testProgram stands for the Step's program.
const testProgram = "#!/bin/sh\n[ \"$1\" = --help ]\n"

func testFolder(t *testing.T) (folder Folder, program string) {
	t.Helper()
	folder, err := FolderIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(t.TempDir(), "step")
	write(t, program, testProgram)
	return folder, program
}

func TestInstall(t *testing.T) {
	folder, program := testFolder(t)
	settings := Settings{"role_arn": secret.New("arn"), "secret_access_key": secret.New("canary-key"), "empty": secret.New("")}
	command, _, err := folder.Install(t.Context(), program, settings, testCredentials("first", time.Hour), noon())
	if err != nil {
		t.Fatal(err)
	}
	kept, key, _ := strings.Cut(command.text, `" `)
	kept = strings.TrimPrefix(kept, `"`)
	if got := read(t, kept); got != testProgram || filepath.Base(kept) != ProgramName || FolderOf(kept) != folder {
		t.Errorf("%s is kept as %s", got, kept)
	}
	parsed, err := ParseKey(key)
	if err != nil || parsed != settings.Key() {
		t.Errorf("%s: %v", key, err)
	}
	if answer, err := folder.Cache(parsed).Get(t.Context(), at(0), never(t)); err != nil || answer.AccessKeyID.Reveal() != "first" {
		t.Errorf("%+v, %v", answer, err)
	}
	got, err := folder.Settings(parsed)
	if err != nil || len(got) != 2 || got.Get("role_arn") != "arn" || got.Get("secret_access_key") != "canary-key" {
		t.Errorf("%v, %v", got, err)
	}
	for path, mode := range map[string]os.FileMode{
		"": 0o700, "sessions": 0o700, "cache": 0o700, filepath.Base(filepath.Dir(kept)): 0o700, filepath.Base(filepath.Dir(kept)) + "/" + ProgramName: 0o700,
		"sessions/" + key + ".json": 0o600, "cache/" + key + ".json": 0o600, "cache/" + key + ".lock": 0o600,
	} {
		checkMode(t, filepath.Join(folder.path, path), mode)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, testCredentials("x", 0)); strings.Contains(text, "canary") {
		t.Errorf("a secret shows in %s", text)
	}
}

// The program is copied once, and again when it is another one or is damaged. A folder that others may read is closed.
func TestKeepProgram(t *testing.T) {
	folder, program := testFolder(t)
	if err := os.MkdirAll(folder.path, 0o777); err != nil {
		t.Fatal(err)
	}
	first, err := folder.keepProgram(program)
	if err != nil {
		t.Fatal(err)
	}
	checkMode(t, folder.path, 0o700)
	before, _ := os.Stat(first)
	if again, err := folder.keepProgram(program); err != nil || again != first {
		t.Errorf("%s, %v", again, err)
	}
	if after, _ := os.Stat(first); !os.SameFile(before, after) {
		t.Error("the same program was copied again")
	}
	if err := os.WriteFile(first, []byte("short"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.keepProgram(program); err != nil || read(t, first) != testProgram {
		t.Errorf("a damaged program stays: %v", err)
	}
	write(t, program, "another program")
	if second, err := folder.keepProgram(program); err != nil || second == first || read(t, first) != testProgram || read(t, second) != "another program" {
		t.Errorf("%s, %v", second, err)
	}
}

// A program that cannot be run is found out at once, and no session is kept.
func TestProgramThatCannotBeRun(t *testing.T) {
	folder, program := testFolder(t)
	write(t, program, "#!/bin/sh\necho broken\nexit 1\n")
	settings := Settings{}
	_, _, err := folder.Install(t.Context(), program, settings, testCredentials("x", time.Hour), noon())
	if err == nil || !strings.Contains(err.Error(), "it cannot be run there: exit status 1 broken") {
		t.Errorf("got %v", err)
	}
	if _, err := folder.Settings(settings.Key()); err == nil {
		t.Error("the session was kept")
	}
}

// Undo takes back the session, but not one that was there before.
func TestUndoInstall(t *testing.T) {
	folder, program := testFolder(t)
	settings := Settings{"role_arn": secret.New("arn")}
	install := func() func() error {
		_, undo, err := folder.Install(t.Context(), program, settings, testCredentials("x", time.Hour), noon())
		if err != nil {
			t.Fatal(err)
		}
		return undo
	}
	if err := install()(); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Settings(settings.Key()); err == nil || !strings.Contains(err.Error(), "is not there; run the Step again") {
		t.Errorf("the settings are still there: %v", err)
	}
	if _, err := os.Stat(folder.Cache(settings.Key()).path); err == nil {
		t.Error("the credentials are still there")
	}
	install()
	if err := install()(); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Settings(settings.Key()); err != nil {
		t.Errorf("an earlier session is gone: %v", err)
	}
}

// All that shapes a session makes its key, and nothing else does.
func TestKey(t *testing.T) {
	base := Settings{"a": secret.New("1"), "b": secret.New("2")}
	for name, other := range map[string]Settings{
		"a value": {"a": secret.New("1"), "b": secret.New("3")}, "a name": {"a": secret.New("1"), "c": secret.New("2")},
		"one more": {"a": secret.New("1"), "b": secret.New("2"), "c": secret.New("x")}, "swapped": {"a": secret.New("2"), "b": secret.New("1")},
	} {
		if base.Key() == other.Key() {
			t.Errorf("%s makes no difference", name)
		}
	}
	if base.Key() != (Settings{"b": secret.New("2"), "a": secret.New("1"), "c": secret.New("")}).Key() {
		t.Error("an empty value makes a difference")
	}
	for _, wrong := range []string{"", "abc", strings.Repeat("A", 64), strings.Repeat("a", 65), "../" + strings.Repeat("a", 61)} {
		if _, err := ParseKey(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func TestSettingsThatCannotBeRead(t *testing.T) {
	folder, _ := testFolder(t)
	key := Settings{}.Key()
	if err := folder.mkdir("sessions"); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"canary", "{}", `{"version":2,"values":{"a":"canary"}}`, `{"version":1,"values":{"a":["canary"]}}`} {
		write(t, folder.settingsPath(key), content)
		if _, err := folder.Settings(key); err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "run the Step again") {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestInstallThatFailsLeavesNoSession(t *testing.T) {
	folder, program := testFolder(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	settings := Settings{}
	unlockCache := folder.Cache(settings.Key())
	if err := unlockCache.Store(t.Context(), testCredentials("x", time.Hour), noon()); err != nil {
		t.Fatal(err)
	}
	// Somebody holds the cache's lock, and the run ends meanwhile.
	_, _ = unlockCache.Get(t.Context(), at(time.Hour), func(context.Context) (Credentials, error) {
		if _, _, err := folder.Install(ended, program, settings, testCredentials("y", time.Hour), noon()); err == nil {
			t.Error("the lock was not respected")
		}
		return testCredentials("z", 2*time.Hour), nil
	})
	if _, err := folder.Settings(settings.Key()); err == nil {
		t.Error("settings were left behind")
	}
}
