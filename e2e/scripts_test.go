// Package e2e runs the Step's program, with a real envman, against the sandbox and against clouds and clients that nobody
// here wrote. testdata/*.txt hold the runs as scripts; what needs a real part that may be absent stands in a test of its
// own, which is skipped with a line that says how to get that part.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// bin is the folder with the programs under test, made once.
var bin string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "authenticate-with-aws-")
	if err == nil {
		bin = folder
		err = harness.Build(context.Background(), bin, buildFlags()...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// buildFlags are those of the program under test. With the variable GOCOVERDIR set it notes there what of it runs.
func buildFlags() []string {
	if os.Getenv("GOCOVERDIR") != "" {
		return []string{"-race", "-cover"}
	}
	return []string{"-race"}
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Setup:               setUp,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"step":       runStep,
			"says":       checkLog,
			"exported":   checkExported,
			"unexported": checkUnexported,
			"calls":      checkCalls,
			"next":       runNext,
			"mode":       checkMode,
			"mint":       mintToken,
			"keys":       setUserKeys,
		},
		Condition: func(name string) (bool, error) {
			return false, fmt.Errorf("unknown condition %s", name)
		},
	})
}

type sandboxKey struct{}

// setUp gives every script a sandbox, an envstore, a home and an environment of its own, in which nothing of the
// machine's AWS or Docker set-up shows.
func setUp(e *testscript.Env) error {
	cloud, err := sandbox.Start(sandbox.Options{})
	if err != nil {
		return err
	}
	e.Defer(func() { _ = cloud.Close() })
	e.Values[sandboxKey{}] = cloud

	store := harness.Envstore{Path: filepath.Join(e.WorkDir, ".envstore.yml"), Bin: bin}
	if err := store.Init(context.Background()); err != nil {
		return err
	}
	home := filepath.Join(e.WorkDir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	e.Vars = append(e.Vars, cloud.Environ()...)
	e.Setenv("GORACE", strings.TrimPrefix(quickExit, "GORACE="))
	e.Setenv("GOCOVERDIR", os.Getenv("GOCOVERDIR"))
	e.Setenv("HOME", home)
	e.Setenv("PATH", bin+string(os.PathListSeparator)+e.Getenv("PATH"))
	e.Setenv("ENVMAN_ENVSTORE_PATH", store.Path)
	e.Setenv("DOCKER_CONFIG", filepath.Join(e.WorkDir, "docker"))
	e.Setenv("REGISTRY", cloud.Registry("123456789012", "us-east-1"))
	return nil
}

func cloudOf(ts *testscript.TestScript) *sandbox.Sandbox {
	return ts.Value(sandboxKey{}).(*sandbox.Sandbox)
}

// runStep is the command "[!] step [key=value…]": it runs the Step with the inputs of step.yml, some of them changed, and
// fails if any secret shows in what the Step printed.
func runStep(ts *testscript.TestScript, neg bool, args []string) {
	given := map[string]string{}
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		if !found {
			ts.Fatalf("usage: step [key=value…]")
		}
		given[key] = strings.ReplaceAll(value, `\n`, "\n")
	}
	inputs, err := harness.InputEnvironment(given, environ(ts))
	ts.Check(err)
	// env puts the inputs into this one process's environment only.
	err = ts.Exec("env", append(inputs, harness.StepProgram)...)
	output := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	if how := leak(output, cloudOf(ts).Secrets()); how != "" {
		ts.Fatalf("a secret shows in the Step's output, %s:\n%s", how, output)
	}
	switch {
	case err != nil && !neg:
		ts.Fatalf("the Step failed: %v\n%s", err, output)
	case err == nil && neg:
		ts.Fatalf("the Step succeeded, unexpectedly")
	}
}

// checkLog is the command "[!] says REGEXP": the last run's log, without colours and line breaks, matches.
func checkLog(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: says REGEXP")
	}
	if log := flat(ts.ReadFile("stdout")); regexp.MustCompile(args[0]).MatchString(log) == neg {
		ts.Fatalf("says %s: %v, in the log: %s", args[0], neg, log)
	}
}

// environ lists the variables that step.yml's defaults and the scripts' inputs may name.
func environ(ts *testscript.TestScript) []string {
	var list []string
	for _, key := range []string{"BITRISE_BUILD_URL", "BITRISE_BUILD_API_TOKEN", "BITRISE_BUILD_NUMBER", "BITRISE_IDENTITY_TOKEN", "KEY_ID", "KEY_SECRET"} {
		list = append(list, key+"="+ts.Getenv(key))
	}
	return list
}

func exports(ts *testscript.TestScript) map[string]string {
	values, err := harness.Envstore{Path: ts.Getenv("ENVMAN_ENVSTORE_PATH"), Bin: bin}.Values(context.Background())
	ts.Check(err)
	return values
}

// checkExported is the command "exported KEY REGEXP": the envstore has the key, with a value that matches as a whole.
func checkExported(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: exported KEY REGEXP")
	}
	value, found := exports(ts)[args[0]]
	if !found {
		ts.Fatalf("%s was not exported", args[0])
	}
	if !regexp.MustCompile("(?s)^(" + args[1] + ")$").MatchString(value) {
		ts.Fatalf("%s was exported with %d characters that do not match %s", args[0], len(value), args[1])
	}
}

// checkUnexported is the command "unexported [KEY…]": the envstore has none of the keys; without keys, it is empty.
func checkUnexported(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: unexported [KEY…]")
	}
	values := exports(ts)
	if len(args) == 0 && len(values) > 0 {
		ts.Fatalf("%d variables were exported", len(values))
	}
	for _, key := range args {
		if _, found := values[key]; found {
			ts.Fatalf("%s was exported", key)
		}
	}
}

// checkCalls is the command "calls SERVICE[:ACTION] N": the sandbox has been called that many times.
func checkCalls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: calls SERVICE[:ACTION] N")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := count(cloudOf(ts), args[0])
	if got != want {
		ts.Fatalf("%d calls of %s, want %d", got, args[0], want)
	}
}

// runNext is the command "[!] next PROGRAM [ARG…]": it runs a program with what the Step exported, as a next Step would
// see it, through envman run.
func runNext(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("envman", append([]string{"run"}, args...)...)
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
}

// checkMode is the command "mode OCTAL FILE".
func checkMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// mintToken is the command "mint AUDIENCE [CLAIM=NUMBER…]": it puts an identity token into BITRISE_IDENTITY_TOKEN.
func mintToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: mint AUDIENCE [CLAIM=NUMBER…]")
	}
	claims := map[string]any{}
	for _, arg := range args[1:] {
		key, value, _ := strings.Cut(arg, "=")
		number, err := strconv.Atoi(value)
		ts.Check(err)
		claims[key] = number
	}
	token, err := cloudOf(ts).MintToken(args[0], claims)
	ts.Check(err)
	ts.Setenv("BITRISE_IDENTITY_TOKEN", token)
}

// setUserKeys is the command "keys USER": it puts the access key of a user of the sandbox into KEY_ID and KEY_SECRET.
func setUserKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keys USER")
	}
	key := cloudOf(ts).User(args[0])
	ts.Setenv("KEY_ID", key.ID)
	ts.Setenv("KEY_SECRET", key.Secret)
}

// need skips a test whose real part is absent, with a line that says how to get it, and returns the program's path.
func need(t testing.TB, program, how string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("there is no %s on the PATH: %s", program, how)
	}
	return path
}

// quickExit keeps the race detector, with which the Step is built for these tests, from waiting a second at each exit.
const quickExit = "GORACE=atexit_sleep_ms=0"
