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

func (r *run) mustHaveNoValues() {
	r.t.Helper()
	for key, value := range r.exported() {
		if value != "" {
			r.t.Errorf("%s was exported", key)
		}
	}
}

// Issue 13, item 1: a signal at any export before the files are put into place leaves both files alone. With a profile, the last export
// is AWS_PROFILE: it cannot be emptied, so it comes after the files.
func TestSignalAtEachExportTouchesNoFile(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		profile string
		exports int
	}{"credentials": {"", 10}, "profile": {"bitrise", 7}} {
		for n := 1; n <= row.exports; n++ {
			t.Run(fmt.Sprintf("%s, export %d", name, n), func(t *testing.T) {
				t.Parallel()
				r := newProfileRun(t, startSandbox(t, sandbox.Options{}))
				files := r.writeUserFiles()
				r.wrapEnvman(fmt.Sprintf(`[ "$calls" = %d ] && { kill -TERM "$PPID"; exec sleep 60; }`, n))
				output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": row.profile})
				files.mustBeUntouched(t)
				// On a slow machine, there may be no time to empty all outputs. Then the log says so.
				switch last := lastLine(output); {
				case exitCode(err) == 1 && strings.Contains(last, "interrupted by a signal; nothing was exported"):
					r.mustHaveNoValues()
				case exitCode(err) != 1 || !strings.Contains(last, "interrupted by a signal; not all outputs could be emptied again"):
					t.Errorf("got %v\n%s", err, output)
				}
			})
		}
	}
}

// 16.8: of two Steps with the same session, one fails at the export and the other does not. The good one's profile works.
func TestFailingStepWithTheSameSession(t *testing.T) {
	t.Parallel()
	const first, last, atOnce = "the failing one first", "the failing one last", "at the same time"
	for _, order := range []string{first, last, atOnce} {
		for _, call := range []int{1, 5, 8} { // the last one is AWS_PROFILE, after the files
			t.Run(fmt.Sprintf("%s, export %d", order, call), func(t *testing.T) {
				t.Parallel()
				cloud := startSandbox(t, sandbox.Options{})
				good := newProfileRun(t, cloud)
				bad := newProfileRun(t, cloud, "HOME="+good.home(), "DOCKER_CONFIG="+good.docker)
				bad.wrapEnvman(fmt.Sprintf(`[ "$calls" = %d ] && { echo "disk full" >&2; exit 1; }`, call))
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
				bad.mustHaveNoValues()
			})
		}
	}
}

// 16.12: an envman that prints the value shows no part of it, wherever its output is cut.
func TestLongOutputOfEnvmanWithTheValue(t *testing.T) {
	t.Parallel()
	const shown, kept = 1000, 64 << 10 // characters of an answer that the log shows, bytes of output that the Step keeps
	for name, row := range map[string]struct {
		padding int
		filler  string
	}{
		"at the start":                        {0, "x"},
		"before the cut":                      {shown - 100, "x"},
		"at the cut":                          {shown - 60, "x"},
		"at the cut, earlier":                 {shown - 75, "x"},
		"at the cut, later":                   {shown - 50, "x"},
		"just within the cut":                 {shown - 45, "x"},
		"after the cut":                       {shown + 1, "x"},
		"at the end of what is kept":          {kept - 30, " "},
		"at the end of what is kept, earlier": {kept - 20, " "},
	} {
		for call, key := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
			t.Run(key+" "+name, func(t *testing.T) {
				t.Parallel()
				cloud := startSandbox(t, sandbox.Options{})
				r := newProfileRun(t, cloud)
				r.wrapEnvman(fmt.Sprintf(`[ "$calls" = %d ] && {
	head -c %d /dev/zero | tr '\0' '%s'
	tee '%s'
	echo "disk full"
	exit 1
}`, call+1, row.padding, row.filler, filepath.Join(r.home(), "value")))
				output, err := r.step(map[string]string{"role_arn": role, "verbose": "true"})
				if err == nil || !strings.Contains(flat(output), "export "+key+": envman: exit status 1") {
					t.Errorf("got %v\n%s", err, output)
				}
				value, err := os.ReadFile(filepath.Join(r.home(), "value"))
				if err != nil || len(value) < 16 {
					t.Fatalf("the value has %d bytes, %v", len(value), err)
				}
				// Any sixteen characters in a row are a leak.
				for log, i := strings.Join(strings.Fields(output), ""), 0; i+16 <= len(value); i++ {
					if part := string(value[i : i+16]); strings.Contains(log, part) {
						t.Errorf("the log shows a part of %s, from character %d on:\n%s", key, i, output)
						break
					}
				}
			})
		}
	}
}

// 16.14: the URL of a registry that ECR answers with may contain the password. It is never quoted.
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

// 16.23: the advice goes by envman's own message, which is shown without its colors.
func TestAdviceByEnvmansMessage(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		`\033[31;1menv list is too large\033[0m`:                      "exceed envman's limit",
		`\033[31;1menv var value \033[0m\033[33mis too \033[0mlarge`:  "exceed envman's limit",
		`\033[31mopen .envstore.yml: no such file or directory\033[m`: `with "bitrise run"`,
	} {
		t.Run(message, func(t *testing.T) {
			t.Parallel()
			r := newProfileRun(t, startSandbox(t, sandbox.Options{}))
			files := r.writeUserFiles()
			r.wrapEnvman(`[ "$calls" = 3 ] && { printf '` + message + `\n'; exit 1; }`)
			output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true"})
			said := strings.Contains(output, "export AWS_SESSION_TOKEN: envman: exit status 1: ")
			if err == nil || !said || !strings.Contains(flat(output), want) {
				t.Errorf("got %v, want %q:\n%s", err, want, output)
			}
			if last := flat(lastLine(output)); strings.Contains(last, "[") {
				t.Errorf("the last line has color codes: %s", last)
			}
			files.mustBeUntouched(t)
			r.mustHaveNoValues()
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
			r.mustHaveNoValues()
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
			r.mustHaveNoValues()
		})
	}
}
