package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// userFiles are files of the user's that a run changes, as they were before it.
type userFiles map[string]userFile

type userFile struct {
	content string
	changed time.Time
}

// writeUserFiles writes Docker's and AWS's configuration files.
func (r *run) writeUserFiles() userFiles {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.configFile()), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.configFile(), []byte("[default]\nregion = eu-west-3"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	docker := r.writeDockerFile(`{"auths":{"registry.example.com":{"auth":"a2VwdDprZXB0"}}}`)
	files := userFiles{docker: {}, r.configFile(): {}}
	for path := range files {
		// A time long ago, in which a new version differs for certain.
		past := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, past, past); err != nil {
			r.t.Fatal(err)
		}
		files[path] = statUserFile(r.t, path)
	}
	return files
}

func statUserFile(t testing.TB, path string) userFile {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return userFile{string(content), info.ModTime()}
}

// mustBeUntouched checks that the files are the same, and that nothing else is in their folders.
func (f userFiles) mustBeUntouched(t testing.TB) {
	t.Helper()
	for path, before := range f {
		if now := statUserFile(t, path); now.content != before.content || !now.changed.Equal(before.changed) {
			t.Errorf("%s was touched at %s:\n%s", path, now.changed, now.content)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("the folder of %s contains %v, %v", path, entries, err)
		}
	}
}

// 16.8: of two Steps with the same session, one fails at the export and the other does not. The good one's profile works.
func TestFailingStepWithTheSameSession(t *testing.T) {
	t.Parallel()
	const first, last, atOnce = "the failing one first", "the failing one last", "at the same time"
	for _, order := range []string{first, last, atOnce} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			good := newProfileRun(t, cloud)
			bad := newProfileRun(t, cloud, "HOME="+good.home(), "DOCKER_CONFIG="+good.docker)
			bad.fillStore()
			given := map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": "bitrise"}
			succeed, fail := good.command(given), bad.command(given)
			run := func(command *exec.Cmd, want int) {
				if output, _ := command.CombinedOutput(); command.ProcessState.ExitCode() != want {
					t.Errorf("exit code %d, want %d\n%s", command.ProcessState.ExitCode(), want, output)
				}
			}
			switch order {
			case first:
				run(fail, 1)
				run(succeed, 0)
			case last:
				run(succeed, 0)
				run(fail, 1)
			case atOnce:
				var both sync.WaitGroup
				both.Go(func() { run(succeed, 0) })
				both.Go(func() { run(fail, 1) })
				both.Wait()
			}
			calls := len(cloud.Calls())
			if output, stderr := good.credentials(); stderr != "" || !strings.HasPrefix(output.AccessKeyId, "ASIA") {
				t.Errorf("the profile's credentials: %s", stderr)
			}
			if got := len(cloud.Calls()); got != calls {
				t.Errorf("the first use made %d calls, want none", got-calls)
			}
			if docker, err := os.ReadFile(filepath.Join(good.docker, "config.json")); err != nil ||
				!strings.Contains(string(docker), cloud.Registry(account, region)) {
				t.Errorf("the login is missing: %v", err)
			}
			if got := bad.exported(); len(got) > 0 {
				t.Errorf("%d variables were exported", len(got))
			}
		})
	}
}

// 16.14: the URL of a registry that ECR returns may contain the password. It is never quoted.
func TestOddRegistryURLsAreNotQuoted(t *testing.T) {
	t.Parallel()
	const password = "canary-password-of-ecr"
	for name, url := range map[string]string{
		"password in the URL":   "https://AWS:" + password + "@123456789012.dkr.ecr.us-east-1.amazonaws.com",
		"password in the path":  "https://123456789012.dkr.ecr.us-east-1.amazonaws.com/" + password,
		"password in the query": "https://123456789012.dkr.ecr.us-east-1.amazonaws.com?" + password,
		"only the password":     password,
		"not a port":            "https://host:" + password,
		"line break":            "https://host\n" + password,
		"escape":                "https://%zz" + password,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			token := base64.StdEncoding.EncodeToString([]byte("AWS:" + password))
			ecr := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				_, _ = fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":4000000000,"proxyEndpoint":%q}]}`, token, url)
			}))
			defer ecr.Close()
			r := newProfileRun(t, cloud, "AWS_ENDPOINT_URL_ECR="+ecr.URL)
			output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true", "timeout": "10", "verbose": "true"})
			if err == nil || !strings.Contains(flat(output), "contains no valid URL of the account's registry") {
				t.Errorf("got %v\n%s", err, output)
			}
			if strings.Contains(output, password) || strings.Contains(output, token) {
				t.Errorf("the log shows the password:\n%s", output)
			}
			r.mustHaveExportedNothing()
		})
	}
}

// 16.23: a file that is a mount point cannot be replaced. The run touches nothing, and says what to do.
func TestFileThatIsAMountPoint(t *testing.T) {
	t.Parallel()
	unshare := need(t, "unshare", "it is a part of util-linux")
	for _, name := range []string{"docker", "aws", "both"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newProfileRun(t, startSandbox(t, sandbox.Options{}))
			files := r.writeUserFiles()
			var mounts []string
			for path := range files {
				if isDocker := path != r.configFile(); name == "both" || isDocker == (name == "docker") {
					mounts = append(mounts, fmt.Sprintf("mount --bind '%s' '%s'", path, path))
				}
			}
			mount := strings.Join(mounts, " && ")
			if output, err := exec.CommandContext(t.Context(), unshare, "--mount", "sh", "-c", mount).CombinedOutput(); err != nil {
				t.Skipf("this user cannot mount a file: %s", output)
			}
			step := r.command(map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": "bitrise"})
			command := exec.CommandContext(t.Context(), unshare, "--mount", "sh", "-c", mount+` && exec "$0"`, step.Path)
			command.Env = step.Env
			output, err := command.CombinedOutput()
			if exitCode(err) != 1 || !strings.Contains(flat(string(output)), "is a mount point, so it cannot be replaced. Mount the folder") {
				t.Errorf("got %v\n%s", err, output)
			}
			files.mustBeUntouched(t)
			if got := r.exported(); len(got) > 0 {
				t.Errorf("%d variables were exported", len(got))
			}
		})
	}
}

// 16.23: a home that no profile can be kept in. The run touches nothing, and says how HOME must be.
func TestAdviceForAHomeThatCannotKeepTheProfile(t *testing.T) {
	t.Parallel()
	unshare := need(t, "unshare", "it is a part of util-linux")
	for _, option := range []string{"ro", "noexec"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			r := newProfileRun(t, startSandbox(t, sandbox.Options{}))
			const docker = `{"auths":{"registry.example.com":{"auth":"a2VwdDprZXB0"}}}`
			path := r.writeDockerFile(docker)
			mount := fmt.Sprintf("mount -t tmpfs tmpfs '%s' && mount -o remount,%s '%s'", r.home(), option, r.home())
			if output, err := exec.CommandContext(t.Context(), unshare, "--mount", "sh", "-c", mount).CombinedOutput(); err != nil {
				t.Skipf("this user cannot mount a file system: %s", output)
			}
			step := r.command(map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": "bitrise"})
			command := exec.CommandContext(t.Context(), unshare, "--mount", "sh", "-c", mount+` && exec "$0"`, step.Path)
			command.Env = step.Env
			output, err := command.CombinedOutput()
			if want := "must not be mounted read-only or noexec"; exitCode(err) != 1 || !strings.Contains(flat(string(output)), want) {
				t.Errorf("got %v, want %q:\n%s", err, want, output)
			}
			wantContent(t, path, docker)
			if got := r.exported(); len(got) > 0 {
				t.Errorf("%d variables were exported", len(got))
			}
		})
	}
}
