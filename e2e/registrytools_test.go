package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Skopeo, which does not use Docker's code, copies images to and from each registry with the same file.
func TestSkopeoCopiesInAndOut(t *testing.T) {
	t.Parallel()
	skopeo := need(t, "skopeo", howToGetSkopeo)
	r := newRunByName(t)
	r.logIn()
	folder := t.TempDir()
	image := randomImage(t)
	path, err := layout.Write(filepath.Join(folder, "in"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	for i, registry := range worldwide() {
		there := "docker://" + registry + "/app:1"
		out := filepath.Join(folder, fmt.Sprint("out", i))
		r.next(skopeo, "--insecure-policy", "copy", "--authfile", filepath.Join(r.docker, "config.json"), "oci:"+filepath.Join(folder, "in"), there)
		r.next(skopeo, "--insecure-policy", "copy", "--authfile", filepath.Join(r.docker, "config.json"), there, "oci:"+out)
		// Compare the layers, because Skopeo converts the manifest from Docker's format to OCI's.
		if got, want := layersIn(t, out), layersOf(t, image); !slices.Equal(got, want) {
			t.Errorf("%s: got layers %v, want %v", registry, got, want)
		}
	}
}

// layersIn returns the layers of the only image in an OCI layout.
func layersIn(t *testing.T, folder string) []v1.Hash {
	t.Helper()
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return layersOf(t, image)
}

func layersOf(t *testing.T, image v1.Image) []v1.Hash {
	t.Helper()
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var hashes []v1.Hash
	for _, layer := range manifest.Layers {
		hashes = append(hashes, layer.Digest)
	}
	return hashes
}

const howToGetSkopeo = "install it, for example with: apt-get install skopeo"

// If Docker's file names a credentials store, which takes precedence over the logins in the file, the Step also writes an
// empty credential helper for the registry. Docker and go-containerregistry then use the login in the file.
func TestEmptyHelperEntry(t *testing.T) {
	r := newRunByName(t)
	if err := os.MkdirAll(r.docker, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.docker, "config.json"), []byte(`{"credsStore":"locked-keychain"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	r.logIn()
	config, err := dockerconfig.Load(r.docker)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", r.docker)
	for _, host := range worldwide() {
		if auth, err := config.GetAuthConfig(host); err != nil || auth.Username != "AWS" {
			t.Errorf("Docker does not find the login to %s: %v", host, err)
		}
		registry, err := name.NewRegistry(host)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := authn.DefaultKeychain.Resolve(registry); err != nil || found == authn.Anonymous {
			t.Errorf("go-containerregistry does not find the login to %s: %v", host, err)
		}
	}
	// Skopeo and related tools do not support an empty helper (1.9 tries to run it), as docs/works-with.md says. This is logged instead
	// of checked, because a later version may support it.
	skopeo := need(t, "skopeo", howToGetSkopeo)
	command := exec.Command(skopeo, "login", "--get-login", "--authfile", filepath.Join(r.docker, "config.json"), worldwide()[0])
	output, err := command.CombinedOutput()
	t.Logf("skopeo login --get-login: %v: %s", err, output)
}

// For a build, the Docker SDK for Python loads all logins, not only those that it needs.
func TestDockerSDKForPython(t *testing.T) {
	t.Parallel()
	const how = "install the Docker SDK for Python, for example with: pip install docker"
	python := need(t, "python3", how)
	if output, err := exec.CommandContext(t.Context(), python, "-c", "import docker").CombinedOutput(); err != nil {
		t.Skipf("python3 cannot import docker: %s\n%s", how, output)
	}
	r := newRunByName(t)
	r.logIn()
	output := r.next(python, "-c", `
from docker import auth
for host, login in auth.load_config().get_all_credentials().items():
    print(host, login.get("Username", login.get("username")))
`)
	for _, host := range worldwide() {
		if !strings.Contains(output, host+" AWS\n") {
			t.Errorf("%s is missing in\n%s", host, output)
		}
	}
}

// Docker pushes to and pulls from each registry. The test starts its own Docker Engine, because a running one would not use the
// proxy.
func TestDockerOnEveryRegistry(t *testing.T) {
	t.Parallel()
	docker := need(t, "docker", "install Docker, for example with: apt-get install docker.io")
	dockerd := need(t, "dockerd", "install Docker Engine, for example with: apt-get install docker.io")
	if os.Getuid() != 0 {
		t.Skip("only root can start a Docker Engine")
	}
	r := newRunByName(t)
	r.startEngine(docker, dockerd)
	r.logIn()
	image := tarball(t, "file", "made for "+t.Name())
	for i, registry := range worldwide() {
		there := registry + "/app:1"
		load := exec.CommandContext(t.Context(), docker, "import", "-", there)
		load.Env, load.Stdin = r.environ, bytes.NewReader(image)
		if output, err := load.CombinedOutput(); err != nil {
			t.Fatalf("docker import: %v\n%s", err, output)
		}
		if i == 0 {
			stranger := exec.CommandContext(t.Context(), docker, "--config", t.TempDir(), "push", there)
			stranger.Env = r.environ
			if output, err := stranger.CombinedOutput(); err == nil {
				t.Fatalf("the registry accepts images without a login, so this test cannot fail:\n%s", output)
			}
		}
		r.next(docker, "push", there)
		r.next(docker, "image", "rm", there)
		r.next(docker, "pull", there)
	}
}

// startEngine starts a Docker Engine and sets DOCKER_HOST. It skips the test if the engine cannot be started.
func (r *byName) startEngine(docker, dockerd string) {
	r.t.Helper()
	// The path of a socket is limited to about 100 characters, which the test's temporary folder may exceed.
	folder, err := os.MkdirTemp("", "engine-")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = os.RemoveAll(folder) })
	settings := filepath.Join(folder, "daemon.json")
	if err := os.WriteFile(settings, []byte("{}"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	socket := "unix://" + filepath.Join(folder, "socket")
	engine := exec.Command(dockerd, "--config-file", settings,
		"--data-root", filepath.Join(folder, "data"), "--exec-root", filepath.Join(folder, "exec"), "--pidfile", filepath.Join(folder, "pid"), "--host", socket, "--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip-forward=false")
	var log bytes.Buffer
	engine.Env, engine.Stdout, engine.Stderr = r.environ, &log, &log
	if err := engine.Start(); err != nil {
		r.t.Skipf("the Docker Engine cannot be started: %v", err)
	}
	ended := make(chan struct{})
	go func() { _ = engine.Wait(); close(ended) }()
	r.t.Cleanup(func() {
		_ = engine.Process.Signal(os.Interrupt)
		<-ended
	})
	r.environ = append(r.environ, "DOCKER_HOST="+socket)
	for {
		version := exec.CommandContext(r.t.Context(), docker, "version", "--format", "{{.Server.Version}}")
		version.Env = r.environ
		if version.Run() == nil {
			return
		}
		// Poll until the engine has started.
		select {
		case <-ended:
			r.t.Skipf("the Docker Engine exited:\n%s", log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func tarball(t *testing.T, file, content string) []byte {
	t.Helper()
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	err := errors.Join(
		writer.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}),
		func() error { _, err := io.WriteString(writer, content); return err }(),
		writer.Close(),
	)
	if err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}
