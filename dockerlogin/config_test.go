package dockerlogin

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// The text of all other values is kept. The order of keys may change.
func TestLoginsKeepEverythingElse(t *testing.T) {
	const before = `{"HttpHeaders":{"X":"<&>\u0041"},"auths":{"` + host + `":{"auth":"b2xkOm9sZA==","identitytoken":"old"},` +
		`"a":{"future":"<&>"},"z":{"auth":"a2VwdDprZXB0","future":1e0}},` +
		`"currentContext":"colima","newInVersion99":{"deep":[1,2.50,{"x":null}],"deep":1},"psFormat":"{{.ID}}"}`
	file := fileWith(t, before)
	logIn(t, file, other, host)
	want := strings.Replace(before, `{"auth":"b2xkOm9sZA==","identitytoken":"old"}`, entry+`,"`+other+`":`+entry, 1)
	if got := content(t, file); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	wantMode(t, string(file), 0o600) // it was 0644
}

// An empty helper is written only if a store or a helper would take precedence over the login.
func TestLoginsAndHelpers(t *testing.T) {
	const login, none = `"auths":{"` + host + `":` + entry + `}`, `"credHelpers":{"` + host + `":""}`
	for name, row := range map[string]struct{ before, after string }{
		"an empty file":               {` `, `{` + login + `}`},
		"no helper":                   {`{}`, `{` + login + `}`},
		"another registry's helper":   {`{"credHelpers":{"gcr.io":"gcloud"}}`, `{` + login + `,"credHelpers":{"gcr.io":"gcloud"}}`},
		"a store":                     {`{"credsStore":"x"}`, `{` + login + `,` + none + `,"credsStore":"x"}`},
		"an empty store":              {`{"credsStore":""}`, `{` + login + `,"credsStore":""}`},
		"the registry's helper":       {`{"credHelpers":{"` + host + `":"ecr-login"}}`, `{` + login + `,` + none + `}`},
		"a store and an empty helper": {`{"credsStore":"x",` + none + `}`, `{` + login + `,` + none + `,"credsStore":"x"}`},
		"a store and another's helper": {
			`{"credsStore":"x","credHelpers":{"a":"b"}}`, `{` + login + `,"credHelpers":{"` + host + `":"","a":"b"},"credsStore":"x"}`,
		},
		"null for both": {`{"auths":null,"credsStore":"x","credHelpers":null}`, `{` + login + `,` + none + `,"credsStore":"x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			logIn(t, file, host)
			if got := content(t, file); got != row.after {
				t.Errorf("got  %s\nwant %s", got, row.after)
			}
		})
	}
}

// Files that cannot be read, or that not everyone reads in the same way, are rejected before anything is sent, and not changed.
func TestInvalidFiles(t *testing.T) {
	for name, row := range map[string]struct{ before, want string }{
		"cut off":               {`{"auths":{`, "must be a JSON object"},
		"trailing":              {`{} canary`, "must be a JSON object"},
		"a list":                {`[]`, "must be a JSON object"},
		"a text":                {`"canary"`, "must be a JSON object"},
		"auths is a list":       {`{"auths":["canary"]}`, `is not valid under "auths": it must be a JSON object`},
		"credHelpers is a text": {`{"credHelpers":"canary"}`, `is not valid under "credHelpers": it must be a JSON object`},
		"credsStore is a list":  {`{"credsStore":["canary"]}`, `is not valid under "credsStore": it must be a string`},
		"a helper is a number":  {`{"credHelpers":{"x":7}}`, `is not valid under "credHelpers": it must have a string under "x"`},
		"not base64":            {`{"auths":{"x":{"auth":"canary%"}}}`, `is not valid under "auths": Docker cannot read the login to "x"`},
		"login is a text":       {`{"auths":{"x":"canary"}}`, `is not valid under "auths": Docker cannot read the login to "x"`},
		"key twice":             {`{"a":1,"a":2}`, `must not have the key "a" more than once`},
		"host twice":            {`{"auths":{"x":{},"y":{},"x":{}}}`, `is not valid under "auths": it must not have the key "x" more than once`},
		"helper twice":          {`{"credHelpers":{"x":"","x":"a"}}`, `under "credHelpers": it must not have the key "x" more than once`},
		"Auths":                 {`{"Auths":{}}`, `must spell the key "Auths" as "auths"`},
		"credhelpers":           {`{"credhelpers":{}}`, `must spell the key "credhelpers" as "credHelpers"`},
		"CREDSSTORE":            {`{"credsStore":"","CREDSSTORE":""}`, `must spell the key "CREDSSTORE" as "credsStore"`},
		"with another letter s": {`{"authſ":{}}`, `must spell the key "authſ" as "auths"`},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			_, _, _, logoutErr := file.PrepareRemoval([]Entry{{Host: host}})
			_, _, loginErr := file.PrepareLogins(loginsTo(host))
			for action, err := range map[string]error{"": file.Check(), "store the logins: ": loginErr, "remove the logins: ": logoutErr} {
				prefix := action + "Docker's configuration file " + string(file) + " "
				if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), row.want) {
					t.Errorf("got %v, want %q", err, prefix+row.want)
				} else if x := explain.Of(err); len(x.Do) != 2 || strings.Contains(err.Error(), "canary") || len(err.Error()) > 400 {
					t.Errorf("got %v, %+v", err, x)
				}
			}
			if after, err := os.ReadFile(string(file)); err != nil || string(after) != row.before {
				t.Errorf("the file was changed to %s, %v", after, err)
			}
			wantEntries(t, filepath.Dir(string(file)), 1)
		})
	}
}

func TestFilesThatAreAccepted(t *testing.T) {
	for name, before := range map[string]string{
		"empty": ``, "an object": `{}`, "null": `null`, "nulls": `{"auths":null,"credHelpers":null,"credsStore":null}`, "a login is null": `{"auths":{"x":null}}`,
		"another key with a letter": `{"AUTH":{},"authsX":{}}`, "a key twice where Docker does not look": `{"a":{"b":1,"b":2}}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, before)
			if err := file.Check(); err != nil {
				t.Error(err)
			}
			if after, err := os.ReadFile(string(file)); err != nil || string(after) != before {
				t.Errorf("the file was changed to %s, %v", after, err)
			}
		})
	}
}

// A removal takes out a login that is still as it was written, and puts back the helper that it replaced.
func TestRemoval(t *testing.T) {
	const theirs = `{"auth":"dGhlaXJzOng="}` // theirs:x
	logins := func(entries ...string) string { return `{"auths":{` + strings.Join(entries, ",") + `}}` }
	to := func(name, value string) string { return `"` + name + `":` + value }
	withHelpers := func(entries, helpers string) string {
		return `{"auths":{` + entries + `},"credHelpers":{` + helpers + `}}`
	}
	none, real := "", "ecr-login"
	for name, row := range map[string]struct {
		before, after string // after is "" if the file must not change
		helper        *string
		removed, kept []string
	}{
		"a login":              {logins(to(host, entry)), logins(), nil, []string{host}, nil},
		"two":                  {logins(to(host, entry), to(other, entry)), logins(), nil, []string{host, other}, nil},
		"other hosts":          {logins(to("a", entry), to(host, entry)), logins(to("a", entry)), nil, []string{host}, nil},
		"missing":              {logins(to("a", entry)), "", nil, nil, nil},
		"an empty file":        {"", "", nil, nil, nil},
		"formatted, unchanged": {"{ \"x\" :  1 }", "", nil, nil, nil},
		// Logins of others, of the same user or not.
		"a different login": {logins(to(host, theirs)), "", nil, nil, []string{host}},
		"a newer login":     {logins(to(host, `{"auth":"QVdTOm5ld2Vy"}`)), "", nil, nil, []string{host}},
		"one of two":        {logins(to(host, theirs), to(other, entry)), logins(to(host, theirs)), nil, []string{other}, []string{host}},
		"no user":           {logins(to(host, `{}`)), "", nil, nil, []string{host}},
		// Helpers.
		"empty helper":             {withHelpers(to(host, entry), to(host, `""`)), logins(), &none, []string{host}, nil},
		"only an empty helper":     {`{"credHelpers":{` + to(host, `""`) + `}}`, logins(), &none, nil, nil},
		"a user's empty helper":    {withHelpers(to(host, entry), to(host, `""`)), withHelpers("", to(host, `""`)), nil, []string{host}, nil},
		"a real helper":            {withHelpers(to(host, entry), to(host, `""`)), withHelpers("", to(host, `"ecr-login"`)), &real, []string{host}, nil},
		"a real helper, no login":  {withHelpers("", to(host, `""`)), withHelpers("", to(host, `"ecr-login"`)), &real, nil, nil},
		"a helper that was set":    {withHelpers(to(host, entry), to(host, `"x"`)), withHelpers("", to(host, `"x"`)), &real, []string{host}, nil},
		"a helper, another login":  {withHelpers(to(host, theirs), to(host, `""`)), "", &real, nil, []string{host}},
		"a helper of another host": {withHelpers(to(host, entry), `"a":"b"`), withHelpers("", `"a":"b"`), nil, []string{host}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			written := digest([]byte(entry))
			change, removed, kept, err := file.PrepareRemoval([]Entry{
				{Host: host, Digest: written, Helper: row.helper}, {Host: other, Digest: written},
			})
			commit(t, change, err)
			if !slices.Equal(removed, row.removed) || !slices.Equal(kept, row.kept) {
				t.Errorf("got removed %q and kept %q, want %q and %q", removed, kept, row.removed, row.kept)
			}
			if row.after != "" {
				if got := content(t, file); got != row.after {
					t.Errorf("got  %s\nwant %s", got, row.after)
				}
			} else if after, err := os.ReadFile(string(file)); err != nil || string(after) != row.before {
				t.Errorf("the file was changed to %s, %v", after, err)
			}
		})
	}
}

// A login says what it has set aside, and a removal puts exactly that back.
func TestEntriesOfLogins(t *testing.T) {
	for name, row := range map[string]struct{ before, helper string }{
		"no helper":  {`{"auths":{}}`, "-"},
		"a store":    {`{"auths":{},"credsStore":"x"}`, ""},
		"its helper": {`{"auths":{},"credHelpers":{"` + host + `":"ecr-login"}}`, "ecr-login"},
	} {
		t.Run(name, func(t *testing.T) {
			file := fileWith(t, row.before)
			entries := logIn(t, file, host)
			helper := "-"
			if entries[0].Helper != nil {
				helper = *entries[0].Helper
			}
			if len(entries) != 1 || entries[0].Host != host || helper != row.helper || strings.Contains(fmt.Sprint(entries), "canary") {
				t.Errorf("got %+v with the helper %q, want %q", entries, helper, row.helper)
			}
			change, _, _, err := file.PrepareRemoval(entries)
			commit(t, change, err)
			if got := content(t, file); got != row.before {
				t.Errorf("got %s, want %s", got, row.before)
			}
		})
	}
}

func FuzzLogins(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"auths":null}`, `{"auths":{"x":{"auth":"YTpi"}}}`, `{"credsStore":"x","credHelpers":{}}`, `{"AUTHS":{},"auths":{}}`,
		`{"auths":{"` + host + `":7}}`, `{"\ud800":1}`,
	} {
		f.Add([]byte(seed))
	}
	edit := func(before []byte) ([]byte, error) {
		c, err := parseConfig(before)
		if err != nil {
			return nil, err
		}
		c.add(loginsTo(host)[0])
		return c.encode()
	}
	f.Fuzz(func(t *testing.T, before []byte) {
		after, err := edit(before)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("got an error of %d bytes", len(err.Error()))
			}
			return
		}
		if again, err := edit(after); err != nil || string(again) != string(after) {
			t.Errorf("a second login changed the file: %v\n%s\n%s", err, after, again)
		}
	})
}
