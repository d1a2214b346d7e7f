package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// oddName is a profile name with all the punctuation that the Step accepts.
const oddName = "a.b_c-d/e%f@g:h+i"

// newProfileRun prepares a run whose home folder has a space and a letter beyond ASCII in its path.
func newProfileRun(t testing.TB, cloud *sandbox.Sandbox, environ ...string) *run {
	t.Helper()
	program := plainProgram(t)
	home := filepath.Join(t.TempDir(), "my höme")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	r := newRun(t, cloud, append([]string{"HOME=" + home, "PYTHONWARNINGS=ignore", "AWS_EC2_METADATA_DISABLED=true"}, environ...)...)
	r.program = program
	return r
}

func (r *run) configFile() string { return filepath.Join(r.home(), ".aws", "config") }

// process returns the profile's credential process, started through sh -c like most SDKs do.
func (r *run) process() *exec.Cmd {
	r.t.Helper()
	return r.processOf("")
}

// processOf returns the credential process of a profile, or that of the only one.
func (r *run) processOf(profile string) *exec.Cmd {
	r.t.Helper()
	content := readFile(r.t, r.configFile())
	if profile != "" {
		_, content, _ = strings.Cut(content, "[profile "+profile+"]\n")
	}
	program, argument := processOf(r.t, content)
	command := exec.CommandContext(r.t.Context(), "sh", "-c", `exec '`+program+`' credential-process `+argument)
	command.Env = r.environ
	return command
}

// processOf returns the first credential process in the content of a configuration file.
func processOf(t testing.TB, content string) (program, argument string) {
	t.Helper()
	match := regexp.MustCompile(`(?m)^credential_process = '?(.*?)'? credential-process (\S+)$`).FindStringSubmatch(content)
	if match == nil {
		t.Fatalf("no credential_process in:\n%s", content)
	}
	return match[1], match[2]
}

// processOutput is the output of a credential process,
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html.
type processOutput struct {
	Version                                    int
	AccessKeyId, SecretAccessKey, SessionToken string //nolint:revive // as AWS spells it
	Expiration                                 time.Time
}

// credentials runs the credential process, which must succeed, and returns its standard output and standard error.
func (r *run) credentials() (processOutput, string) {
	r.t.Helper()
	output, stderr, err := r.tryCredentials(r.process())
	if err != nil {
		r.t.Fatalf("%v\n%s", err, stderr)
	}
	return output, stderr
}

func (r *run) tryCredentials(command *exec.Cmd) (output processOutput, stderr string, err error) {
	r.t.Helper()
	var out, errors bytes.Buffer
	command.Stdout, command.Stderr = &out, &errors
	if err := command.Run(); err != nil {
		if out.Len() > 0 {
			r.t.Errorf("the process failed but wrote %d bytes to standard output", out.Len())
		}
		r.searchForSecrets("the process's standard error", errors.String())
		return processOutput{}, errors.String(), err
	}
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&output); err != nil || output.Version != 1 {
		r.t.Errorf("standard output does not contain credentials: %v", err)
	}
	r.searchForSecrets("the process's standard error", errors.String())
	return output, errors.String(), nil
}

// expireSessions lets the time of all sessions pass: AWS no longer accepts them, and the files that the profiles keep say so.
func (r *run) expireSessions() {
	r.t.Helper()
	r.cloud.EndSessions()
	r.leave(-time.Minute)
}

// leave moves the times in the files that the profiles keep, so that each session has that much time left. No process may be
// using them.
func (r *run) leave(left time.Duration) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", "*", "*", "cache.json"))
	if err != nil || len(files) == 0 {
		r.t.Fatalf("no session is kept: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		var kept map[string]any
		if err := json.Unmarshal(content, &kept); err != nil {
			r.t.Fatalf("%s: %v", file, err)
		}
		expires, err := time.Parse(time.RFC3339, fmt.Sprint(kept["Expires"]))
		if err != nil {
			r.t.Fatalf("%s: %v", file, err)
		}
		for key, value := range kept {
			if at, err := time.Parse(time.RFC3339, fmt.Sprint(value)); err == nil {
				kept[key] = at.Add(left - time.Until(expires))
			}
		}
		content, err = json.Marshal(kept)
		if err := errors.Join(err, os.WriteFile(file, content, 0o600)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// As long as the credentials are valid, the credential process makes no calls.
func TestProfileWithValidCredentialsMakesNoCalls(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role, "aws_profile": oddName})
	if got := count(cloud, "*"); got != 2 {
		t.Errorf("got %d calls by the Step, want 2", got)
	}
	// It needs neither the build's API token nor any other variable.
	var first processOutput
	for i := range 5 {
		command := r.process()
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
		output, stderr, err := r.tryCredentials(command)
		if err != nil || stderr != "" || !strings.HasPrefix(output.AccessKeyId, "ASIA") {
			t.Errorf("%v\n%s", err, stderr)
		}
		if i == 0 {
			first = output
		} else if output != first {
			t.Error("the credentials changed")
		}
	}
	if got := count(cloud, "*"); got != 2 {
		t.Errorf("got %d calls in total, want 2", got)
	}
	// They expire an hour after the start, and are reported to expire at most two and a half minutes earlier.
	if left := time.Until(first.Expiration); left < 55*time.Minute || left > time.Hour-time.Minute {
		t.Errorf("the credentials are reported to expire in %s, want between 55 and 59 minutes", left)
	}
}

// Of fifty processes that find expired credentials, one renews them, and the others use the result.
func TestFiftyProcessesRenewOnce(t *testing.T) {
	t.Parallel()
	const processes = 50

	r, cloud := prepareRenewal(t, nil)
	before := count(cloud, assume)
	commands := make([]*exec.Cmd, processes)
	for i := range commands {
		commands[i] = r.process()
	}
	var mu sync.Mutex
	keys := map[string]int{}
	var group sync.WaitGroup
	for _, command := range commands {
		group.Go(func() {
			output, stderr, err := r.tryCredentials(command)
			if err != nil || stderr != "" {
				t.Errorf("%v\n%s", err, stderr)
			}
			mu.Lock()
			defer mu.Unlock()
			keys[output.AccessKeyId]++
		})
	}
	group.Wait()
	if got := count(cloud, assume) - before; got != 1 || len(keys) != 1 {
		t.Errorf("got %d exchanges and %d access keys, want one of each", got, len(keys))
	}
}

// All files that remain are private to the user, and contain neither the build's API token nor an identity token.
func TestProfileFilesHoldNoBuildToken(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	if err := os.MkdirAll(filepath.Dir(r.configFile()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.configFile(), []byte("# mine\n[default]\nregion = eu-west-3\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	r.mustStep(map[string]string{"role_arn": role, "role_chain": targetRole, "aws_profile": oddName})
	r.expireSessions()
	r.credentials()
	if got := count(cloud, assume); got != 2 {
		t.Fatalf("got %d exchanges, want 2", got)
	}

	files := map[string]fs.FileMode{}
	err := filepath.WalkDir(r.home(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(r.home(), path)
		files[regexp.MustCompile(`[0-9a-f]{16,}`).ReplaceAllString(name, "*")] = info.Mode().Perm()
		if entry.IsDir() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if how := leak(string(content), []string{cloud.BuildAPIToken()}); how != "" {
			t.Errorf("the build's API token is in %s, %s", name, how)
		}
		if regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`).Match(content) && !strings.HasSuffix(name, "/authenticate-with-aws") {
			t.Errorf("a token is in %s", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{
		".": 0o755, ".aws": 0o755, ".aws/config": 0o640, ".authenticate-with-aws": 0o700,
		".authenticate-with-aws/*": 0o700, ".authenticate-with-aws/*/authenticate-with-aws": 0o700,
		".authenticate-with-aws/*/*": 0o700, ".authenticate-with-aws/*/*/settings.json": 0o600,
		".authenticate-with-aws/*/*/cache.json": 0o600, ".authenticate-with-aws/*/*/lock": 0o600,
		".authenticate-with-aws/builds": 0o700, ".authenticate-with-aws/builds/*.json": 0o600,
	}
	for name, mode := range want {
		if got, found := files[name]; !found || got != mode {
			t.Errorf("%s: got mode %o, want %o (the file exists: %v)", name, got, mode, found)
		}
	}
	for name := range files {
		if _, found := want[name]; !found {
			t.Errorf("%s was left behind", name)
		}
	}
	if content, _ := os.ReadFile(r.configFile()); !strings.HasPrefix(string(content), "# mine\n[default]\nregion = eu-west-3\n\n") {
		t.Errorf("the configuration file was changed:\n%s", content)
	}
}

// The credential process prints its usage if it is run without a session's key.
func TestCredentialProcessUsage(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role, "aws_profile": "bitrise"})
	programs, err := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", "*", "authenticate-with-aws"))
	if err != nil || len(programs) != 1 {
		t.Fatalf("%v, %v", programs, err)
	}
	for _, row := range []struct {
		arguments []string
		code      int
		says      string
	}{
		{nil, 2, "kept as a\ncredential process"},
		{[]string{"--help"}, 0, "kept as a\ncredential process"},
		{[]string{"nonsense"}, 2, "the key of a session must have 64 hexadecimal digits"},
		{[]string{strings.Repeat("0", 64)}, 1, "does not exist"},
		{[]string{"a", "b"}, 2, "kept as a\ncredential process"},
	} {
		command := exec.CommandContext(t.Context(), programs[0], append([]string{"credential-process"}, row.arguments...)...)
		command.Env = r.environ
		var out, errors bytes.Buffer
		command.Stdout, command.Stderr = &out, &errors
		err := command.Run()
		said, silent := errors.String(), out.String()
		if row.code == 0 {
			said, silent = silent, said
		}
		if command.ProcessState.ExitCode() != row.code || !strings.Contains(said, row.says) || silent != "" {
			t.Errorf("%v: %v\n%s\n%s", row.arguments, err, said, silent)
		}
	}
}

// BenchmarkProfileWithGoodCredentials measures the CPU time of the credential process: go test -run '^$' -bench Profile.
func BenchmarkProfileWithGoodCredentials(b *testing.B) {
	program := plainProgram(b)
	cloud, err := sandbox.Start(sandbox.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cloud.Close() }()
	home := b.TempDir()
	store := harness.Envstore{Path: filepath.Join(home, ".envstore.yml"), Bin: bin}
	if err := store.Init(b.Context()); err != nil {
		b.Fatal(err)
	}
	environ := append(cloud.Environ(), "HOME="+home, "ENVMAN_ENVSTORE_PATH="+store.Path, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	inputs, err := harness.InputEnvironment(map[string]string{"role_arn": role, "aws_profile": "bitrise"}, environ)
	if err != nil {
		b.Fatal(err)
	}
	step := exec.CommandContext(b.Context(), program)
	step.Env = append(environ, inputs...)
	if output, err := step.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, output)
	}
	kept, key := processOf(b, readFile(b, filepath.Join(home, ".aws", "config")))
	var processor time.Duration
	b.ResetTimer()
	for range b.N {
		command := exec.Command(kept, "credential-process", key)
		if output, err := command.CombinedOutput(); err != nil || !bytes.Contains(output, []byte(`"AccessKeyId":"ASIA`)) {
			b.Fatalf("%v\n%s", err, output)
		}
		processor += command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	}
	b.ReportMetric(float64(processor.Microseconds())/1000/float64(b.N), "cpu-ms/op")
}
