package dockerlogin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

const (
	host  = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
	other = "210987654321.dkr.ecr.us-east-1.amazonaws.com"

	// entry is what a login looks like in the file: AWS:password-canary in base64.
	entry = `{"auth":"QVdTOnBhc3N3b3JkLWNhbmFyeQ=="}`
)

func loginsTo(hosts ...string) []Login {
	var logins []Login
	for _, name := range hosts {
		logins = append(logins, Login{Host: name, Password: secret.New("password-canary")})
	}
	return logins
}

func fileIn(folder string) File { return File(filepath.Join(folder, "config.json")) }

func fileWith(t testing.TB, content string) File {
	t.Helper()
	file := fileIn(t.TempDir())
	if err := os.WriteFile(string(file), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func commit(t *testing.T, change *sharedfile.Change, err error) {
	t.Helper()
	if err == nil {
		err = sharedfile.Commit(t.Context(), change)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func logIn(t *testing.T, file File, hosts ...string) []Entry {
	t.Helper()
	change, entries, err := file.PrepareLogins(loginsTo(hosts...))
	commit(t, change, err)
	return entries
}

// content returns the file's content without whitespace.
func content(t *testing.T, file File) string {
	t.Helper()
	raw, err := os.ReadFile(string(file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("\n", "", "\t", "", " ", "").Replace(string(raw))
}

func wantMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != want {
		t.Errorf("%s: %v, %v; want mode %o", filepath.Base(path), info, err, want)
	}
}

func wantEntries(t *testing.T, folder string, want int) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != want {
		t.Errorf("got %d entries in the folder, %v; want %d", len(entries), err, want)
	}
}

func TestFindFile(t *testing.T) {
	const wrong = "the variable %s must be an absolute path without ~, got %q"
	for name, row := range map[string]struct{ variable, home, path, err string }{
		"home":            {"", "/home/x", "/home/x/.docker/config.json", ""},
		"DOCKER_CONFIG":   {"/docker", "/home/x", "/docker/config.json", ""},
		"no home":         {"/docker", "", "/docker/config.json", ""},
		"neither":         {"", "", "", fmt.Sprintf(wrong, "HOME", "")},
		"relative home":   {"", "home", "", fmt.Sprintf(wrong, "HOME", "home")},
		"a tilde":         {"~/docker", "/home/x", "", fmt.Sprintf(wrong, "DOCKER_CONFIG", "~/docker")},
		"relative":        {"./docker", "/home/x", "", fmt.Sprintf(wrong, "DOCKER_CONFIG", "./docker")},
		"variable inside": {"$HOME/docker", "/home/x", "", fmt.Sprintf(wrong, "DOCKER_CONFIG", "$HOME/docker")},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := FindFile(func(key string) string {
				return map[string]string{"DOCKER_CONFIG": row.variable, "HOME": row.home}[key]
			})
			if string(file) != row.path || (err == nil) != (row.err == "") || err != nil && err.Error() != row.err {
				t.Errorf("got %s, %v", file, err)
			}
		})
	}
}

func TestLoginsCreateFileAndFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", ".docker")
	file := fileIn(folder)
	logIn(t, file, host)
	wantMode(t, folder, 0o700)
	wantMode(t, string(file), 0o600)
	raw, err := os.ReadFile(string(file))
	want := "{\n\t\"auths\": {\n\t\t\"" + host + "\": {\n\t\t\t\"auth\": \"QVdTOnBhc3N3b3JkLWNhbmFyeQ==\"\n\t\t}\n\t}\n}\n"
	if err != nil || string(raw) != want {
		t.Errorf("got %s, %v", raw, err)
	}
}

func TestPrepareLeavesTheFileAlone(t *testing.T) {
	file := fileWith(t, `{}`)
	change, _, err := file.PrepareLogins(loginsTo(host))
	if err != nil {
		t.Fatal(err)
	}
	wantEntries(t, filepath.Dir(string(file)), 2)
	change.Discard()
	wantEntries(t, filepath.Dir(string(file)), 1)
	if got := content(t, file); got != `{}` {
		t.Errorf("got %s", got)
	}
}

func TestCheckCreatesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "folder")
	if err := fileIn(folder).Check(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder was created: %v", err)
	}
}

// Reading a file that is not regular may never end.
func TestCheckRejectsPipes(t *testing.T) {
	file := fileIn(t.TempDir())
	if err := syscall.Mkfifo(string(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := file.Check(); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("got %v", err)
	}
}

func TestLogoutUndoesLogins(t *testing.T) {
	const before = `{"auths":{},"credsStore":"x"}`
	file := fileWith(t, before)
	change, removed, _, err := file.PrepareRemoval(logIn(t, file, host, other))
	commit(t, change, err)
	if got := content(t, file); got != before || len(removed) != 2 {
		t.Errorf("got %s, removed %q", got, removed)
	}
}

func TestLogoutCreatesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "folder")
	change, removed, kept, err := fileIn(folder).PrepareRemoval([]Entry{{Host: host}})
	commit(t, change, err)
	if len(removed) != 0 || len(kept) != 0 {
		t.Errorf("got removed %q and kept %q", removed, kept)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder was created: %v", err)
	}
}

// Changes that another program makes between Prepare and Commit are kept.
func TestChangesOfOthersAreKept(t *testing.T) {
	file := fileWith(t, `{}`)
	change, _, err := file.PrepareLogins(loginsTo(host))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(string(file), []byte(`{"auths":{"a":{}},"credsStore":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	commit(t, change, nil)
	if got, want := content(t, file), `{"auths":{"`+host+`":`+entry+`,"a":{}},"credHelpers":{"`+host+`":""},"credsStore":"x"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// BenchmarkStoreLogins replaces all logins of a file. ECR's passwords have about 2,500 characters.
func BenchmarkStoreLogins(b *testing.B) {
	for _, n := range []int{1000, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var versions [2][]Login
			for version := range versions {
				for i := range n {
					versions[version] = append(versions[version], Login{
						Host:     fmt.Sprintf("%012d.dkr.ecr.us-east-1.amazonaws.com", i),
						Password: secret.New(strings.Repeat(fmt.Sprint(version), 2500)),
					})
				}
			}
			file := fileWith(b, `{"credsStore":"x"}`)
			for i := 0; b.Loop(); i++ {
				change, _, err := file.PrepareLogins(versions[i%2])
				if err == nil {
					err = sharedfile.Commit(b.Context(), change)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
