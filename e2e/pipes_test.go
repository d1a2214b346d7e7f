package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// atOnce is how many programs a test runs at the same time.
const atOnce = 8

// runUntilReaderLeaves runs a command whose output is read up to a number of bytes and then not at all, and returns its exit code;
// -1 if it was ended by a signal.
func runUntilReaderLeaves(t *testing.T, command *exec.Cmd, bytes int64) int {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Error(err)
		return -1
	}
	command.Stdout, command.Stderr = writer, writer
	if err := errors.Join(command.Start(), writer.Close()); err != nil {
		t.Error(err)
	}
	_, _ = io.CopyN(io.Discard, reader, bytes) // the log may be shorter
	_ = reader.Close()
	_ = command.Wait()
	return command.ProcessState.ExitCode()
}

// 16.4: the reader of the log goes away at 110 different moments. Each run exports everything and succeeds, or exports nothing and
// fails, with files to match. In every fifth run, the outputs exceed a limit of envman.
func TestReaderOfTheLogGoesAwayAtAnyMoment(t *testing.T) {
	const runs = 110
	const before = `{"auths":{"registry.example.com":{"auth":"a2VwdDprZXB0"}}}`
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	given := map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": "bitrise"}
	length := len(newProfileRun(t, cloud).mustStep(given))
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range runs {
		r := newProfileRun(t, cloud)
		path := r.writeDockerFile(before)
		code, files := 0, true
		if i%5 == 0 {
			r.fillStore()
			code, files = 1, false
		}
		command := r.command(given)
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if got := runUntilReaderLeaves(t, command, int64(i*length/runs)); got != code {
				t.Errorf("run %d: exit code %d, want %d", i, got, code)
			}
			config, _ := os.ReadFile(r.configFile())
			docker, err := os.ReadFile(path)
			if err != nil {
				t.Error(err)
			}
			hasLogin := strings.Contains(string(docker), cloud.Registry(account, region))
			hasProfile := strings.Contains(string(config), "[profile bitrise]")
			if hasLogin != files || hasProfile != files || !files && string(docker) != before {
				t.Errorf("run %d: login %v, profile %v, want %v", i, hasLogin, hasProfile, files)
			}
			exported := r.exported()
			if code == 0 && (exported["AWS_PROFILE"] != "bitrise" || exported["ECR_REGISTRY"] == "") {
				t.Errorf("run %d: not everything was exported", i)
			}
			if code != 0 && len(exported) > 0 {
				t.Errorf("run %d: %d variables were exported", i, len(exported))
			}
		})
	}
	group.Wait()
}

// 16.4: the credential process prints the credentials although its warnings cannot be written.
func TestCredentialProcessWithoutStandardError(t *testing.T) {
	t.Parallel()
	for name, redirect := range map[string]string{"closed": "2>&-", "without a reader": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The renewal warns of an attempt that failed.
			r, cloud := prepareRenewal(t, nil, parseFaults(t, assume+` 2 error Throttling "Rate exceeded"`)...)
			command := r.process()
			command.Args[2] += " " + redirect
			var output bytes.Buffer
			command.Stdout = &output
			if redirect == "" {
				reader, writer, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = writer.Close() }()
				_ = reader.Close()
				command.Stderr = writer
			}
			if err := command.Run(); err != nil || !strings.Contains(output.String(), `"AccessKeyId":"ASIA`) {
				t.Errorf("got %v and %d bytes", err, output.Len())
			}
			if got := count(cloud, assume); got != 3 {
				t.Errorf("%d exchanges, want 3", got)
			}
		})
	}
}

// 16.4: a credential process whose reader has gone fails, and leaves the cache for the next one.
func TestCredentialProcessWithoutAReader(t *testing.T) {
	t.Parallel()
	r, cloud := prepareRenewal(t, nil)
	if code := runUntilReaderLeaves(t, r.process(), 0); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if _, stderr, err := r.tryCredentials(r.process()); err != nil || stderr != "" {
		t.Errorf("the next one: %v\n%s", err, stderr)
	}
	if got := count(cloud, assume); got < 2 {
		t.Errorf("%d exchanges, want a renewal", got)
	}
}

// fullPipe is a pipe that no one reads.
type fullPipe struct {
	t      *testing.T
	path   string
	reader int
	writer *os.File
}

func newFullPipe(t *testing.T) *fullPipe {
	t.Helper()
	p := &fullPipe{t: t, path: filepath.Join(t.TempDir(), "pipe")}
	if err := syscall.Mkfifo(p.path, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.reader, err = syscall.Open(p.path, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	// Blocking, as a program expects its standard output to be.
	writer, err := syscall.Open(p.path, syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.writer = os.NewFile(uintptr(writer), p.path)
	t.Cleanup(func() { _ = errors.Join(p.writer.Close(), syscall.Close(p.reader)) })
	return p
}

// fill fills the pipe, so that the next write to it hangs.
func (p *fullPipe) fill() {
	p.t.Helper()
	writer, err := syscall.Open(p.path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = syscall.Close(writer) }()
	for _, size := range []int{4096, 1} {
		for err = nil; err == nil; {
			_, err = syscall.Write(writer, make([]byte, size))
		}
		if !errors.Is(err, syscall.EAGAIN) {
			p.t.Fatal(err)
		}
	}
}

// 16.3: a reader that does not read the log hangs neither the Step nor the credential process, once a signal or the timeout has ended it.
func TestReaderThatDoesNotRead(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, 0} {
		t.Run(map[syscall.Signal]string{syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", 0: "timeout"}[signal], func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			endpoint, reached := stuckAt(t, cloud.AWSURL(), 1)
			r := newProfileRun(t, cloud, "AWS_ENDPOINT_URL_STS="+endpoint)
			command, pipe := r.command(map[string]string{"role_arn": role, "docker_login": "true", "timeout": "10"}), newFullPipe(t)
			command.Stdout, command.Stderr = pipe.writer, pipe.writer
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			<-reached
			pipe.fill()
			if signal != 0 {
				if err := command.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
			if code := exitCode(command.Wait()); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			r.mustHaveExportedNothing()
		})
	}
	t.Run("from the start", func(t *testing.T) {
		t.Parallel()
		cloud := startSandbox(t, sandbox.Options{})
		r := newProfileRun(t, cloud)
		command, pipe := r.command(map[string]string{"role_arn": role, "timeout": "10"}), newFullPipe(t)
		pipe.fill()
		command.Stdout, command.Stderr = pipe.writer, pipe.writer
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(command.Wait()); code != 1 || len(cloud.Calls()) != 0 {
			t.Errorf("exit code %d and %d calls, want 1 and none", code, len(cloud.Calls()))
		}
		r.mustHaveExportedNothing()
	})
	t.Run("credential process", func(t *testing.T) {
		t.Parallel()
		cloud := startSandbox(t, sandbox.Options{})
		endpoint, reached := stuckAt(t, cloud.AWSURL(), 2)
		r := newProfileRun(t, cloud, "AWS_ENDPOINT_URL_STS="+endpoint)
		r.mustStep(map[string]string{"role_arn": role, "aws_profile": oddName})
		r.expireSessions()
		command, pipe := r.process(), newFullPipe(t)
		command.Stderr = pipe.writer
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		<-reached
		pipe.fill()
		if err := command.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(command.Wait()); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		r.credentials() // the lock of the renewal is free
	})
}

// 16.3: a configuration file that is a pipe, which might never end, is an error before anything is sent, and so is a device.
func TestConfigurationFilesThatNeverEnd(t *testing.T) {
	t.Parallel()
	login := map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": "bitrise"}
	logout := map[string]string{"action": "logout"}
	for name, row := range map[string]struct {
		variable, file string
		given          map[string]string
	}{
		"Docker's file":          {"DOCKER_CONFIG", "config.json", login},
		"AWS's config file":      {"AWS_CONFIG_FILE", "", login},
		"AWS's credentials file": {"AWS_SHARED_CREDENTIALS_FILE", "", login},
		"CA bundle":              {"AWS_CA_BUNDLE", "", login},
		"logout, Docker's file":  {"DOCKER_CONFIG", "config.json", logout},
		"logout, AWS's file":     {"AWS_CONFIG_FILE", "", logout},
	} {
		for kind, create := range map[string]func(path string) error{
			"pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"link to a pipe": func(path string) error {
				return errors.Join(syscall.Mkfifo(path+".pipe", 0o600), os.Symlink(path+".pipe", path))
			},
			"endless device": func(path string) error { return os.Symlink("/dev/zero", path) },
		} {
			if kind == "endless device" && row.variable == "AWS_SHARED_CREDENTIALS_FILE" {
				continue // it may be /dev/null, so the Step reads no device
			}
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				cloud := startSandbox(t, sandbox.Options{})
				path := filepath.Join(t.TempDir(), "config.json")
				value := path
				if row.file != "" {
					value = filepath.Dir(path)
				}
				r := newProfileRun(t, cloud, row.variable+"="+value)
				if row.given["action"] == "logout" {
					r.mustStep(login) // a logout reads only files that a login has written
					if err := errors.Join(r.store.Init(t.Context()), os.Remove(path)); err != nil {
						t.Fatal(err)
					}
				}
				calls := len(cloud.Calls())
				if err := create(path); err != nil {
					t.Fatal(err)
				}
				output, err := r.step(row.given)
				if err == nil || !strings.Contains(flat(output), "not a regular file") || !strings.Contains(flat(output), "What to do") {
					t.Errorf("got %v\n%s", err, output)
				}
				if n := len(cloud.Calls()) - calls; n != 0 {
					t.Errorf("got %d calls, want none", n)
				}
				for key, value := range r.exported() {
					if value != "" {
						t.Errorf("%s was exported", key)
					}
				}
			})
		}
	}
}
