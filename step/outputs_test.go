package step

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v2"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// parseStore returns the content of a store as YAML has it.
func parseStore(t *testing.T, path string) any {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var parsed any
	if err := yaml.Unmarshal(content, &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// Adding an output has the same result as the envman program's "add --no-expand".
func TestEnvstoreIsWhatEnvmanWrites(t *testing.T) {
	program := filepath.Join(t.TempDir(), "envman")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/bitrise-io/envman/v2")
	build.Dir = filepath.Join("..", "e2e")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	const before = "envs:\n- KEPT: \"1\"\n  opts:\n    is_sensitive: true\n- NUMBER: 8\n- KEY: old\n- LAST: last\n"
	for name, row := range map[string]struct{ before, value string }{
		"plain":              {"", "eu-west-1"},
		"a key that's there": {before, "new"},
		"empty":              {before, ""},
		"several lines":      {before, "one\ntwo\n\n  three\n"},
		"carriage return":    {"", "one\r\ntwo"},
		"Unicode":            {"", "Straße 日本語 🚀 \u2028 \u00a0"},
		"a dollar sign":      {"", "$HOME ${HOME} $$"},
		"quotes":             {"", `"double" 'single' \ back`},
		"a number":           {"", "012345678901"},
		"a bool":             {"", "yes"},
		"YAML":               {"", "{a: [b]} # c\n---\n- &d !!binary e: *d"},
		"spaces":             {"", "  around  "},
		"tabs":               {"", "\tone\t"},
		"200 kB":             {before, strings.Repeat("0123456789", 20_000)},
		"JSON":               {"", `{"Version":"2012-10-17","Statement":[]}`},
	} {
		for _, isSensitive := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				ours, theirs := filepath.Join(t.TempDir(), "ours.yml"), filepath.Join(t.TempDir(), "theirs.yml")
				for _, path := range []string{ours, theirs} {
					if err := os.WriteFile(path, []byte(row.before), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				change, err := envstore(ours).prepare([]output{{key: "KEY", value: secret.New(row.value), isSensitive: isSensitive}})
				if err != nil {
					t.Fatal(err)
				}
				defer change.Discard()
				if err := sharedfile.Commit(t.Context(), change); err != nil {
					t.Fatal(err)
				}
				arguments := []string{"--path", theirs, "add", "--key", "KEY", "--no-expand"}
				if isSensitive {
					arguments = append(arguments, "--sensitive")
				}
				command := exec.CommandContext(t.Context(), program, arguments...)
				command.Stdin = strings.NewReader(row.value)
				if output, err := command.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, output)
				}
				if got, want := parseStore(t, ours), parseStore(t, theirs); !reflect.DeepEqual(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

// envman's limits apply: 256 KB for a value and for all of them together, or what its configuration says; 0 means no limit.
func TestEnvstoreLimits(t *testing.T) {
	const kilobyte = 1 << 10
	for name, row := range map[string]struct {
		configuration, before string
		sizes                 []int
		want                  string
	}{
		"the default limit":           {"", "", []int{256 * kilobyte}, ""},
		"over the default limit":      {"", "", []int{256*kilobyte + 1}, "the value of KEY0 must have at most 256 KB, got 257 KB"},
		"together over the limit":     {"", "", []int{200 * kilobyte, 57 * kilobyte}, "all outputs together must have at most 256 KB, got 257 KB"},
		"together with what is there": {"", "envs:\n- OTHER: " + strings.Repeat("x", 10) + "\n", []int{256*kilobyte - 9}, "all outputs together"},
		"another Step's value":        {"", "envs:\n- OTHER: " + strings.Repeat("x", 300*kilobyte) + "\n", nil, ""},
		"a lower limit":               {`{"env_bytes_limit_in_kb":1}`, "", []int{kilobyte + 1}, "must have at most 1 KB, got 2 KB"},
		"no limit":                    {`{"env_bytes_limit_in_kb":0,"env_list_bytes_limit_in_kb":0}`, "", []int{300 * kilobyte}, ""},
		"a broken configuration":      {`{`, "", []int{1}, "read envman's configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			t.Setenv("HOME", home)
			if row.configuration != "" {
				if err := os.Mkdir(filepath.Join(home, ".envman"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(home, ".envman", "configs.json"), []byte(row.configuration), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var outputs []output
			for i, size := range row.sizes {
				outputs = append(outputs, plain("KEY"+string(rune('0'+i)), strings.Repeat("x", size)))
			}
			_, err := addOutputs([]byte(row.before), outputs)
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Fatalf("got %v, want %q", err, row.want)
			}
			if !strings.Contains(row.want, "must have") {
				return
			}
			if do := explain.Of(err).Do; len(do) != 1 || !strings.Contains(do[0], "configs.json") {
				t.Errorf("got the advice %q", do)
			}
		})
	}
}

// A store that envman couldn't read is not changed, and its content is not shown.
func TestEnvstoreThatIsNotValid(t *testing.T) {
	for _, content := range []string{"canary: [", "envs:\n- {}\n", "envs:\n- A: canary\n  B: canary\n", "canary"} {
		t.Run(content, func(t *testing.T) {
			got, err := addOutputs([]byte(content), []output{plain("KEY", "value")})
			if got != nil || err == nil || !strings.Contains(err.Error(), "the store is not valid") || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// A key that is in the store twice is replaced in both places: the last one counts.
func TestEnvstoreWithAKeyTwice(t *testing.T) {
	got, err := addOutputs([]byte("envs:\n- KEY: one\n- KEY: two\n"), []output{plain("KEY", "new")})
	if err != nil || strings.Contains(string(got), "one") || strings.Contains(string(got), "two") {
		t.Errorf("got %q, %v", got, err)
	}
}
