package sharedfile

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantEntries checks the names in a folder.
func wantEntries(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("%s contains %q, want %q", folder, names, want)
	}
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
		t.Errorf("%s: %v, %v; want mode %o", path, info, err, want)
	}
}

func appending(text string) Edit {
	return func(content []byte) ([]byte, error) { return append(append([]byte{}, content...), text...), nil }
}

func prepare(t *testing.T, file File, edit Edit) *Change {
	t.Helper()
	change, err := file.Prepare(edit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(change.Discard)
	return change
}

// commit commits changes and discards them, as the Step does.
func commit(t *testing.T, changes ...*Change) {
	t.Helper()
	if err := Commit(t.Context(), changes...); err != nil {
		t.Error(err)
	}
	for _, change := range changes {
		change.Discard()
	}
}

func wantAdvice(t *testing.T, err error, want string) {
	t.Helper()
	if do := strings.Join(explain.Of(err).Do, "\n"); err == nil || !strings.Contains(do, want) {
		t.Errorf("got %v, advice %q, want %q", err, do, want)
	}
}
