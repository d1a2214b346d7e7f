package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// worldwide are six registries of two accounts: five in three Regions, one of them by the name of its dual-stack endpoint,
// and the public one.
func worldwide() []string {
	return []string{
		"123456789012.dkr.ecr.us-east-1.amazonaws.com",
		"000000000001.dkr.ecr.us-east-1.amazonaws.com",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com",
		"000000000001.dkr-ecr.eu-west-1.on.aws",
		"123456789012.dkr.ecr-fips.us-west-2.amazonaws.com",
		"public.ecr.aws",
	}
}

// byName is a run behind a proxy that leads the names of AWS to a sandbox, so that registries are reached by their own.
type byName struct {
	*run
	proxy *proxy
}

func newRunByName(t *testing.T) *byName {
	t.Helper()
	names := append(worldwide(), "sts.us-east-1.amazonaws.com", "api.ecr-public.us-east-1.amazonaws.com")
	for _, region := range []string{"us-east-1", "eu-west-1", "us-west-2"} {
		names = append(names, "api.ecr."+region+".amazonaws.com")
	}
	cloud := startSandbox(t, sandbox.Options{TLS: true, Hosts: names})
	forward := startProxy(t, func(host string) string {
		if slices.Contains(names, strings.TrimSuffix(host, ":443")) {
			return strings.TrimPrefix(cloud.AWSURL(), "https://")
		}
		return ""
	})
	r := &byName{
		run:   newRun(t, cloud, "HTTPS_PROXY="+forward.url, "AWS_ENDPOINT_URL_STS=", "AWS_ENDPOINT_URL_ECR=", "AWS_ENDPOINT_URL_ECR_PUBLIC="),
		proxy: forward,
	}
	// What comes after the Step trusts the sandbox's authority: Go's programs do so by this variable.
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, cloud.CACertificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	r.environ = append(r.environ, "SSL_CERT_FILE="+bundle)
	return r
}

func (r *byName) logIn() {
	r.t.Helper()
	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true", "ecr_registries": strings.Join(worldwide(), "\n")})
}

// transport reaches the registries as the programs of the next Step do.
func (r *byName) transport() http.RoundTripper {
	r.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(r.cloud.CACertificate())
	address, err := url.Parse(r.proxy.url)
	if err != nil {
		r.t.Fatal(err)
	}
	return &http.Transport{Proxy: http.ProxyURL(address), TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

// One run logs in to five registries in three Regions and to the public one, with one call a Region, each at its Region's
// own host, and go-containerregistry pushes to and pulls from each.
func TestRegistriesOfAllRegions(t *testing.T) {
	r := newRunByName(t)
	r.logIn()
	if got := [2]int{count(r.cloud, login), count(r.cloud, "ecr-public:GetAuthorizationToken")}; got != [2]int{3, 1} {
		t.Errorf("%d calls of ECR and %d of ECR Public, want 3 and 1", got[0], got[1])
	}
	for _, host := range []string{"api.ecr.us-east-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com", "api.ecr.us-west-2.amazonaws.com", "api.ecr-public.us-east-1.amazonaws.com"} {
		if !slices.Contains(r.proxy.hosts(), host+":443") {
			t.Errorf("%s was not called", host)
		}
	}
	values := r.exported()
	if values["ECR_REGISTRY"] != worldwide()[0] || values["ECR_REGISTRIES"] != strings.Join(worldwide(), "\n") {
		t.Errorf("exported %q and %q", values["ECR_REGISTRY"], values["ECR_REGISTRIES"])
	}

	t.Setenv("DOCKER_CONFIG", r.docker)
	options := []remote.Option{remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(r.transport())}
	for _, registry := range worldwide() {
		image := randomImage(t)
		tag, err := name.NewTag(registry + "/app:1")
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(tag, image, options[1]); err == nil {
			t.Errorf("%s takes images without a login, so this test cannot fail", registry)
		}
		if err := remote.Write(tag, image, options...); err != nil {
			t.Errorf("push: %v", err)
			continue
		}
		pulled, err := remote.Image(tag, options...)
		if err != nil || digest(t, pulled) != digest(t, image) {
			t.Errorf("pull from %s: %v", registry, err)
		}
	}
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digest(t *testing.T, image v1.Image) v1.Hash {
	t.Helper()
	hash, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// Skopeo, which is not of Docker's family, copies an image in and out with the same file.
func TestSkopeoCopiesInAndOut(t *testing.T) {
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
		// The manifest is another one, because Skopeo makes OCI's of Docker's; the layers are the same.
		if got, want := layersIn(t, out), layersOf(t, image); !slices.Equal(got, want) {
			t.Errorf("from %s came %v, want %v", registry, got, want)
		}
	}
}

// layersIn lists the layers of the one image in an OCI layout.
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

// A credentials store that Docker's file names, here one that does not even exist, shadows the login for nobody who
// understands the empty helper entry that is written for it: Docker and go-containerregistry do.
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
	// Skopeo's family does not (1.9 takes it for a program without a name), as README.md says. It is told, not asserted, since
	// that is for them to change.
	skopeo := need(t, "skopeo", howToGetSkopeo)
	command := exec.Command(skopeo, "login", "--get-login", "--authfile", filepath.Join(r.docker, "config.json"), worldwide()[0])
	output, err := command.CombinedOutput()
	t.Logf("skopeo login --get-login: %v: %s", err, output)
}

// Docker's engine pushes to and pulls from each registry. It is one of the test's own, behind the proxy, since an engine
// that is there already would have to be set up anew for the names to lead here.
func TestDockerOnEveryRegistry(t *testing.T) {
	docker := need(t, "docker", "install Docker, for example with: apt-get install docker.io")
	dockerd := need(t, "dockerd", "install Docker Engine, for example with: apt-get install docker.io")
	if os.Getuid() != 0 {
		t.Skip("only root can start a Docker Engine of the test's own")
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
				t.Fatalf("the registry takes images without a login, so this test cannot fail:\n%s", output)
			}
		}
		r.next(docker, "push", there)
		r.next(docker, "image", "rm", there)
		r.next(docker, "pull", there)
	}
}

// startEngine starts a Docker Engine and points DOCKER_HOST at it; the test is skipped where that cannot be.
func (r *byName) startEngine(docker, dockerd string) {
	r.t.Helper()
	// A socket's path may have some hundred characters, fewer than a test's folder can.
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
	engine := exec.Command(dockerd, "--config-file", settings, "--data-root", filepath.Join(folder, "data"), "--exec-root", filepath.Join(folder, "exec"),
		"--pidfile", filepath.Join(folder, "pid"), "--host", socket, "--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip-forward=false")
	var log bytes.Buffer
	engine.Env, engine.Stdout, engine.Stderr = r.environ, &log, &log
	if err := engine.Start(); err != nil {
		r.t.Skipf("no Docker Engine can be started: %v", err)
	}
	ended := make(chan struct{})
	go func() { _ = engine.Wait(); close(ended) }()
	r.t.Cleanup(func() {
		_ = engine.Process.Signal(os.Interrupt)
		<-ended
	})
	r.environ = append(r.environ, "DOCKER_HOST="+socket)
	for deadline := time.Now().Add(time.Minute); ; {
		version := exec.CommandContext(r.t.Context(), docker, "version", "--format", "{{.Server.Version}}")
		version.Env = r.environ
		if version.Run() == nil {
			return
		}
		// A poll of a server that is starting.
		select {
		case <-ended:
			r.t.Skipf("no Docker Engine can be started here:\n%s", log.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			r.t.Fatal("the Docker Engine does not answer")
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

// Twenty Steps that write one file at once lose no login.
func TestTwentyStepsWriteOneFile(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	docker := filepath.Join(t.TempDir(), "shared", "docker")
	var all sync.WaitGroup
	var hosts []string
	for i := range 20 {
		host := fmt.Sprintf("%012d.dkr.ecr.us-east-1.amazonaws.com", i)
		hosts = append(hosts, host)
		r := newRun(t, cloud, "DOCKER_CONFIG="+docker)
		all.Go(func() {
			if output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true", "ecr_registries": host}); err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
	all.Wait()
	config, err := dockerconfig.Load(docker)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if config.AuthConfigs[host].Username != "AWS" {
			t.Errorf("the login to %s is lost", host)
		}
	}
	if entries, err := os.ReadDir(docker); err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}

// A Step that is killed while it stores the login, at whatever point, leaves the old file or the new one. When the folder
// changes for the first time, the new file is being written beside the old one.
func TestKilledWhileStoring(t *testing.T) {
	const runs = 30
	old := []byte(`{"auths":{"registry.example.com":{"auth":"a2VwdDprZXB0"}},"padding":"` + strings.Repeat("x", 1<<17) + `"}`)
	cloud := startSandbox(t, sandbox.Options{})
	seen := map[string]int{}
	for i := range runs {
		r := newRun(t, cloud)
		file := filepath.Join(r.docker, "config.json")
		if err := errors.Join(os.MkdirAll(r.docker, 0o700), os.WriteFile(file, old, 0o600)); err != nil {
			t.Fatal(err)
		}
		command := r.command(map[string]string{"role_arn": role, "docker_login": "true"})
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = command.Wait(); close(ended) }()
		r.killOnChange(command.Process, ended, time.Duration(i)*100*time.Microsecond)
		<-ended
		content, err := os.ReadFile(file)
		switch {
		case err != nil:
			t.Fatal(err)
		case bytes.Equal(content, old):
			seen["old"]++
		case json.Valid(content) && bytes.Contains(content, []byte("a2VwdDprZXB0")) && bytes.Contains(content, []byte(cloud.Registry(account, region))):
			seen["new"]++
		default:
			t.Fatalf("the file has %d bytes, and is neither the old nor the new one", len(content))
		}
	}
	t.Logf("of %d kills, %d left the old file and %d the new one", runs, seen["old"], seen["new"])
	if seen["old"] == 0 {
		t.Error("every kill came too late, so this test cannot fail")
	}
}

// killOnChange kills the process a moment after something has changed in Docker's folder, unless it has ended by then.
func (r *run) killOnChange(process *os.Process, ended <-chan struct{}, after time.Duration) {
	for {
		entries, err := os.ReadDir(r.docker)
		if err == nil && (len(entries) > 1 || !slices.ContainsFunc(entries, isLarge)) {
			break
		}
		select {
		case <-ended:
			return
		default:
		}
	}
	// The moment differs from run to run, so that the kills are spread over what the Step does.
	for until := time.Now().Add(after); time.Now().Before(until); {
	}
	_ = process.Kill()
}

func isLarge(entry fs.DirEntry) bool {
	info, err := entry.Info()
	return err == nil && info.Size() > 1<<17
}

// In each partition, and with FIPS and dual-stack endpoints, ECR is called where AWS's own SDK calls it. The proxy leads to
// STS only, so that no call leaves the machine.
func TestHostsOfECR(t *testing.T) {
	type row struct {
		region          string
		fips, dualStack bool
		sts, ecr        string
	}
	var rows []row
	var names []string
	for _, region := range []string{"eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1"} {
		for _, r := range []row{{}, {fips: true}, {dualStack: true}, {fips: true, dualStack: true}} {
			r.region = region
			sts, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), sts.EndpointParameters{Region: &region, UseFIPS: &r.fips, UseDualStack: &r.dualStack})
			if err != nil {
				t.Fatal(err)
			}
			ecr, err := ecr.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), ecr.EndpointParameters{Region: &region, UseFIPS: &r.fips, UseDualStack: &r.dualStack})
			if err != nil {
				t.Fatal(err)
			}
			r.sts, r.ecr = sts.URI.Host+":443", ecr.URI.Host+":443"
			rows, names = append(rows, r), append(names, sts.URI.Host)
		}
	}
	cloud := startSandbox(t, sandbox.Options{TLS: true, Hosts: names})
	key := cloud.User("ci")
	for _, row := range rows {
		t.Run(fmt.Sprint(row.region, " FIPS ", row.fips, " dual-stack ", row.dualStack), func(t *testing.T) {
			t.Parallel()
			forward := startProxy(t, func(host string) string {
				if host == row.sts {
					return strings.TrimPrefix(cloud.AWSURL(), "https://")
				}
				return ""
			})
			r := newRun(t, cloud, "HTTPS_PROXY="+forward.url, "AWS_ENDPOINT_URL_STS=", "AWS_ENDPOINT_URL_ECR=",
				fmt.Sprint("AWS_USE_FIPS_ENDPOINT=", row.fips), fmt.Sprint("AWS_USE_DUALSTACK_ENDPOINT=", row.dualStack))
			output, err := r.step(map[string]string{"region": row.region, "access_key_id": key.ID, "secret_access_key": key.Secret, "docker_login": "true"})
			if want := "does not let " + row.ecr + " be reached"; err == nil || !strings.Contains(flat(output), want) {
				t.Errorf("tunnels to %v, want %s; %v\n%s", forward.hosts(), row.ecr, err, output)
			}
		})
	}
}

// If one registry gives no login, none is stored, and each that failed is listed with what it lacks.
func TestOneRegistryFails(t *testing.T) {
	world := sandbox.DefaultConfig()
	world.Accounts[0].Roles[0].Policies = []json.RawMessage{json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr-public:GetAuthorizationToken"],"Resource":"*"}}`)}
	cloud := startSandbox(t, sandbox.Options{Config: world, Faults: parseFaults(t, `ecr:GetAuthorizationToken 1 error AccessDeniedException "User: someone is not authorized to perform: ecr:GetAuthorizationToken on resource: * with an explicit deny in a service control policy"`)})
	r := newRun(t, cloud)
	output, err := r.step(map[string]string{"role_arn": role, "docker_login": "true", "ecr_registries": "123456789012.dkr.ecr.eu-west-1.amazonaws.com, public.ecr.aws"})
	if err == nil {
		t.Fatalf("the Step succeeded:\n%s", output)
	}
	for _, want := range []string{
		"get a login to ECR in eu-west-1 for 123456789012.dkr.ecr.eu-west-1.amazonaws.com: ECR answered AccessDeniedException",
		"get a login to ECR Public in us-east-1 for public.ecr.aws: ECR Public answered AccessDeniedException",
		"a policy denies ecr:GetAuthorizationToken", "the permission sts:GetServiceBearerToken is missing",
		"take public.ecr.aws out of ecr_registries",
	} {
		if !strings.Contains(flat(output), want) {
			t.Errorf("the log does not say %q:\n%s", want, output)
		}
	}
	r.mustHaveExportedNothing()
}

// The login's file is the one that Docker finds by itself: without DOCKER_CONFIG, in the user's home.
func TestDockersFileInTheHome(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud, "DOCKER_CONFIG=")
	home := ""
	for _, entry := range r.environ {
		if path, found := strings.CutPrefix(entry, "HOME="); found {
			home = path
		}
	}
	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true"})
	info, err := os.Stat(filepath.Join(home, ".docker", "config.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
