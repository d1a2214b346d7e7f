package dockerlogin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	dockerconfig "github.com/docker/cli/cli/config"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
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
		logins = append(logins, Login{Registry: Registry{host: name}, Password: secret.New("password-canary")})
	}
	return logins
}

func fileIn(folder string) File { return File{path: filepath.Join(folder, "config.json")} }

func fileWith(t testing.TB, content string) File {
	t.Helper()
	file := fileIn(t.TempDir())
	if err := os.WriteFile(file.path, []byte(content), 0o644); err != nil {
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

func logIn(t *testing.T, file File, hosts ...string) {
	t.Helper()
	change, err := file.PrepareLogins(loginsTo(hosts...))
	commit(t, change, err)
}

// content returns the file's content without whitespace.
func content(t *testing.T, file File) string {
	t.Helper()
	raw, err := os.ReadFile(file.path)
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
	before := dockerconfig.Dir()
	t.Cleanup(func() { dockerconfig.SetDir(before) })
	const want = "the variable DOCKER_CONFIG must be an absolute path without ~, got "
	for folder, valid := range map[string]bool{
		"/home/x/.docker": true, "~/docker": false, "docker": false, "./docker": false, "$HOME/docker": false,
	} {
		t.Run(folder, func(t *testing.T) {
			dockerconfig.SetDir(folder)
			file, err := FindFile()
			if valid && (err != nil || file.String() != folder+"/config.json") {
				t.Errorf("got %s, %v", file, err)
			}
			if !valid && (err == nil || !strings.HasPrefix(err.Error(), want)) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestLoginsCreateFileAndFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", ".docker")
	file := fileIn(folder)
	logIn(t, file, host)
	wantMode(t, folder, 0o700)
	wantMode(t, file.path, 0o600)
	// Docker's own library finds the login.
	config, err := dockerconfig.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.AuthConfigs[host]; got.Username != "AWS" || got.Password != "password-canary" {
		t.Errorf("Docker found the user name %q", got.Username)
	}
	raw, err := os.ReadFile(file.path)
	want := "{\n\t\"auths\": {\n\t\t\"" + host + "\": {\n\t\t\t\"auth\": \"QVdTOnBhc3N3b3JkLWNhbmFyeQ==\"\n\t\t}\n\t}\n}\n"
	if err != nil || string(raw) != want {
		t.Errorf("got %s, %v", raw, err)
	}
}

func TestPrepareLeavesTheFileAlone(t *testing.T) {
	file := fileWith(t, `{}`)
	change, err := file.PrepareLogins(loginsTo(host))
	if err != nil {
		t.Fatal(err)
	}
	wantEntries(t, filepath.Dir(file.path), 2)
	change.Discard()
	wantEntries(t, filepath.Dir(file.path), 1)
	if got := content(t, file); got != `{}` {
		t.Errorf("got %s", got)
	}
}

// The order of keys and the text of values are kept, also of those that Docker's library does not know.
func TestLoginsKeepEverythingElse(t *testing.T) {
	const before = `{"psFormat":"{{.ID}}","HttpHeaders":{"X":"<&>\u0041"},"auths":{"z":{"auth":"a2VwdDprZXB0","future":1},` +
		`"` + host + `":{"auth":"b2xkOm9sZA==","identitytoken":"old"},"a":{}},` +
		`"newInVersion99":{"deep":[1,2.50,{"x":null}],"deep":1},"currentContext":"colima"}`
	file := fileWith(t, before)
	logIn(t, file, other, host)
	want := strings.Replace(before, `{"auth":"b2xkOm9sZA==","identitytoken":"old"},"a":{}`, entry+`,"a":{},"`+other+`":`+entry, 1)
	if got := content(t, file); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	wantMode(t, file.path, 0o600) // it was 0644
}

// An empty helper is written only if a store or a helper would take precedence over the login.
func TestLoginsAndHelpers(t *testing.T) {
	const login, none = `"auths":{"` + host + `":` + entry + `}`, `"credHelpers":{"` + host + `":""}`
	for name, row := range map[string]struct{ before, after string }{
		"an empty file":               {` `, `{` + login + `}`},
		"no helper":                   {`{}`, `{` + login + `}`},
		"another registry's helper":   {`{"credHelpers":{"gcr.io":"gcloud"}}`, `{"credHelpers":{"gcr.io":"gcloud"},` + login + `}`},
		"a store":                     {`{"credsStore":"x"}`, `{"credsStore":"x",` + login + `,` + none + `}`},
		"the registry's helper":       {`{"credHelpers":{"` + host + `":"ecr-login"}}`, `{` + none + `,` + login + `}`},
		"a store and an empty helper": {`{"credsStore":"x",` + none + `}`, `{"credsStore":"x",` + none + `,` + login + `}`},
		"a store and another's helper": {
			`{"credsStore":"x","credHelpers":{"a":"b"}}`, `{"credsStore":"x","credHelpers":{"a":"b","` + host + `":""},` + login + `}`,
		},
		"null for both": {`{"auths":null,"credsStore":"x","credHelpers":null}`, `{` + login + `,"credsStore":"x",` + none + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			logIn(t, file, host)
			if got := content(t, file); got != row.after {
				t.Errorf("got  %s\nwant %s", got, row.after)
			}
			config, err := dockerconfig.Load(filepath.Dir(file.path))
			if err != nil {
				t.Fatal(err)
			}
			if auth, err := config.GetAuthConfig(host); err != nil || auth.Password != "password-canary" {
				t.Errorf("Docker did not find the login: %v", err)
			}
		})
	}
}

func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels-1) + `{}` + strings.Repeat("}", levels-1)
}

// Files that cannot be read, that not everyone reads in the same way, or that are nested too deep (16.16) are refused before
// anything is sent, and left alone.
func TestFilesThatAreRefused(t *testing.T) {
	long := strings.Repeat("a", 1000)
	for name, row := range map[string]struct{ before, want string }{
		"cut off":               {`{"auths":{`, "must be a JSON object"},
		"trailing":              {`{} canary`, "must be a JSON object"},
		"a list":                {`[]`, "must be a JSON object"},
		"null":                  {`null`, "must be a JSON object"},
		"a text":                {`"canary"`, "must be a JSON object"},
		"auths is a list":       {`{"auths":["canary"]}`, `is not valid under "auths": it must be a JSON object`},
		"credHelpers is a text": {`{"credHelpers":"canary"}`, `is not valid under "credHelpers": it must be a JSON object`},
		"not base64":            {`{"auths":{"x":{"auth":"canary%"}}}`, "is not valid: Docker cannot read it"},
		"no colon":              {`{"auths":{"x":{"auth":"Y2FuYXJ5"}}}`, "is not valid: Docker cannot read it"},
		"key twice":             {`{"a":1,"a":2}`, `must not have the key "a" more than once`},
		"host twice":            {`{"auths":{"x":{},"y":{},"x":{}}}`, `is not valid under "auths": it must not have the key "x" more than once`},
		"helper twice":          {`{"credHelpers":{"x":"","x":"a"}}`, `under "credHelpers": it must not have the key "x" more than once`},
		"long key twice":        {`{"` + long + `":1,"` + long + `":2}`, `"` + long[:100] + `…"`},
		"Auths":                 {`{"Auths":{}}`, `must spell the key "Auths" as "auths"`},
		"credhelpers":           {`{"credhelpers":{}}`, `must spell the key "credhelpers" as "credHelpers"`},
		"CREDSSTORE":            {`{"credsStore":"","CREDSSTORE":""}`, `must spell the key "CREDSSTORE" as "credsStore"`},
		"with another letter s": {`{"authſ":{}}`, `must spell the key "authſ" as "auths"`},
		"101 levels":            {nested(101), "must not be nested more than 100 levels deep"},
		"200 levels":            {nested(200), "must not be nested more than 100 levels deep"},
		"101 levels of lists": {
			`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "must not be nested more than 100 levels deep",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			_, _, _, logoutErr := file.PrepareLogout([]string{host})
			_, loginErr := file.PrepareLogins(loginsTo(host))
			for action, err := range map[string]error{"": file.Check(), "store the logins: ": loginErr, "remove the logins: ": logoutErr} {
				prefix := action + "Docker's configuration file " + file.path + " "
				if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v, want %q", err, prefix+row.want)
				} else if x := explain.Of(err); len(x.Do) != 2 || strings.Contains(err.Error(), "canary") || len(err.Error()) > 400 {
					t.Errorf("got %v, %+v", err, x)
				}
			}
			if after, err := os.ReadFile(file.path); err != nil || string(after) != row.before {
				t.Errorf("the file was changed to %s, %v", after, err)
			}
			wantEntries(t, filepath.Dir(file.path), 1)
		})
	}
}

func TestFilesThatAreAccepted(t *testing.T) {
	for name, before := range map[string]string{
		"empty": ``, "an object": `{}`, "auths": `{"auths":{}}`, "100 levels": nested(100),
		"many objects, not nested":  `{"a":[` + strings.Repeat("[{}],", 200) + `1]}`,
		"brackets in a text":        `{"a":"` + strings.Repeat("[{", 200) + `"}`,
		"brackets after a quote":    `{"a":"\"` + strings.Repeat("[{", 200) + `"}`,
		"brackets after backslash":  `{"a\\":"\\","b":"` + strings.Repeat("[{", 200) + `"}`,
		"another key with a letter": `{"AUTH":{},"authsX":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, before)
			if err := file.Check(); err != nil {
				t.Error(err)
			}
			if after, err := os.ReadFile(file.path); err != nil || string(after) != before {
				t.Errorf("the file was changed to %s, %v", after, err)
			}
		})
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
func TestCheckRefusesPipes(t *testing.T) {
	file := fileIn(t.TempDir())
	if err := syscall.Mkfifo(file.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := file.Check(); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("got %v", err)
	}
}

func TestLogout(t *testing.T) {
	const theirs = `{"auth":"dGhlaXJzOng="}` // theirs:x
	logins := func(entries ...string) string { return `{"auths":{` + strings.Join(entries, ",") + `}}` }
	to := func(name, value string) string { return `"` + name + `":` + value }
	withHelpers := func(entries, helpers string) string {
		return `{"auths":{` + entries + `},"credHelpers":{` + helpers + `}}`
	}
	for name, row := range map[string]struct {
		before, after string // after is "" if the file must not change
		removed, kept []string
	}{
		"a login":       {logins(to(host, entry)), logins(), []string{host}, nil},
		"two":           {logins(to(host, entry), to(other, entry)), logins(), []string{host, other}, nil},
		"in clear text": {logins(to(host, `{"username":"AWS","password":"x"}`)), logins(), []string{host}, nil},
		"other hosts stay": {
			logins(to("a", entry), to(host, entry), to("b", "{}")), logins(to("a", entry), to("b", "{}")), []string{host}, nil,
		},
		"gone already":         {logins(to("a", entry)), "", nil, nil},
		"an empty file":        {"", "", nil, nil},
		"formatted, unchanged": {"{ \"x\" :  1 }", "", nil, nil},
		// Logins of others.
		"another user":   {logins(to(host, theirs)), "", nil, []string{host}},
		"one of two":     {logins(to(host, theirs), to(other, entry)), logins(to(host, theirs)), []string{other}, []string{host}},
		"identity token": {logins(to(host, `{"auth":"QVdTOng=","identitytoken":"x"}`)), "", nil, []string{host}},
		"registry token": {logins(to(host, `{"auth":"QVdTOng=","registrytoken":"x"}`)), "", nil, []string{host}},
		"no user":        {logins(to(host, `{}`)), "", nil, []string{host}},
		// Helpers.
		"empty helper":           {withHelpers(to(host, entry), to(host, `""`)), logins(), []string{host}, nil},
		"only an empty helper":   {`{"credHelpers":{` + to(host, `""`) + `}}`, `{}`, nil, nil},
		"empty helper, kept":     {withHelpers(to(host, theirs), to(host, `""`)), "", nil, []string{host}},
		"other hosts' helper":    {withHelpers(to(host, entry), to(host, `""`)+`,"a":"b"`), withHelpers("", `"a":"b"`), []string{host}, nil},
		"the host's real helper": {withHelpers(to(host, entry), to(host, `"x"`)), withHelpers("", to(host, `"x"`)), []string{host}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			change, removed, kept, err := file.PrepareLogout([]string{host, other})
			commit(t, change, err)
			if !slices.Equal(removed, row.removed) || !slices.Equal(kept, row.kept) {
				t.Errorf("got removed %q and kept %q, want %q and %q", removed, kept, row.removed, row.kept)
			}
			if row.after != "" {
				if got := content(t, file); got != row.after {
					t.Errorf("got  %s\nwant %s", got, row.after)
				}
			} else if after, err := os.ReadFile(file.path); err != nil || string(after) != row.before {
				t.Errorf("the file was changed to %s, %v", after, err)
			}
		})
	}
}

func TestLogoutUndoesLogins(t *testing.T) {
	const before = `{"auths":{},"credsStore":"x"}`
	file := fileWith(t, before)
	logIn(t, file, host, other)
	change, removed, _, err := file.PrepareLogout([]string{host, other})
	commit(t, change, err)
	if got := content(t, file); got != before || len(removed) != 2 {
		t.Errorf("got %s, removed %q", got, removed)
	}
}

func TestLogoutCreatesNothing(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "folder")
	change, removed, kept, err := fileIn(folder).PrepareLogout([]string{host})
	commit(t, change, err)
	if len(removed) != 0 || len(kept) != 0 {
		t.Errorf("got removed %q and kept %q", removed, kept)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder was created: %v", err)
	}
}

// Changes that another program makes between Prepare and Commit are kept (issue 16, item 6).
func TestChangesOfOthersAreKept(t *testing.T) {
	file := fileWith(t, `{}`)
	change, err := file.PrepareLogins(loginsTo(host))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file.path, []byte(`{"auths":{"a":{}},"credsStore":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	commit(t, change, nil)
	if got, want := content(t, file), `{"auths":{"a":{},"`+host+`":`+entry+`},"credsStore":"x","credHelpers":{"`+host+`":""}}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzLogins(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"auths":null}`, `{"auths":{"x":{"auth":"YTpi"}}}`, `{"credsStore":"x","credHelpers":{}}`, `{"AUTHS":{},"auths":{}}`,
		`{"auths":{"` + host + `":7}}`, nested(100), nested(101), `{"\ud800":1}`,
	} {
		f.Add([]byte(seed))
	}
	edit := func(before []byte) ([]byte, error) {
		c, err := parseConfig(before)
		if err != nil {
			return nil, err
		}
		c.add(loginsTo(host)[0])
		return c.encode(), nil
	}
	f.Fuzz(func(t *testing.T, before []byte) {
		after, err := edit(before)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("got an error of %d bytes", len(err.Error()))
			}
			return
		}
		// Each value is on its own line, after at most maxDepth tabs.
		if len(after) > (maxDepth+10)*len(before)+1000 {
			t.Errorf("the file grew from %d to %d bytes", len(before), len(after))
		}
		if again, err := edit(after); err != nil || string(again) != string(after) {
			t.Errorf("a second login changed the file: %v\n%s\n%s", err, after, again)
		}
	})
}

// BenchmarkStoreLogins replaces all logins of a file. ECR's passwords have about 2,500 characters.
func BenchmarkStoreLogins(b *testing.B) {
	for _, n := range []int{1000, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var versions [2][]Login
			for version := range versions {
				for i := range n {
					versions[version] = append(versions[version], Login{
						Registry: Registry{host: fmt.Sprintf("%012d.dkr.ecr.us-east-1.amazonaws.com", i)},
						Password: secret.New(strings.Repeat(fmt.Sprint(version), 2500)),
					})
				}
			}
			file := fileWith(b, `{"credsStore":"x"}`)
			for i := 0; b.Loop(); i++ {
				change, err := file.PrepareLogins(versions[i%2])
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
