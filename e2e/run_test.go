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

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// run is one run of the Step in a folder of its own.
type run struct {
	t       testing.TB
	cloud   *sandbox.Sandbox
	store   harness.Envstore
	program string
	environ []string // of the Step and of what comes after it
	docker  string   // folder of Docker's configuration
}

// newRun prepares a run against a sandbox; environ adds to its variables, or overrides them. Nothing of the machine's AWS
// or Docker set-up shows.
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

// home is where the run's HOME is.
func (r *run) home() string { return r.variable("HOME") }

// variable is what the run has for a variable: of several entries the last one counts.
func (r *run) variable(key string) string {
	value := ""
	for _, entry := range r.environ {
		if rest, found := strings.CutPrefix(entry, key+"="); found {
			value = rest
		}
	}
	return value
}

// putFirst makes the programs in a folder those that the run finds first.
func (r *run) putFirst(folder string) {
	r.environ = append(r.environ, "PATH="+folder+string(os.PathListSeparator)+r.variable("PATH"))
}

// command makes the Step's process with the inputs of step.yml, some of them changed.
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

// step runs the Step and returns its log, in which no secret of the sandbox may show.
func (r *run) step(given map[string]string) (string, error) {
	r.t.Helper()
	output, err := r.command(given).CombinedOutput()
	r.searchForSecrets("the Step's log", string(output))
	return string(output), err
}

func (r *run) searchForSecrets(where, text string) {
	r.t.Helper()
	if how := leak(text, r.cloud.Secrets()); how != "" {
		r.t.Errorf("a secret shows in %s, %s:\n%s", where, how, text)
	}
	if strings.Contains(text, "DATA RACE") {
		r.t.Errorf("the race detector found a race:\n%s", text)
	}
}

// mustStep is step where only success will do.
func (r *run) mustStep(given map[string]string) string {
	r.t.Helper()
	output, err := r.step(given)
	if err != nil {
		r.t.Fatalf("the Step failed: %v\n%s", err, output)
	}
	return output
}

// stepUntil starts the Step, calls act once its log has a line that contains text, and returns the log and how the Step
// ended.
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
		r.t.Errorf("the log never said %q:\n%s", text, log.String())
	}
	r.searchForSecrets("the Step's log", log.String())
	return log.String(), <-ended
}

// exported returns what the Steps that follow would find.
func (r *run) exported() map[string]string {
	r.t.Helper()
	values, err := r.store.Values(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return values
}

// mustHaveExportedNothing checks that no variable has a value, and that Docker has no login.
func (r *run) mustHaveExportedNothing() {
	r.t.Helper()
	for key, value := range r.exported() {
		if value != "" {
			r.t.Errorf("%s was exported", key)
		}
	}
	if entries, err := os.ReadDir(r.docker); err == nil && len(entries) > 0 {
		r.t.Errorf("%s was left in Docker's folder", entries[0].Name())
	}
}

// next runs a program with what the Step exported, as the next Step would see it.
func (r *run) next(program string, arguments ...string) string {
	r.t.Helper()
	command := exec.CommandContext(r.t.Context(), filepath.Join(bin, "envman"), append([]string{"run", program}, arguments...)...)
	command.Env = r.environ
	output, err := command.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", program, strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

// flat is a log without colours, and with blanks in place of line breaks: where a line is broken is not what most tests
// look for.
func flat(log string) string {
	log = regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(log, "")
	return strings.Join(strings.Fields(log), " ")
}

// count returns how often the sandbox was called, SERVICE:ACTION.
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
