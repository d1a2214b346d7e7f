package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// writeDockerFile writes the run's Docker configuration file and returns its path.
func (r *run) writeDockerFile(content string) string {
	r.t.Helper()
	path := filepath.Join(r.docker, "config.json")
	if err := errors.Join(os.MkdirAll(r.docker, 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if content, err := os.ReadFile(path); err != nil || string(content) != want {
		t.Errorf("%s: got %.200s, %v; want %.200s", path, content, err, want)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the folder of %s contains %v, %v; want only the file", path, entries, err)
	}
}

// 50 Steps whose exports fail at the same time leave no logins in Docker's file.
func TestFailingStepsLeaveNoLogin(t *testing.T) {
	t.Parallel()
	const before = `{"auths":{"registry.example.com":{"auth":"a2VwdDprZXB0"}}}`
	program := plainProgram(t)
	cloud := startSandbox(t, sandbox.Options{})
	shared := newRun(t, cloud)
	path := shared.writeDockerFile(before)
	var all sync.WaitGroup
	for i := range 50 {
		r := newRun(t, cloud, "DOCKER_CONFIG="+shared.docker)
		r.program = program
		r.fillStore()
		all.Go(func() {
			output, err := r.step(map[string]string{
				"role_arn": role, "docker_login": "true", "ecr_registries": fmt.Sprintf("%012d.dkr.ecr.us-east-1.amazonaws.com", i),
			})
			if err == nil || !strings.Contains(flat(output), "exceeds envman's limit") {
				t.Errorf("got %v\n%s", err, output)
			}
		})
	}
	all.Wait()
	wantContent(t, path, before)
}

// Docker login, which ignores the Step's lock, stores a login while the Step runs. It is not lost.
func TestConcurrentDockerLoginIsKept(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud)
	path := r.writeDockerFile(`{}`)
	// Docker's own library replaces the file after the Step has read it.
	theirs, err := dockerconfig.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	theirs.AuthConfigs["registry.example.com"] = types.AuthConfig{Username: "someone", Password: "password"}
	if err := theirs.Save(); err != nil {
		t.Fatal(err)
	}
	// The lock on the folder holds the Step back between its reading the file and replacing it.
	unlock := lockFolder(t, r.docker)
	command := r.command(map[string]string{"role_arn": role, "docker_login": "true"})
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		staged, _ := filepath.Glob(filepath.Join(r.docker, ".config.json.*"))
		return len(staged) > 0
	})
	if err := os.Rename(theirs.GetFilename(), path); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := command.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &output)
	}
	config, err := dockerconfig.Load(r.docker)
	if err != nil {
		t.Fatal(err)
	}
	for host, user := range map[string]string{"registry.example.com": "someone", cloud.Registry(account, region): "AWS"} {
		if got := config.AuthConfigs[host].Username; got != user {
			t.Errorf("%s: got the login of %q, want %q", host, got, user)
		}
	}
}

// The Step logs in to a thousand registries with one call, and stores all logins together.
func TestThousandRegistries(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud)
	var hosts []string
	for i := range 1000 {
		hosts = append(hosts, fmt.Sprintf("%012d.dkr.ecr.us-east-1.amazonaws.com", i))
	}
	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true", "ecr_registries": strings.Join(hosts, "\n")})
	if n := count(cloud, login); n != 1 {
		t.Errorf("got %d calls of ECR, want 1", n)
	}
	config, err := dockerconfig.Load(r.docker)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if config.AuthConfigs[host].Username != "AWS" {
			t.Errorf("the login to %s is missing", host)
		}
	}
}

// A file that the Step cannot edit safely is rejected before anything is sent, and not changed.
func TestInvalidDockerFiles(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		content string
		prepare func(path string) error
		want    string
	}{
		"not JSON":       {`{"auths": {`, nil, "must be a JSON object"},
		"twice":          {`{"auths":{},"auths":{}}`, nil, `must not have the key "auths" more than once`},
		"other spelling": {`{"Auths":{}}`, nil, `must spell the key "Auths" as "auths"`},
		"160 MB":         {"{}", func(path string) error { return os.Truncate(path, 160<<20) }, "must be at most 16 MiB, got 160 MiB"},
		"pipe": {"", func(path string) error {
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600))
		}, "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			r := newRun(t, cloud)
			path := r.writeDockerFile(row.content)
			if row.prepare != nil {
				if err := row.prepare(path); err != nil {
					t.Fatal(err)
				}
			}
			output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true"})
			if err == nil || !strings.Contains(flat(output), path) || !strings.Contains(flat(output), row.want) {
				t.Errorf("got %v, want %q:\n%s", err, row.want, output)
			}
			if n := count(cloud, idToken) + count(cloud, assume); n != 0 {
				t.Errorf("got %d calls, want none", n)
			}
			if row.prepare == nil {
				wantContent(t, path, row.content)
			}
		})
	}
}

// A relative path, which would depend on the working directory, is rejected before anything is sent.
func TestDockerConfigMustBeAbsolute(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	for _, folder := range []string{"~/docker", "docker"} {
		t.Run(folder, func(t *testing.T) {
			output, err := newRun(t, cloud, "DOCKER_CONFIG="+folder).step(map[string]string{"role_arn": role, "docker_login": "true"})
			want := fmt.Sprintf("the variable DOCKER_CONFIG must be an absolute path without ~, got %q", folder)
			if err == nil || !strings.Contains(flat(output), want) || count(cloud, idToken) != 0 {
				t.Errorf("got %v, want %q:\n%s", err, want, output)
			}
		})
	}
}
