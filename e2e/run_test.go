package e2e

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// run is a run of the Step in its own folder.
type run struct {
	t       testing.TB
	cloud   *sandbox.Sandbox
	store   harness.Envstore
	program string
	environ []string // for the Step and the programs of the next Step
	docker  string   // folder with Docker's configuration
}

// newRun prepares a run against a sandbox. environ adds variables or overrides them. The run is isolated from the AWS and Docker
// configuration of this machine.
func newRun(t testing.TB, cloud *sandbox.Sandbox, environ ...string) *run {
	t.Helper()
	folder := t.TempDir()
	r := &run{
		t: t, cloud: cloud, store: harness.Envstore{Path: filepath.Join(folder, ".envstore.yml"), Bin: bin},
		program: filepath.Join(bin, harness.StepProgram), docker: filepath.Join(folder, "docker"),
	}
	if err := r.store.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.environ = append([]string{
		"HOME=" + folder,
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"ENVMAN_ENVSTORE_PATH=" + r.store.Path,
		"DOCKER_CONFIG=" + r.docker,
		quickExit,
		"GOCOVERDIR=" + os.Getenv("GOCOVERDIR"),
	}, append(cloud.Environ(), environ...)...)
	return r
}

// home returns the run's home folder.
func (r *run) home() string { return r.variable("HOME") }

// variable returns the value of a variable. If it has several entries, the last one counts.
func (r *run) variable(key string) string {
	value := ""
	for _, entry := range r.environ {
		if rest, found := strings.CutPrefix(entry, key+"="); found {
			value = rest
		}
	}
	return value
}

// putFirst puts a folder at the front of PATH.
func (r *run) putFirst(folder string) {
	r.environ = append(r.environ, "PATH="+folder+string(os.PathListSeparator)+r.variable("PATH"))
}

// command returns the Step's process with the inputs in step.yml, some of them changed.
func (r *run) command(given map[string]string) *exec.Cmd {
	r.t.Helper()
	inputs, err := harness.InputEnvironment(given, r.environ)
	if err != nil {
		r.t.Fatal(err)
	}
	command := exec.CommandContext(r.t.Context(), r.program)
	command.Env = append(r.environ, inputs...)
	return command
}

// step runs the Step and returns its log, which must not contain any of the sandbox's secrets.
func (r *run) step(given map[string]string) (string, error) {
	r.t.Helper()
	output, err := r.command(given).CombinedOutput()
	r.searchForSecrets("the Step's log", string(output))
	return string(output), err
}

func (r *run) searchForSecrets(where, text string) {
	r.t.Helper()
	if how := leak(text, r.cloud.Secrets()); how != "" {
		r.t.Errorf("%s contains a secret, %s:\n%s", where, how, text)
	}
	if strings.Contains(text, "DATA RACE") {
		r.t.Errorf("the race detector found a race:\n%s", text)
	}
}

// mustStep runs the Step, which must succeed, and returns its log.
func (r *run) mustStep(given map[string]string) string {
	r.t.Helper()
	output, err := r.step(given)
	if err != nil {
		r.t.Fatalf("the Step failed: %v\n%s", err, output)
	}
	return output
}

// stepUntil runs the Step, calls act once its log contains text, and returns the log and the result.
func (r *run) stepUntil(text string, act func(*os.Process), given map[string]string) (string, error) {
	r.t.Helper()
	command := r.command(given)
	reader, writer := io.Pipe()
	command.Stdout, command.Stderr = writer, writer
	if err := command.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- command.Wait()
		_ = writer.Close()
	}()
	var log bytes.Buffer
	acted := false
	for buffer := make([]byte, 4096); ; {
		n, err := reader.Read(buffer)
		log.Write(buffer[:n])
		if !acted && strings.Contains(log.String(), text) {
			acted = true
			act(command.Process)
		}
		if err != nil {
			break
		}
	}
	if !acted {
		r.t.Errorf("the log does not contain %q:\n%s", text, log.String())
	}
	r.searchForSecrets("the Step's log", log.String())
	return log.String(), <-ended
}

// fillStore makes envman's limit on all outputs together keep the next run from exporting anything.
func (r *run) fillStore() {
	r.t.Helper()
	content := "envs:\n- " + filler + ": " + strings.Repeat("x", 256<<10) + "\n"
	if err := os.WriteFile(r.store.Path, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// filler is the variable that [run.fillStore] sets.
const filler = "FILLER"

// exported returns the variables that the next Step gets from the Step.
func (r *run) exported() map[string]string {
	r.t.Helper()
	values, err := r.store.Values(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	delete(values, filler)
	return values
}

// mustHaveExportedNothing checks that no variable was exported, not even an empty one, and that Docker's folder is empty.
func (r *run) mustHaveExportedNothing() {
	r.t.Helper()
	for key := range r.exported() {
		r.t.Errorf("%s was exported", key)
	}
	if entries, err := os.ReadDir(r.docker); err == nil && len(entries) > 0 {
		r.t.Errorf("%s was left in Docker's folder", entries[0].Name())
	}
}

// nextCommand is a program with the exported variables, as part of the next Step.
func (r *run) nextCommand(program string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(r.t.Context(), filepath.Join(bin, "envman"), append([]string{"run", program}, arguments...)...)
	command.Env = r.environ
	return command
}

// next runs a program as part of the next Step, and returns its output.
func (r *run) next(program string, arguments ...string) string {
	r.t.Helper()
	output, err := r.nextCommand(program, arguments...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", program, strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// flat returns a log without colors and with spaces instead of line breaks, so that a text is found even if it is wrapped.
func flat(log string) string {
	log = regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(log, "")
	return strings.Join(strings.Fields(log), " ")
}

// count returns the number of calls of SERVICE:ACTION that the sandbox has received. SERVICE can be *, and ACTION can be missing.
func count(cloud *sandbox.Sandbox, what string) int {
	service, action, _ := strings.Cut(what, ":")
	n := 0
	for _, call := range cloud.Calls() {
		if (service == "*" || call.Service == service) && (action == "" || call.Action == action) {
			n++
		}
	}
	return n
}

func startSandbox(t testing.TB, options sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	cloud, err := sandbox.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	return cloud
}

// waitFor waits until a condition is met.
func waitFor(t testing.TB, isMet func() bool) {
	t.Helper()
	for !isMet() {
		if t.Context().Err() != nil {
			t.Fatal("the condition was not met")
		}
		time.Sleep(time.Millisecond)
	}
}
