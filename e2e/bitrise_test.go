package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// bitriseCLI is the Bitrise CLI with its own home directory and environment.
type bitriseCLI struct {
	t       *testing.T
	program string
	environ []string
}

// newBitriseCLI sets up the Bitrise CLI. It skips the test if the CLI is not installed.
func newBitriseCLI(t *testing.T, environ ...string) *bitriseCLI {
	t.Helper()
	cli := &bitriseCLI{t: t, program: need(t, "bitrise", "install the Bitrise CLI, https://github.com/bitrise-io/bitrise/releases, and rsync")}
	need(t, "rsync", "the Bitrise CLI copies Steps with it: apt-get install rsync")
	cli.environ = []string{
		"HOME=" + t.TempDir(), "PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(),
		"DOCKER_HOST=" + os.Getenv("DOCKER_HOST"), "BITRISE_ANALYTICS_DISABLED=true", "CI=true", "PYTHONWARNINGS=ignore",
	}
	for _, key := range []string{"GOPATH", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS"} {
		cli.environ = append(cli.environ, key+"="+strings.TrimSpace(must(t, ".", nil, "go", "env", key)))
	}
	cli.environ = append(cli.environ, environ...)
	// The CLI and the workflows build these. Here, what they consist of is compiled once, and not by several workflows at a time.
	build(t, root(t), os.DevNull)
	build(t, filepath.Join(root(t), "e2e", "cmd", "sandbox"), os.DevNull)
	if log, err := cli.execute("setup", "--minimal"); err != nil {
		t.Fatalf("bitrise setup: %v\n%s", err, log)
	}
	return cli
}

// run runs a workflow of a configuration file in the repository's root directory and returns the log.
func (cli *bitriseCLI) run(config, workflow string) (string, error) {
	cli.t.Helper()
	return cli.execute("run", workflow, "--config", config)
}

func (cli *bitriseCLI) execute(arguments ...string) (string, error) {
	cli.t.Helper()
	command := exec.CommandContext(cli.t.Context(), cli.program, arguments...)
	command.Dir, command.Env = root(cli.t), cli.environ
	output, err := command.CombinedOutput()
	return string(output), err
}

// read returns the content of a file in the home directory, or "" if the file does not exist.
func (cli *bitriseCLI) read(path string) string {
	cli.t.Helper()
	home, _ := strings.CutPrefix(cli.environ[0], "HOME=")
	content, err := os.ReadFile(filepath.Join(home, path))
	if err != nil && !os.IsNotExist(err) {
		cli.t.Error(err)
	}
	return string(content)
}

// mustBeLoggedOut checks that the Step left nothing in Docker's and AWS's configuration files.
func (cli *bitriseCLI) mustBeLoggedOut() {
	cli.t.Helper()
	if strings.Contains(cli.read(".docker/config.json"), `"auth"`) {
		cli.t.Error("a login is left in Docker's configuration file")
	}
	if strings.Contains(cli.read(".aws/config"), "credential_process") {
		cli.t.Error("a profile is left in AWS's configuration file")
	}
}

// The workflows of bitrise.yml start and stop their own sandbox and need nothing else.
func TestBitriseWorkflows(t *testing.T) {
	t.Parallel()
	for workflow, row := range map[string]struct {
		environ []string
		fails   bool
		log     []string // regular expressions
	}{
		"e2e": {
			log: []string{"caller: " + assumedRole, `the secret key: \[REDACTED\]`, `sts:AssumeRoleWithWebIdentity .*200`},
		},
		"e2e-profile": {
			log: []string{"profile: bitrise-e2e, access key: none", assumedRole, `(?s)(sts:AssumeRoleWithWebIdentity .*){3}`},
		},
		"e2e-docker": {
			log: []string{`ecr:GetAuthorizationToken .*200`, `pulled: 127\.0\.0\.1:|SKIPPED: there is no Docker Engine`},
		},
		// The sandbox is also stopped if a Step fails; here, because the certificates cannot be read.
		"e2e, failing": {
			environ: []string{"AWS_CA_BUNDLE=/none"},
			fails:   true,
			log:     []string{"AWS_CA_BUNDLE", "Calls that the sandbox received"},
		},
	} {
		t.Run(workflow, func(t *testing.T) {
			t.Parallel()
			cli := newBitriseCLI(t, row.environ...)
			name, _, _ := strings.Cut(workflow, ",")
			log, err := cli.run("bitrise.yml", name)
			if (err != nil) != row.fails {
				t.Errorf("%v\n%s", err, log)
			}
			for _, want := range row.log {
				if !regexp.MustCompile(want).MatchString(log) {
					t.Errorf("the log does not say %q:\n%s", want, log)
				}
			}
			cli.mustBeLoggedOut()
			address := regexp.MustCompile(`AWS_ENDPOINT_URL_STS='http://(\S+)'`).FindStringSubmatch(log)
			if address == nil {
				t.Fatalf("the log does not name the sandbox's address:\n%s", log)
			}
			waitUntilClosed(t, address[1])
		})
	}
}

// waitUntilClosed waits until nothing listens at an address.
func waitUntilClosed(t *testing.T, address string) {
	t.Helper()
	waitFor(t, func() bool {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return true
		}
		_ = connection.Close()
		return false
	})
}

// If E2E_ROLE_ARN is set, the workflows use the cloud that the environment points to and do not start a sandbox.
func TestBitriseRun(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	runWorkflowIn(t, cloud, "e2e", "caller: "+assumedRole)
	if got := count(cloud, assume); got != 1 {
		t.Errorf("%d calls of %s, want 1", got, assume)
	}
}

func TestBitriseRunOutlastsThreeSessions(t *testing.T) {
	t.Parallel()
	need(t, "aws", howToGetAWS)
	cloud := startSandbox(t, sandbox.Options{})
	runWorkflowIn(t, cloud, "e2e-profile", "profile: bitrise-e2e, access key: none")
	checkClient(t, cloud)
}

// runWorkflowIn runs a workflow of bitrise.yml against the test's sandbox.
func runWorkflowIn(t *testing.T, cloud *sandbox.Sandbox, workflow, want string) {
	t.Helper()
	environ := append(cloud.Environ(), "E2E_ROLE_ARN="+role)
	cli := newBitriseCLI(t, environ...)
	log, err := cli.run("bitrise.yml", workflow)
	if err != nil || !strings.Contains(log, want) {
		t.Errorf("%v; want %q in:\n%s", err, want, log)
	}
	if how := leak(log, cloud.Secrets()); how != "" {
		t.Errorf("the log contains a secret, %s", how)
	}
	cli.mustBeLoggedOut()
}
