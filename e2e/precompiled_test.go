package e2e

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// precompiledWorkflow uses the Step by its ID and version in the StepLib, as users do.
const precompiledWorkflow = `
format_version: "13"
default_step_lib_source: STEPLIB
workflows:
  precompiled:
    steps:
    - authenticate-with-aws@1.0.0:
        inputs:
        - role_arn: $E2E_ROLE_ARN
        - docker_login: "true"
    - path::./e2e/next-step: {}
    - authenticate-with-aws@1.0.0:
        inputs:
        - role_arn: $E2E_ROLE_ARN
        - aws_profile: ` + oddName + `
    - path::./e2e/long-step: {}
    - authenticate-with-aws@1.0.0:
        is_always_run: true
        inputs:
        - action: logout
`

// The Bitrise CLI runs the programs of "make release" as precompiled executables, from the StepLib entry that make prints. The
// StepLib and the storage are servers in this test that support only HTTPS.
func TestBitriseRunsPrecompiledExecutables(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	steplib, certificates, downloads := serveSteplib(t, folder)
	cloud := startSandbox(t, sandbox.Options{})
	cli := newBitriseCLI(t, append(cloud.Environ(), "E2E_ROLE_ARN="+role,
		"BITRISE_EXPERIMENT_PRECOMPILED_STEPS=true", "BITRISE_PRECOMPILED_STEPS_STORAGE_URLS="+steplib,
		"SSL_CERT_FILE="+certificates, "GIT_SSL_CAINFO="+certificates)...)
	config := filepath.Join(folder, "bitrise.yml")
	writeFile(t, config, strings.ReplaceAll(precompiledWorkflow, "STEPLIB", steplib+"/steplib.git"))

	log, err := cli.run(config, "precompiled")
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	for _, want := range []string{"caller: " + assumedRole, "profile: " + oddName + ", access key: none", assumedRole} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not contain %q:\n%s", want, log)
		}
	}
	if how := leak(log, cloud.Secrets()); how != "" {
		t.Errorf("the log contains a secret, %s", how)
	}
	want := "/steps/authenticate-with-aws/1.0.0/bin/authenticate-with-aws-" + runtime.GOOS + "-" + runtime.GOARCH
	for _, got := range downloads() {
		if got != want {
			t.Errorf("got a download of %s, want only %s", got, want)
		}
	}
	if len(downloads()) != 3 {
		t.Errorf("got %d downloads, want one for each use of the Step", len(downloads()))
	}
	cli.mustBeLoggedOut()
}

// serveSteplib serves a release for this machine over HTTPS: /steplib.git is a StepLib with version 1.0.0 of the
// Step, and /steps is the storage. It returns the server's URL, the path of its certificate, and a function that returns the
// paths of the downloads from the storage.
func serveSteplib(t *testing.T, folder string) (url, certificates string, downloads func() []string) {
	t.Helper()
	storage, library := filepath.Join(folder, "served"), filepath.Join(folder, "steplib")
	programs, _, executables := release(t)
	version := filepath.Join(storage, "steps/authenticate-with-aws/1.0.0")
	if err := errors.Join(os.MkdirAll(version, 0o700), os.Symlink(programs, filepath.Join(version, "bin"))); err != nil {
		t.Fatal(err)
	}
	step, err := os.ReadFile(filepath.Join(root(t), "step.yml"))
	if err != nil {
		t.Fatal(err)
	}
	// The source does not exist, so the CLI fails if it tries to compile it.
	source := "published_at: 2026-01-01T00:00:00Z\n" +
		"source:\n  git: https://127.0.0.1:1/none.git\n  commit: 0123456789012345678901234567890123456789\n"
	writeFile(t, filepath.Join(library, "steps/authenticate-with-aws/1.0.0/step.yml"), string(step)+source+executables)
	writeFile(t, filepath.Join(library, "steplib.yml"), "format_version: 1.0.0\n"+
		"steplib_source: https://example.com/steplib.git\n"+
		"download_locations:\n- type: git\n  src: source/git\n")
	must(t, library, nil, "git", "init", "--quiet")
	must(t, library, nil, "git", "add", ".")
	must(t, library, nil, "git", "-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "--quiet", "-m", "m")
	bare := filepath.Join(storage, "steplib.git")
	must(t, library, nil, "git", "clone", "--quiet", "--bare", ".", bare)
	must(t, bare, nil, "git", "update-server-info") // for clones from a server of plain files

	var mu sync.Mutex
	var paths []string
	files := http.FileServer(http.Dir(storage))
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/steps/") {
			mu.Lock()
			paths = append(paths, r.URL.Path)
			mu.Unlock()
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	certificates = filepath.Join(folder, "certificates.pem")
	writeFile(t, certificates, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	return server.URL, certificates, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), paths...)
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
