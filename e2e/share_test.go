package e2e

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bitrise-io/stepman/models"
	"gopkg.in/yaml.v2"
)

// The commands in "Releasing" in CONTRIBUTING.md add a release to a fork of the StepLib. Here, the addresses of the fork and of the
// Step lead to repositories of this test.
func TestReleasing(t *testing.T) {
	t.Parallel()
	source := copyOfTheSource(t, "source")
	fork := t.TempDir()
	writeFile(t, filepath.Join(fork, "steplib.yml"), "format_version: 1.0.0\nsteplib_source: https://github.com/bitrise-io/bitrise-steplib.git\n"+
		"download_locations:\n- type: git\n  src: source/git\n")
	writeFile(t, filepath.Join(fork, "steps/authenticate-with-aws/step-info.yml"), "maintainer: bitrise\n")
	const address = "https://github.com/bitrise-steplib/bitrise-step-authenticate-with-aws.git"
	environment := []string{
		"HOME=" + t.TempDir(), "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"),
		"GOPATH=" + goVariable(t, "GOPATH"), "GOCACHE=" + goVariable(t, "GOCACHE"), "RELEASE_PLATFORMS=" + runtime.GOOS + "/" + runtime.GOARCH,
		"GIT_AUTHOR_NAME=n", "GIT_AUTHOR_EMAIL=e@example.com", "GIT_COMMITTER_NAME=n", "GIT_COMMITTER_EMAIL=e@example.com",
		"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=url." + source + ".insteadOf", "GIT_CONFIG_VALUE_0=" + address,
		"GIT_CONFIG_KEY_1=url." + fork + ".insteadOf", "GIT_CONFIG_VALUE_1=https://github.com/YOU/bitrise-steplib.git",
	}
	for _, folder := range []string{source, fork} {
		must(t, folder, environment, "git", "init", "--quiet", "--initial-branch=main")
		must(t, folder, environment, "git", "add", ".")
		must(t, folder, environment, "git", "commit", "--quiet", "--message=m")
	}

	mustReject := func(target string) {
		command := exec.CommandContext(t.Context(), "make", target)
		command.Dir, command.Env = source, append(os.Environ(), environment...)
		if output, err := command.CombinedOutput(); err == nil || !strings.Contains(string(output), "check out a tag such as 1.0.0") {
			t.Errorf("make %s: %v\n%s", target, err, output)
		}
	}
	mustReject("release")
	must(t, source, environment, "git", "tag", "v1.0.0")
	mustReject("notes")
	must(t, source, environment, "git", "tag", "--delete", "v1.0.0")
	must(t, source, environment, "git", "tag", "1.0.0")
	notes := must(t, source, environment, "make", "--silent", "notes")
	if !strings.Contains(notes, "### Added\n") || strings.Contains(notes, "\n## ") {
		t.Errorf("the notes are not the section of the version:\n%s", notes)
	}
	_, block, _ := strings.Cut(readFile(t, filepath.Join(root(t), "CONTRIBUTING.md")), "<!-- share: run by TestReleasing -->\n   ```sh\n")
	block, _, _ = strings.Cut(block, "   ```\n")
	if log := mustBuild(t, source, environment, "bash", "-euc", block); !strings.Contains(log, "create a Pull Request") {
		t.Errorf("stepman did not finish:\n%s", log)
	}

	var step models.StepModel
	shared := must(t, fork, environment, "git", "show", "authenticate-with-aws-1.0.0:steps/authenticate-with-aws/1.0.0/step.yml")
	if err := yaml.Unmarshal([]byte(shared), &step); err != nil {
		t.Fatal(err)
	}
	platform := runtime.GOOS + "-" + runtime.GOARCH
	program := readFile(t, filepath.Join(source, "dist", "authenticate-with-aws-"+platform))
	want := models.Executable{
		StorageURI: "steps/authenticate-with-aws/1.0.0/bin/authenticate-with-aws-" + platform,
		Hash:       fmt.Sprintf("sha256-%x", sha256.Sum256([]byte(program))),
	}
	if step.Executables == nil || !maps.Equal(*step.Executables, models.Executables{platform: want}) {
		t.Errorf("got %+v, want %+v for %s", step.Executables, want, platform)
	}
	commit := strings.TrimSpace(must(t, source, environment, "git", "rev-parse", "1.0.0"))
	if step.Source.Git != address || step.Source.Commit != commit {
		t.Errorf("got %+v, want %s at %s", step.Source, address, commit)
	}

	writeFile(t, filepath.Join(source, "main.go"), "package main\n")
	mustReject("release")
}

// goVariable returns a setting of Go, for a test with another HOME, on which its default depends.
func goVariable(t *testing.T, key string) string {
	t.Helper()
	return strings.TrimSpace(must(t, root(t), nil, "go", "env", key))
}
