package step

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// One session that cannot be removed keeps no other from being removed. It is reported, and stays in the record until it is gone.
func TestRemovalContinuesAfterAnError(t *testing.T) {
	home := t.TempDir()
	folder, err := profile.FolderIn(home)
	if err != nil {
		t.Fatal(err)
	}
	config := profile.ConfigFile{Path: filepath.Join(home, "config"), Credentials: filepath.Join(home, "credentials")}
	b := build{Slug: "aborted"}
	now := time.Now()
	var sections string
	var written []writtenProfile
	for _, name := range []string{"stuck", "other"} {
		session := profile.Session("0123456789abcdef/" + strings.Repeat("abcdef"[len(written):][:1], 64))
		version, key := filepath.Split(string(session))
		path := folder.Path(string(session), "settings.json")
		if name == "stuck" {
			path = filepath.Join(path, "full")
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("{}"), 0o600)); err != nil {
			t.Fatal(err)
		}
		sections += "[profile " + name + "]\ncredential_process = " + folder.Path(version, profile.ProgramName) + " " +
			profile.Subcommand + " " + key + "\n"
		written = append(written, writtenProfile{File: config, Name: name, Session: session, Written: now.UTC()})
	}
	change, err := prepareRecord(folder, b, func(r *record) { r.Profiles = written })
	if err := errors.Join(err, apply(t.Context(), change), os.WriteFile(config.Path, []byte(sections), 0o600)); err != nil {
		t.Fatal(err)
	}
	recorded := func() int {
		r, err := readRecord(recordPath(folder, b))
		if err != nil {
			t.Error(err)
		}
		return len(r.Profiles)
	}
	run := Step{Log: report.NewPlainLog(io.Discard), Now: func() time.Time { return now }}
	sweep := func(after time.Duration) error {
		now = now.Add(after)
		return run.sweep(t.Context(), folder)
	}

	if err := sweep(unusedAge - time.Hour); err != nil || recorded() != len(written) {
		t.Errorf("before a day has passed: got %v", err)
	}
	stuck := folder.Path(string(written[0].Session), "settings.json")
	if err := sweep(2 * time.Hour); err == nil || !strings.Contains(err.Error(), stuck) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(folder.Path(string(written[1].Session))); !os.IsNotExist(err) || recorded() != 1 {
		t.Errorf("the other session: got %v, and %d sessions in the record", err, recorded())
	}
	if content, err := os.ReadFile(config.Path); err != nil || !strings.HasPrefix(string(content), "[profile stuck]") ||
		strings.Contains(string(content), "[profile other]") {
		t.Errorf("got %v\n%s", err, content)
	}
	if err := errors.Join(os.RemoveAll(stuck), sweep(2*unusedAge)); err != nil {
		t.Error(err)
	}
	folder.RemoveIfEmpty(recordFolder)
	if content, err := os.ReadFile(config.Path); err != nil || len(content) > 0 {
		t.Errorf("got %v\n%s", err, content)
	}
	if _, err := os.Stat(folder.String()); !os.IsNotExist(err) {
		t.Errorf("the Step's folder was left: %v", err)
	}
}

// If a profile can't be removed, its program is kept, because it says what is wrong.
func TestProfileThatCannotBeRemovedKeepsItsProgram(t *testing.T) {
	home := t.TempDir()
	folder, err := profile.FolderIn(home)
	if err != nil {
		t.Fatal(err)
	}
	session := profile.Session("0123456789abcdef/" + strings.Repeat("a", 64))
	program := folder.Path(filepath.Dir(string(session)), profile.ProgramName)
	config := profile.ConfigFile{Path: filepath.Join(home, "config"), Credentials: filepath.Join(home, "credentials")}
	entries := record{Profiles: []writtenProfile{{File: config, Name: "bitrise", Session: session}}}
	err = errors.Join(os.MkdirAll(folder.Path(string(session)), 0o700), os.WriteFile(program, nil, 0o600),
		os.WriteFile(folder.Path(string(session), "settings.json"), nil, 0o600), os.WriteFile(config.Path, []byte("not a section"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	log := report.NewPlainLog(io.Discard)
	if err := remove(t.Context(), log, folder, entries, time.Time{}); err == nil || !strings.Contains(err.Error(), config.Path) {
		t.Errorf("got %v", err)
	}
	_, errProgram := os.Stat(program)
	_, errSettings := os.Stat(folder.Path(string(session), "settings.json"))
	if errProgram != nil || !os.IsNotExist(errSettings) {
		t.Errorf("the program: %v, the settings: %v", errProgram, errSettings)
	}
}
