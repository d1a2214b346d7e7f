package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// fileCalls are the system calls by which a run changes or looks at files.
const fileCalls = "openat,newfstatat,write,fsync,fchmod,fchmodat,fchown,renameat,unlinkat,mkdirat,flock,getdents64,readlinkat,utimensat"

// injection is a run of which one system call fails.
type injection struct {
	*run
	strace string
}

// inject makes the nth call fail with an error, runs the Step, and reports whether there was such a call.
func (i injection) inject(call string, n int, errno string, given map[string]string) (log string, code int, isInjected bool) {
	i.t.Helper()
	trace := filepath.Join(i.t.TempDir(), "trace")
	step := i.command(given)
	command := exec.CommandContext(i.t.Context(), i.strace, "-f", "-qq", "-o", trace, "-e", "trace="+call,
		"-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, errno, n), step.Path)
	// One thread makes most of the calls then, so that counting them for each thread is counting them.
	command.Env = append(step.Env, "GOCOVERDIR=", "GOMAXPROCS=1", "SSL_CERT_FILE=/dev/null", "SSL_CERT_DIR=/dev/null")
	output, err := command.CombinedOutput()
	i.searchForSecrets("the Step's log", string(output))
	if err != nil {
		code = exitCode(err)
	}
	content, readErr := os.ReadFile(trace)
	if readErr != nil {
		i.t.Fatalf("strace wrote nothing: %v, %v\n%s", readErr, err, output)
	}
	return flat(string(output)), code, strings.Contains(string(content), "(INJECTED)")
}

// snapshot returns the content of all files in the run's home and in Docker's folder, by their paths. The program's copy is left out.
func (r *run) snapshot() map[string]string {
	r.t.Helper()
	files := map[string]string{}
	for _, root := range []string{r.home(), r.docker} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path == r.store.Path {
				return err
			}
			files[path] = readFile(r.t, path)
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			r.t.Fatal(err)
		}
	}
	return files
}

// Each file-system call of a run fails once. The run succeeds only if everything that was asked for is there and works.
// Otherwise it exports nothing and lists the files that it has changed, and a logout removes all of it. There are thousands of calls, so
// a sample runs by default, and each call with each error if EVERY_CALL is set.
func TestEveryFileCallFailsOnce(t *testing.T) {
	t.Parallel()
	strace := need(t, "strace", "apt-get install strace")
	cloud := startSandbox(t, sandbox.Options{})
	stride, every := 7, os.Getenv("EVERY_CALL") != ""
	if every {
		stride = 1
	}
	modes := map[string]map[string]string{
		"variables": {"role_arn": role},
		"docker":    {"role_arn": role, "docker_login": "true"},
		"profile":   {"role_arn": role, "aws_profile": "bitrise"},
		"logout":    {"action": "logout"},
	}
	errnos := []string{"ENOSPC", "EIO", "EACCES", "EMFILE"}
	slots := make(chan struct{}, 4)
	for mode, given := range modes {
		for k, call := range strings.Split(fileCalls, ",") {
			t.Run(mode+" "+call, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				isInjected := true
				for n := 1 + k%stride; isInjected; n += stride {
					for i, errno := range errnos {
						if every || i == (n+k)%len(errnos) {
							isInjected = injectInto(t, cloud, strace, mode, given, call, n, errno)
						}
					}
				}
			})
		}
	}
}

// injectInto makes one call of a run fail, and checks what the run says and leaves.
func injectInto(
	t *testing.T, cloud *sandbox.Sandbox, strace, mode string, given map[string]string, call string, n int, errno string,
) (isInjected bool) {
	t.Helper()
	r := newProfileRun(t, cloud, "BITRISE_BUILD_SLUG=build")
	r.writeUserFiles()
	before := r.snapshot()
	login := map[string]string{"role_arn": role, "docker_login": "true", "aws_profile": "bitrise"}
	if mode == "logout" {
		r.mustStep(login)
		r.environ = append(r.environ, "AWS_CALLER_ARN=x")
	}
	log, code, isInjected := injection{r, strace}.inject(call, n, errno, given)
	where := fmt.Sprintf("%s %d: %s", call, n, errno)
	after := r.snapshot()
	exported := r.exported()
	switch {
	case code == 0 && mode == "logout":
		sameFiles(t, where, before, after)
	case code == 0:
		hasLogin := strings.Contains(after[filepath.Join(r.docker, "config.json")], cloud.Registry(account, region))
		if exported["AWS_REGION"] == "" || mode == "docker" && !hasLogin {
			t.Errorf("%s: not everything was exported\n%s", where, log)
		}
		if mode == "profile" {
			if output, stderr, err := r.tryCredentials(r.process()); err != nil || !strings.HasPrefix(output.AccessKeyId, "ASIA") {
				t.Errorf("%s: the profile doesn't work: %v\n%s", where, err, stderr)
			}
		}
	case code == 2 && strings.Contains(log, "netpollBreak write failed"): // Go's own call, without which nothing works
	case code != 1:
		t.Errorf("%s: exit code %d\n%s", where, code, log)
	case mode != "logout":
		if len(exported) > 0 && exported["AWS_REGION"] != "" {
			t.Errorf("%s: failed, but exported %d variables\n%s", where, len(exported), log)
		}
		for path, content := range after {
			isTemporary := regexp.MustCompile(`\.authenticate-with-aws-\d+$`).MatchString(path)
			if before[path] != content && !isTemporary && !strings.Contains(log, "- "+path) {
				t.Errorf("%s: %s is not listed\n%s", where, path, log)
			}
		}
	}
	// Whatever it was, a login and a logout afterwards leave nothing.
	if mode != "logout" {
		r.mustStep(login)
	}
	r.mustStep(map[string]string{"action": "logout"})
	sameFiles(t, where+", after a logout", before, r.snapshot())
	return isInjected
}

func sameFiles(t *testing.T, where string, want, got map[string]string) {
	t.Helper()
	normal := func(content string) string { return strings.Join(strings.Fields(content), "") }
	for path, content := range got {
		if normal(want[path]) != normal(content) {
			t.Errorf("%s: %s has changed:\n%.300s", where, path, content)
		}
	}
	for path := range want {
		if _, found := got[path]; !found {
			t.Errorf("%s: %s is gone", where, path)
		}
	}
}
