package profile

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// All readers of the configuration file agree on these characters. Some need no quotes, some need single quotes, and paths with
// others are rejected.
func TestCommandQuoting(t *testing.T) {
	const (
		unquoted = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+@%,:=öé日٣\u0301"
		quoted   = " !\"#$&()*;<>?[\\]^`{|}~\u00a0\u3000😀"
		rejected = "'\x00\t\n\r\x1b\x7f\u0085"
	)
	const key = testKey
	var commands, paths []string
	for _, c := range unquoted + quoted + rejected {
		path := "/home/a" + string(c) + "b/x"
		want := path + " credential-process " + key
		if strings.ContainsRune(quoted, c) {
			want = "'" + path + "' credential-process " + key
		}
		command, err := newCommand(path, key)
		if isRejected := strings.ContainsRune(rejected, c); isRejected != (err != nil) || (!isRejected && command.text != want) {
			t.Errorf("%q: got %q, %v", path, command.text, err)
		}
		if err == nil {
			commands, paths = append(commands, command.text), append(paths, path)
		}
	}
	checkReaders(t, commands, paths, key)
	for _, path := range []string{"/a #b", "/a ;b", "/a\xffb"} {
		if command, err := newCommand(path, key); err == nil {
			t.Errorf("%q: got %q", path, command.text)
		}
	}
}

// checkReaders checks that the shell (used by most SDKs) and shlex (used by the AWS CLI and boto3) split commands in the same way.
func checkReaders(t *testing.T, commands, paths []string, key string) {
	t.Helper()
	var want []string
	for _, path := range paths {
		want = append(want, path, Subcommand, key)
	}
	output, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\n' `+strings.Join(commands, "\nprintf '%s\\n' ")).Output()
	if got := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n"); err != nil || !slices.Equal(got, want) {
		t.Errorf("sh: got %q, %v", got, err)
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		return
	}
	const split = "import json, shlex, sys; json.dump([word for command in sys.argv[1:] for word in shlex.split(command)], sys.stdout)"
	output, err = exec.CommandContext(t.Context(), python, append([]string{"-I", "-X", "utf8", "-c", split}, commands...)...).Output()
	var got []string
	if err != nil || json.Unmarshal(output, &got) != nil || !slices.Equal(got, want) {
		t.Errorf("shlex: got %q, %v", got, err)
	}
}
