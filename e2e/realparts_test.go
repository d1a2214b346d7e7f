package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

const (
	account     = "123456789012"
	region      = "us-east-1"
	role        = "arn:aws:iam::123456789012:role/bitrise-deploy"
	assumedRole = "arn:aws:sts::123456789012:assumed-role/bitrise-deploy/"
)

const howToGetAWS = "install the AWS CLI, for example with: pip install awscli"

// The AWS CLI uses the exported credentials.
func TestAWSCLISeesTheRole(t *testing.T) {
	t.Parallel()
	aws := need(t, "aws", howToGetAWS)
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud, "PYTHONWARNINGS=ignore")
	r.mustStep(map[string]string{"role_arn": role})

	var caller struct{ Account, Arn string }
	if err := json.Unmarshal([]byte(r.next(aws, "sts", "get-caller-identity", "--output", "json")), &caller); err != nil {
		t.Fatal(err)
	}
	if caller.Account != account || !strings.HasPrefix(caller.Arn, assumedRole) {
		t.Errorf("got the caller %+v, want %s…", caller, assumedRole)
	}
}

// moto is an independent implementation of STS and ECR.
func TestStepAgainstMoto(t *testing.T) {
	t.Parallel()
	endpoint := startMoto(t)
	aws := need(t, "aws", howToGetAWS)
	// The sandbox issues the identity token. moto accepts any token.
	cloud := startSandbox(t, sandbox.Options{})
	token, err := cloud.MintToken("sts.amazonaws.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, given := range map[string]map[string]string{
		"web identity": {"role_arn": role, "identity_token": token},
		"access key":   {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "any-that-moto-is-given"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun(t, cloud, "AWS_ENDPOINT_URL_STS="+endpoint, "AWS_ENDPOINT_URL_ECR="+endpoint)
			r.mustStep(given)
			values := r.exported()
			var caller struct{ Account, Arn string }
			if err := json.Unmarshal([]byte(r.next(aws, "sts", "get-caller-identity", "--output", "json")), &caller); err != nil {
				t.Fatal(err)
			}
			if caller.Arn != values["AWS_CALLER_ARN"] || caller.Account != values["AWS_ACCOUNT_ID"] {
				t.Errorf("moto's caller is %+v, but the Step exported %s in %s", caller, values["AWS_CALLER_ARN"], values["AWS_ACCOUNT_ID"])
			}
		})
	}
	t.Run("ECR", func(t *testing.T) {
		r := newRun(t, cloud, "AWS_ENDPOINT_URL_STS="+endpoint, "AWS_ENDPOINT_URL_ECR="+endpoint)
		output, err := r.step(map[string]string{"role_arn": role, "identity_token": token, "docker_login": "true", "timeout": "10"})
		// moto's logins have expired in 2015. Everything else in them is valid.
		if err == nil || !strings.Contains(flat(output), "contains an authorization token that has expired") {
			t.Errorf("%v\n%s", err, output)
		}
		r.mustHaveExportedNothing()
	})
}

// startMoto starts a moto_server and returns its URL.
func startMoto(t *testing.T) string {
	t.Helper()
	program := need(t, "moto_server", "install moto, for example with: pip install 'moto[server]'")
	address := freeAddress()
	_, port, _ := net.SplitHostPort(address)
	command := exec.CommandContext(t.Context(), program, "-H", "127.0.0.1", "-p", port)
	var log strings.Builder
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() { _ = command.Process.Kill(); <-ended })

	for {
		// Poll until the server has started.
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("moto_server exited: %v\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/moto-api/", nil)
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			return "http://" + address
		}
	}
}

// freeAddress returns an unused address on the loopback interface. The system gives its port to no one in the meantime: those that
// it chooses begin at 32768 or, on macOS, at 49152.
func freeAddress() string {
	for {
		address := fmt.Sprint("127.0.0.1:", 20000+(os.Getpid()+int(lastPort.Add(1)))%10000)
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
}

var lastPort atomic.Int32

// go-containerregistry's default keychain finds the login in Docker's configuration file.
func TestGoContainerRegistryPushesAndPulls(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud)
	registry := cloud.Registry(account, region)
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(registry + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", r.docker)
	keychain := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	if err := remote.Write(tag, image, keychain); err == nil {
		t.Fatal("the registry accepts images without a login, so this test cannot fail")
	}

	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true"})
	if err := remote.Write(tag, image, keychain); err != nil {
		t.Fatalf("push: %v", err)
	}
	pulled, err := remote.Image(tag, keychain)
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	want, _ := image.Digest()
	if got, err := pulled.Digest(); err != nil || got != want {
		t.Errorf("pulled %s, %v; pushed %s", got, err, want)
	}
}

// Docker finds the login: "docker login" succeeds without a password, and so do pushing and pulling.
func TestDockerPushesAndPulls(t *testing.T) {
	t.Parallel()
	docker := need(t, "docker", "install Docker, for example with: apt-get install docker.io")
	if output, err := exec.CommandContext(t.Context(), docker, "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		t.Skipf("no Docker Engine is available (start one, or add yourself to its group): %s", output)
	}
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud)
	r.environ = append(r.environ, "DOCKER_HOST="+os.Getenv("DOCKER_HOST"))
	registry := cloud.Registry(account, region)
	image := registry + "/app:1"

	context := t.TempDir()
	for file, content := range map[string]string{"Dockerfile": "FROM scratch\nCOPY file /\n", "file": fmt.Sprintf("made for %s\n", t.Name())} {
		if err := os.WriteFile(filepath.Join(context, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.environ = append(r.environ, "DOCKER_BUILDKIT=0")
	r.next(docker, "build", "--tag", image, context)
	t.Cleanup(func() { _ = exec.Command(docker, "image", "rm", "--force", image).Run() })
	rejected := exec.CommandContext(t.Context(), docker, "push", image)
	rejected.Env = r.environ
	if output, err := rejected.CombinedOutput(); err == nil {
		t.Fatalf("the registry accepts images without a login, so this test cannot fail:\n%s", output)
	}

	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true"})
	if got := r.next(docker, "login", registry); !strings.Contains(got, "Login Succeeded") {
		t.Errorf("docker login did not succeed: %s", got)
	}
	r.next(docker, "push", image)
	r.next(docker, "image", "rm", image)
	r.next(docker, "pull", image)
}

// The audit that the StepLib requires accepts step.yml.
func TestStepmanAudit(t *testing.T) {
	t.Parallel()
	root := root(t)
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "stepman"), "audit", "--step-yml", filepath.Join(root, "step.yml"))
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
