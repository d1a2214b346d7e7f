package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
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
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// worldwide returns six registries: five of two accounts in three Regions, including one with the host name of a dual-stack
// endpoint, and ECR Public.
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

// byName is a run behind a proxy that forwards AWS's host names to a sandbox, so that registries have their real names.
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
	// Go programs that run after the Step trust the sandbox's CA.
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

// transport returns a transport that connects to registries like the programs in the next Step do.
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

// One run logs in to registries in three Regions and to ECR Public, with one call per Region, to that Region's host.
// go-containerregistry can push to and pull from each registry.
func TestRegistriesOfAllRegions(t *testing.T) {
	r := newRunByName(t)
	r.logIn()
	if got := [2]int{count(r.cloud, login), count(r.cloud, "ecr-public:GetAuthorizationToken")}; got != [2]int{3, 1} {
		t.Errorf("got %d calls of ECR and %d of ECR Public, want 3 and 1", got[0], got[1])
	}
	for _, host := range []string{"api.ecr.us-east-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com", "api.ecr.us-west-2.amazonaws.com", "api.ecr-public.us-east-1.amazonaws.com"} {
		if !slices.Contains(r.proxy.hosts(), host+":443") {
			t.Errorf("%s was not called", host)
		}
	}
	values := r.exported()
	if values["ECR_REGISTRY"] != worldwide()[0] || values["ECR_REGISTRIES"] != strings.Join(worldwide(), "\n") {
		t.Errorf("got ECR_REGISTRY %q and ECR_REGISTRIES %q", values["ECR_REGISTRY"], values["ECR_REGISTRIES"])
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
			t.Errorf("%s accepts images without a login, so this test cannot fail", registry)
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

// Twenty Steps that write the same file at the same time lose no logins.
func TestTwentyStepsWriteOneFile(t *testing.T) {
	t.Parallel()
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
			t.Errorf("the login to %s was lost", host)
		}
	}
	if entries, err := os.ReadDir(docker); err != nil || len(entries) != 1 {
		t.Errorf("got files %v, %v; want only config.json", entries, err)
	}
}

// A Step that is killed while it stores the login leaves either the old file or the new one. It is killed at different times
// after the first change in the folder, when it writes the new file next to the old one.
func TestKilledWhileStoring(t *testing.T) {
	t.Parallel()
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
			t.Fatalf("the file (%d bytes) is neither the old nor the new one", len(content))
		}
	}
	t.Logf("%d kills: %d left the old file, %d the new one", runs, seen["old"], seen["new"])
}

// killOnChange kills the process some time after the first change in Docker's folder, unless the process has exited.
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
	// The delay differs from run to run, so that the kills are spread over what the Step does.
	for until := time.Now().Add(after); time.Now().Before(until); {
	}
	_ = process.Kill()
}

func isLarge(entry fs.DirEntry) bool {
	info, err := entry.Info()
	return err == nil && info.Size() > 1<<17
}

// In each partition, with FIPS and dual-stack endpoints, the Step calls ECR at the same host as the SDK's ECR client. The proxy
// forwards only calls of STS, so that no call leaves the machine.
func TestHostsOfECR(t *testing.T) {
	t.Parallel()
	type row struct {
		region          string
		fips, dualStack bool
		sts, ecr        string
	}
	var rows []row
	var names []string
	for _, region := range []string{
		"eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1",
	} {
		for _, r := range []row{{}, {fips: true}, {dualStack: true}, {fips: true, dualStack: true}} {
			r.region = region
			sts, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(),
				sts.EndpointParameters{Region: &region, UseFIPS: &r.fips, UseDualStack: &r.dualStack})
			if err != nil {
				t.Fatal(err)
			}
			ecr, err := ecr.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(),
				ecr.EndpointParameters{Region: &region, UseFIPS: &r.fips, UseDualStack: &r.dualStack})
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
			output, err := r.step(map[string]string{
				"region": row.region, "access_key_id": key.ID, "secret_access_key": key.Secret, "docker_login": "true",
			})
			if want := "rejected the connection to " + row.ecr; err == nil || !strings.Contains(flat(output), want) {
				t.Errorf("got tunnels to %v, want %s; %v\n%s", forward.hosts(), row.ecr, err, output)
			}
		})
	}
}

// If one login fails, none is stored, and the log explains each failure.
func TestOneRegistryFails(t *testing.T) {
	t.Parallel()
	world := sandbox.DefaultConfig()
	// sts:GetServiceBearerToken, which ECR Public requires, is missing.
	world.Accounts[0].Roles[0].Policies = []json.RawMessage{json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow",
		"Action":["ecr:GetAuthorizationToken","ecr-public:GetAuthorizationToken"],"Resource":"*"}}`)}
	denied := `ecr:GetAuthorizationToken 1 error AccessDeniedException "User: someone is not authorized to perform: ` +
		`ecr:GetAuthorizationToken on resource: * with an explicit deny in a service control policy"`
	cloud := startSandbox(t, sandbox.Options{Config: world, Faults: parseFaults(t, denied)})
	r := newRun(t, cloud)
	given := map[string]string{"role_arn": role, "docker_login": "true", "ecr_registries": "123456789012.dkr.ecr.eu-west-1.amazonaws.com, public.ecr.aws"}
	output, err := r.step(given)
	if err == nil {
		t.Fatalf("the Step succeeded:\n%s", output)
	}
	for _, want := range []string{
		"AccessDeniedException (ECR in eu-west-1 for 123456789012.dkr.ecr.eu-west-1.amazonaws.com",
		"AccessDeniedException (ECR Public in us-east-1 for public.ecr.aws",
		"a service control policy denies ecr:GetAuthorizationToken", "docker_login needs sts:GetServiceBearerToken, which these credentials don't have",
		"remove public.ecr.aws from ecr_registries",
	} {
		if !strings.Contains(flat(output), want) {
			t.Errorf("the log does not say %q:\n%s", want, output)
		}
	}
	r.mustHaveExportedNothing()

	// From now on, ECR returns a login, but that of ECR Public still fails.
	r = newRun(t, cloud)
	output, err = r.step(given)
	if err == nil || strings.Contains(flat(output), "ECR in eu-west-1") || !strings.Contains(flat(output), "ECR Public in us-east-1") {
		t.Errorf("%v\n%s", err, output)
	}
	r.mustHaveExportedNothing()
}

// Without DOCKER_CONFIG, the login is in Docker's default file, in the home folder.
func TestDockerFileInTheHomeFolder(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud, "DOCKER_CONFIG=")
	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true"})
	info, err := os.Stat(filepath.Join(r.home(), ".docker", "config.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
