// Package e2e tests the Step's program with the real envman, against the sandbox and against other implementations and real
// clients. The files testdata/*.txt describe runs as scripts. Tests that need a program that may not be installed are skipped
// with a message that says how to install it.
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

// bin is the folder with the programs under test.
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

// buildFlags returns the flags for building the program under test. If GOCOVERDIR is set, it writes coverage data there.
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

// setUp gives every script its own sandbox, envstore, home folder, and environment, isolated from the AWS and Docker
// configuration of this machine.
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

// runStep is the command "[!] step [key=value…]". It runs the Step with the inputs in step.yml, some of them changed, and fails
// if the Step's output contains a secret.
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
	// env sets the inputs for this process only.
	err = ts.Exec("env", append(inputs, harness.StepProgram)...)
	output := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	if how := leak(output, cloudOf(ts).Secrets()); how != "" {
		ts.Fatalf("the Step's output contains a secret, %s:\n%s", how, output)
	}
	switch {
	case err != nil && !neg:
		ts.Fatalf("the Step failed: %v\n%s", err, output)
	case err == nil && neg:
		ts.Fatalf("the Step succeeded unexpectedly")
	}
}

// checkLog is the command "[!] says REGEXP". The log of the last run, without colors and line breaks, must match.
func checkLog(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: says REGEXP")
	}
	if log := flat(ts.ReadFile("stdout")); regexp.MustCompile(args[0]).MatchString(log) == neg {
		ts.Fatalf("the log matches %s: %v, want %v; the log: %s", args[0], neg, !neg, log)
	}
}

// environ returns the variables that the defaults in step.yml and the inputs in scripts can refer to.
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

// checkExported is the command "exported KEY REGEXP". The variable must be in the envstore, and its whole value must match.
func checkExported(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: exported KEY REGEXP")
	}
	value, found := exports(ts)[args[0]]
	if !found {
		ts.Fatalf("%s was not exported", args[0])
	}
	if !regexp.MustCompile("(?s)^(" + args[1] + ")$").MatchString(value) {
		ts.Fatalf("the value of %s (%d bytes) does not match %s", args[0], len(value), args[1])
	}
}

// checkUnexported is the command "unexported [KEY…]". The envstore must not contain these variables or, without arguments, any
// variables.
func checkUnexported(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: unexported [KEY…]")
	}
	values := exports(ts)
	if len(args) == 0 && len(values) > 0 {
		ts.Fatalf("got %d exported variables, want none", len(values))
	}
	for _, key := range args {
		if _, found := values[key]; found {
			ts.Fatalf("%s was exported", key)
		}
	}
}

// checkCalls is the command "calls SERVICE[:ACTION] N". The sandbox must have received N calls.
func checkCalls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: calls SERVICE[:ACTION] N")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := count(cloudOf(ts), args[0])
	if got != want {
		ts.Fatalf("got %d calls of %s, want %d", got, args[0], want)
	}
}

// runNext is the command "[!] next PROGRAM [ARG…]". It runs a program with the exported variables, as part of the next Step.
func runNext(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("envman", append([]string{"run"}, args...)...)
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
}

// checkMode is the command "mode OCTAL FILE". The file must have these permissions.
func checkMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL FILE")
	}
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s: got mode %s, want %s", args[1], got, args[0])
	}
}

// mintToken is the command "mint AUDIENCE [CLAIM=NUMBER…]". It sets BITRISE_IDENTITY_TOKEN to a new identity token.
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

// setUserKeys is the command "keys USER". It sets KEY_ID and KEY_SECRET to the access key of a user in the sandbox.
func setUserKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keys USER")
	}
	key := cloudOf(ts).User(args[0])
	ts.Setenv("KEY_ID", key.ID)
	ts.Setenv("KEY_SECRET", key.Secret)
}

// need returns the path of a program. If it is not installed, need skips the test with a message that says how to install it.
func need(t testing.TB, program, how string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not in PATH: %s", program, how)
	}
	return path
}

// quickExit keeps the race detector, with which the Step is built for these tests, from waiting for a second at each exit.
const quickExit = "GORACE=atexit_sleep_ms=0"
