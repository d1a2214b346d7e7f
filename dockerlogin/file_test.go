package dockerlogin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dockerconfig "github.com/docker/cli/cli/config"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

const host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"

func testLogin() []Login { return loginsTo(host) }

func loginsTo(hosts ...string) []Login {
	var logins []Login
	for _, host := range hosts {
		logins = append(logins, Login{Registry: Registry{host: host}, Username: "AWS", Password: secret.New("password-canary")})
	}
	return logins
}

func TestStoreMakesFileAndFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", ".docker")
	file := FileIn(folder)
	if _, err := file.Store(t.Context(), testLogin()); err != nil {
		t.Fatal(err)
	}
	checkMode(t, folder, 0o700)
	checkMode(t, file.String(), 0o600)
	// Read back by Docker's own library.
	config, err := dockerconfig.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.AuthConfigs[host]; got.Username != "AWS" || got.Password != "password-canary" {
		t.Errorf("Docker finds the user %q", got.Username)
	}
	if config.CredentialHelpers != nil {
		t.Errorf("helpers were written: %v", config.CredentialHelpers)
	}
}

func TestStoreKeepsEverythingElse(t *testing.T) {
	file := fileWith(t, `{"auths":{"other":{"auth":"a2VwdDprZXB0","future":1},"`+host+`":{"auth":"b2xkOm9sZA==","identitytoken":"old"}},
		"HttpHeaders":{"X":"<&>"},"currentContext":"colima","newInVersion99":{"deep":[1,2.50,{"x":null}]},"psFormat":"{{.ID}}"}`)
	if _, err := file.Store(t.Context(), testLogin()); err != nil {
		t.Fatal(err)
	}
	got := parse(t, file)
	if string(got["newInVersion99"]) == "" || !strings.Contains(compact(t, got["newInVersion99"]), `{"deep":[1,2.50,{"x":null}]}`) ||
		compact(t, got["HttpHeaders"]) != `{"X":"<&>"}` || compact(t, got["currentContext"]) != `"colima"` {
		t.Errorf("something was lost: %v", got)
	}
	var auths map[string]map[string]any
	if err := json.Unmarshal(got["auths"], &auths); err != nil || len(auths) != 2 || auths["other"]["future"] != 1.0 || auths[host]["identitytoken"] != nil {
		t.Errorf("auths are %v, %v", auths, err)
	}
	checkMode(t, file.String(), 0o600) // it was 0644
}

// An empty helper is written only where a store or a helper would shadow the login.
func TestStoreAndHelpers(t *testing.T) {
	for name, row := range map[string]struct{ before, helpers string }{
		"nothing shadows":                {`{}`, ""},
		"another registry's helper":      {`{"credHelpers":{"gcr.io":"gcloud"}}`, `{"gcr.io":"gcloud"}`},
		"a store":                        {`{"credsStore":"osxkeychain"}`, `{"` + host + `":""}`},
		"a store under another spelling": {`{"credsstore":"osxkeychain"}`, `{"` + host + `":""}`},
		"the registry's own helper":      {`{"credHelpers":{"` + host + `":"ecr-login"}}`, `{"` + host + `":""}`},
		"a store, and it is empty":       {`{"credsStore":"x","credHelpers":{"` + host + `":""}}`, `{"` + host + `":""}`},
		"null where helpers stand":       {`{"credsStore":"x","credHelpers":null}`, `{"` + host + `":""}`},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			if _, err := file.Store(t.Context(), testLogin()); err != nil {
				t.Fatal(err)
			}
			got := parse(t, file)
			if helpers := got["credHelpers"]; (row.helpers == "") != (helpers == nil) || helpers != nil && compact(t, helpers) != row.helpers {
				t.Errorf("helpers are %s, want %s", helpers, row.helpers)
			}
			config, err := dockerconfig.Load(filepath.Dir(file.String()))
			if err != nil {
				t.Fatal(err)
			}
			if auth, err := config.GetAuthConfig(host); err != nil || auth.Password != "password-canary" {
				t.Errorf("Docker does not find the login: %v", err)
			}
		})
	}
}

// A name that stands there twice is no error to Docker, which puts both together.
func TestStoreKeepsWhatStandsThereTwice(t *testing.T) {
	file := fileWith(t, `{"auths":{"a":{"auth":"YTpi"}},"auths":{"b":{"auth":"YTpi"}},"credHelpers":{"x":"1"},"credHelpers":{"y":"2","x":"3"},"n":1,"n":[2]}`)
	if _, err := file.Store(t.Context(), testLogin()); err != nil {
		t.Fatal(err)
	}
	got := parse(t, file)
	for _, want := range []string{`"a"`, `"b"`, host} {
		if !strings.Contains(string(got["auths"]), want) {
			t.Errorf("%s is lost: %s", want, got["auths"])
		}
	}
	if compact(t, got["credHelpers"]) != `{"x":"3","y":"2"}` || compact(t, got["n"]) != "[2]" {
		t.Errorf("%s, %s", got["credHelpers"], got["n"])
	}
}

func TestStoreUsesTheSpellingOfTheFile(t *testing.T) {
	file := fileWith(t, `{"AUTHS":{"other":{"auth":"a2VwdDprZXB0"}}}`)
	if _, err := file.Store(t.Context(), testLogin()); err != nil {
		t.Fatal(err)
	}
	if got := parse(t, file); got["auths"] != nil || !strings.Contains(string(got["AUTHS"]), host) {
		t.Errorf("%v", got)
	}
}

func TestStoreLeavesWhatItCannotReadUntouched(t *testing.T) {
	for name, before := range map[string]string{
		"cut off": `{"auths":{`, "trailing": `{} x`, "list": `[]`, "null": `null`, "text": `"secret-text"`, "auths a list": `{"auths":["x"]}`, "auth no base64": `{"auths":{"x":{"auth":"%"}}}`, "auth no pair": `{"auths":{"x":{"auth":"c2VjcmV0"}}}`,
	} {
		file := fileWith(t, before)
		_, err := file.Store(t.Context(), testLogin())
		if err == nil || !strings.Contains(err.Error(), file.String()) || !strings.Contains(err.Error(), "it was left untouched") {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(file.String()); string(after) != before {
			t.Errorf("%s: the file became %s", name, after)
		}
		checkNoLeftovers(t, file)
	}
}

func TestStoreKeepsLinks(t *testing.T) {
	for name, target := range map[string]string{"absolute": "", "relative": "../real/config.json"} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			real := filepath.Join(root, "real", "config.json")
			if target == "" {
				target = real
			}
			file := FileIn(filepath.Join(root, "docker"))
			if err := os.MkdirAll(filepath.Dir(file.String()), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, file.String()); err != nil {
				t.Fatal(err)
			}
			for range 2 { // dangling first, then not
				if _, err := file.Store(t.Context(), testLogin()); err != nil {
					t.Fatal(err)
				}
			}
			if link, err := os.Readlink(file.String()); err != nil || link != target {
				t.Errorf("the link is %q, %v", link, err)
			}
			if content, err := os.ReadFile(real); err != nil || !strings.Contains(string(content), host) {
				t.Errorf("the file behind the link: %v", err)
			}
		})
	}
	root := t.TempDir()
	file := FileIn(root)
	if err := os.Symlink(file.String(), file.String()); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Store(t.Context(), testLogin()); err == nil {
		t.Error("a link to itself was written")
	}
}

func TestUndo(t *testing.T) {
	const before = `{"auths": {}, "x": 1}`
	file := fileWith(t, before)
	undo, err := file.Store(t.Context(), testLogin())
	if err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(file.String()); string(after) != before {
		t.Errorf("the file is %s", after)
	}

	checkMode(t, file.String(), 0o644) // as it was

	link := FileIn(t.TempDir())
	target := filepath.Join(t.TempDir(), "real.json")
	if err := os.Symlink(target, link.String()); err != nil {
		t.Fatal(err)
	}
	if undo, err = link.Store(t.Context(), testLogin()); err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(link.String()); err != nil || got != target {
		t.Errorf("the link is %q, %v", got, err)
	}
	if _, err := os.Stat(target); !os.IsNotExist(err) {
		t.Errorf("the file behind the link is still there: %v", err)
	}

	fresh := FileIn(t.TempDir())
	undo, err = fresh.Store(t.Context(), testLogin())
	if err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fresh.String()); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}

	// The folder was there before; one that was not goes too.
	folder := filepath.Join(t.TempDir(), "new")
	if undo, err = FileIn(folder).Store(t.Context(), testLogin()); err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// What somebody else wrote in the meantime is not lost, and our own logins go.
func TestUndoAmongOthers(t *testing.T) {
	const other = "210987654321.dkr.ecr.us-east-1.amazonaws.com"
	for name, row := range map[string]struct{ before, theirs, after string }{
		"they added a login":          {`{"x":1}`, "", `{"auths":{"` + other + `":{"auth":"QVdTOnBhc3N3b3JkLWNhbmFyeQ=="}},"x":1}`},
		"beside one that was there":   {`{"auths":{"` + host + `":{"auth":"b2xkOm9sZA=="}}}`, "", `{"auths":{"` + host + `":{"auth":"b2xkOm9sZA=="},"` + other + `":{"auth":"QVdTOnBhc3N3b3JkLWNhbmFyeQ=="}}}`},
		"with a store":                {`{"credsStore":"x"}`, "", `{"auths":{"` + other + `":{"auth":"QVdTOnBhc3N3b3JkLWNhbmFyeQ=="}},"credHelpers":{"` + other + `":""},"credsStore":"x"}`},
		"they replaced ours":          {`{}`, `{"auths":{"` + host + `":{"auth":"dGhlaXJzOng="}}}`, `{"auths":{"` + host + `":{"auth":"dGhlaXJzOng="}}}`},
		"they wrote something else":   {`{}`, `{"theirs":1}`, `{"theirs":1}`},
		"they removed the file":       {`{}`, "-", ""},
		"it is no configuration more": {`{}`, `{"auths"`, `{"auths"`},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			undo, err := file.Store(t.Context(), testLogin())
			if err != nil {
				t.Fatal(err)
			}
			switch row.theirs {
			case "":
				_, err = file.Store(t.Context(), loginsTo(other))
			case "-":
				err = os.Remove(file.String())
			default:
				err = os.WriteFile(file.String(), []byte(row.theirs), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			err = undo()
			if broken := !json.Valid([]byte(row.after)) && row.after != ""; broken != (err != nil) {
				t.Errorf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "it was left as it is") {
				t.Errorf("got %v", err)
			}
			if after, _ := os.ReadFile(file.String()); compact(t, after) != row.after {
				t.Errorf("the file is %s", compact(t, after))
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for content, right := range map[string]bool{``: true, `{}`: true, `{"auths":{}}`: true, `{"auths"`: false, `[]`: false} {
		file := fileWith(t, content)
		if err := file.Check(); (err == nil) != right || (err != nil && !strings.Contains(err.Error(), file.String())) {
			t.Errorf("%q: %v", content, err)
		}
	}
	folder := filepath.Join(t.TempDir(), "none")
	if err := FileIn(folder).Check(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the check made the folder: %v", err)
	}
}

func FuzzWithLogins(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"auths":null}`, `{"auths":{"x":{"auth":"YTpi"}}}`, `{"credsStore":"x","credHelpers":{}}`, `{"AUTHS":{},"auths":{}}`, `{"auths":{"` + host + `":7}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, old []byte) {
		content, err := withLogins(old, testLogin())
		if err != nil {
			if len(err.Error()) > 300+len(old) {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if len(content) > 20*len(old)+1000 {
			t.Errorf("%d bytes became %d", len(old), len(content))
		}
		again, err := withLogins(content, testLogin())
		if err != nil || string(again) != string(content) {
			t.Errorf("storing it again changes the file: %v\n%s\n%s", err, content, again)
		}
	})
}

func fileWith(t *testing.T, content string) File {
	t.Helper()
	file := FileIn(t.TempDir())
	if err := os.WriteFile(file.String(), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func parse(t *testing.T, file File) map[string]json.RawMessage {
	t.Helper()
	content, err := os.ReadFile(file.String())
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(content, &keys); err != nil {
		t.Fatal(err)
	}
	checkNoLeftovers(t, file)
	return keys
}

func compact(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	return strings.NewReplacer("\n", "", "\t", "", ": ", ":").Replace(string(raw))
}

func checkMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %o, want %o", filepath.Base(path), got, want)
	}
}

func checkNoLeftovers(t *testing.T, file File) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files are in the folder, want 1", len(entries))
	}
}
