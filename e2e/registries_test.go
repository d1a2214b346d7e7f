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
	given := map[string]string{"role_arn": role, "docker_login": "true", "ecr_registries": "123456789012.dkr.ecr.eu-west-1.amazonaws.com, public.ecr.aws"}
	output, err := r.step(given)
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

	// From now on ECR does give a login, which is not stored alone.
	r = newRun(t, cloud)
	output, err = r.step(given)
	if err == nil || strings.Contains(flat(output), "get a login to ECR in eu-west-1") || !strings.Contains(flat(output), "get a login to ECR Public") {
		t.Errorf("%v\n%s", err, output)
	}
	r.mustHaveExportedNothing()
}

// The login's file is the one that Docker finds by itself: without DOCKER_CONFIG, in the user's home.
func TestDockersFileInTheHome(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud, "DOCKER_CONFIG=")
	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true"})
	info, err := os.Stat(filepath.Join(r.home(), ".docker", "config.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
