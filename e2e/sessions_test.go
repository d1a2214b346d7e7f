package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

const (
	targetRole = "arn:aws:iam::210987654321:role/deploy-target"
	target     = "arn:aws:sts::210987654321:assumed-role/deploy-target/"
)

// whoami returns the ARN of the exported credentials according to the AWS CLI.
func (r *run) whoami() string {
	r.t.Helper()
	aws := need(r.t, "aws", howToGetAWS)
	var caller struct{ Arn string }
	if err := json.Unmarshal([]byte(r.next(aws, "sts", "get-caller-identity", "--output", "json")), &caller); err != nil {
		r.t.Fatal(err)
	}
	return caller.Arn
}

// The longest session token is not cut anywhere: not in the store, in an input, in a signature, or in the profile's session. The sandbox
// issues no others.
func TestLongestSessionToken(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role, "docker_login": "true"})
	exported := r.exported()
	if got := len(exported["AWS_SESSION_TOKEN"]); got != 4096 {
		t.Errorf("got a session token of %d bytes", got)
	}
	r.mustStep(map[string]string{
		"access_key_id": exported["AWS_ACCESS_KEY_ID"], "secret_access_key": exported["AWS_SECRET_ACCESS_KEY"],
		"session_token": exported["AWS_SESSION_TOKEN"], "role_chain": targetRole,
	})
	r = newRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role, "aws_profile": "bitrise"})
	for _, when := range []string{"kept", "renewed"} {
		if credentials, _ := r.credentials(); len(credentials.SessionToken) != sandbox.MaxSessionToken {
			t.Errorf("the %s session has a token of %d bytes", when, len(credentials.SessionToken))
		}
		r.leave(time.Minute)
	}
}

// Chained roles can require an external ID and tags, which the Step sends with every hop.
func TestChainWithConditions(t *testing.T) {
	t.Parallel()
	world := sandbox.DefaultConfig()
	world.Accounts[1].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},
		"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"agreed","aws:RequestTag/team":"mobile"}}}}`)
	cloud := startSandbox(t, sandbox.Options{Config: world})
	for name, row := range map[string]struct {
		given map[string]string
		says  string // "" if the Step must succeed
	}{
		"both":                 {map[string]string{"external_id": "agreed", "session_tags": "team=mobile\nstage = test"}, ""},
		"no external ID":       {map[string]string{"session_tags": "team=mobile"}, "For a condition on sts:ExternalId, set external_id."},
		"other external ID":    {map[string]string{"external_id": "another", "session_tags": "team=mobile"}, "For a condition on sts:ExternalId, set external_id."},
		"other value of a tag": {map[string]string{"external_id": "agreed", "session_tags": "team=web"}, "For conditions on aws:RequestTag, set session_tags."},
	} {
		t.Run(name, func(t *testing.T) {
			row.given["role_arn"], row.given["role_chain"] = role, targetRole
			r := newRun(t, cloud, "PYTHONWARNINGS=ignore")
			output, err := r.step(row.given)
			if row.says != "" {
				if err == nil || !strings.Contains(flat(output), row.says) {
					t.Errorf("%v\n%s", err, output)
				}
				r.mustHaveExportedNothing()
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, output)
			}
			if got := r.whoami(); !strings.HasPrefix(got, target) {
				t.Errorf("got the caller %s, want %s…", got, target)
			}
		})
	}
}

// session_duration can be as long as the role allows, also for a role that is assumed with a long-lived access key.
func TestSessionDuration(t *testing.T) {
	t.Parallel()
	world := sandbox.DefaultConfig()
	world.Accounts[0].Roles[0].MaxSessionDuration = 7200
	world.Accounts[1].Roles[0].MaxSessionDuration = 43200
	cloud := startSandbox(t, sandbox.Options{Config: world})
	key := cloud.User("ci")
	for want, given := range map[string]map[string]string{
		"7200":  {"role_arn": role},
		"43200": {"access_key_id": key.ID, "secret_access_key": key.Secret, "role_chain": targetRole},
	} {
		given["session_duration"] = want
		newRun(t, cloud).mustStep(given)
		calls := cloud.Calls()
		if got := calls[len(calls)-1].Form.Get("DurationSeconds"); got != want {
			t.Errorf("got DurationSeconds %q, want %s", got, want)
		}
	}
}

// All hops of a role chain use the same connection to STS.
func TestChainSharesOneConnection(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	newRun(t, cloud).mustStep(map[string]string{"role_arn": role, "role_chain": targetRole})
	var connections []int64
	for _, call := range cloud.Calls() {
		if call.Service == "sts" && !slices.Contains(connections, call.Connection) {
			connections = append(connections, call.Connection)
		}
	}
	if len(connections) != 1 {
		t.Errorf("got %d connections to STS, want 1", len(connections))
	}
}

func TestChainAgainstMoto(t *testing.T) {
	t.Parallel()
	endpoint := startMoto(t)
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud, "PYTHONWARNINGS=ignore", "AWS_ENDPOINT_URL_STS="+endpoint)
	r.mustStep(map[string]string{
		"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "any-that-moto-is-given",
		"role_chain": role + "\n" + targetRole, "external_id": "agreed", "session_tags": "team=mobile", "session_duration": "900",
	})
	if got := r.whoami(); !strings.HasPrefix(got, target) || got != r.exported()["AWS_CALLER_ARN"] {
		t.Errorf("moto's caller is %s, but the Step exported %s", got, r.exported()["AWS_CALLER_ARN"])
	}
}

// proxy is a forward proxy that opens tunnels (RFC 9110, section 9.3.6) to addresses that the test chooses, and records the
// requested hosts.
type proxy struct {
	url string
	mu  sync.Mutex
	// asked contains the host and port of every CONNECT request.
	asked []string
}

// startProxy starts a proxy. resolve returns the address for a host and port, or "" to reject the tunnel.
func startProxy(t testing.TB, resolve func(host string) string) *proxy {
	t.Helper()
	p := &proxy{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Host)
		p.mu.Unlock()
		address := resolve(r.Host)
		if r.Method != http.MethodConnect || address == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		tunnel(w, address)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func tunnel(w http.ResponseWriter, address string) {
	there, err := net.Dial("tcp", address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	here, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = there.Close()
		return
	}
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(there, here)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
	_ = here.Close()
}

// hosts returns the requested hosts, sorted, because connections are opened concurrently.
func (p *proxy) hosts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.asked))
}

// The Step calls the real hosts, through a proxy that forwards to the sandbox, whose certificates are from a private CA.
func TestProxyAndPrivateAuthority(t *testing.T) {
	t.Parallel()
	hosts := []string{"app.bitrise.io", "sts.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com"}
	cloud := startSandbox(t, sandbox.Options{TLS: true, Hosts: hosts})
	forward := startProxy(t, func(host string) string {
		if strings.HasPrefix(host, "app.bitrise.io") {
			return strings.TrimPrefix(cloud.BitriseURL(), "https://")
		}
		return strings.TrimPrefix(cloud.AWSURL(), "https://")
	})
	build := strings.Replace(cloud.BuildURL(), cloud.BitriseURL(), "https://app.bitrise.io", 1)
	given := map[string]string{"role_arn": role, "build_url": build, "docker_login": "true"}
	environment := []string{"HTTPS_PROXY=" + forward.url, "AWS_ENDPOINT_URL_STS=", "AWS_ENDPOINT_URL_ECR="}
	newRun(t, cloud, environment...).mustStep(given)
	want := []string{"api.ecr.us-east-1.amazonaws.com:443", "app.bitrise.io:443", "sts.us-east-1.amazonaws.com:443"}
	if got := forward.hosts(); !slices.Equal(got, want) {
		t.Errorf("got tunnels to %v, want %v", got, want)
	}

	// Without the CA certificate, the Step fails immediately.
	output, err := newRun(t, cloud, append(environment, "AWS_CA_BUNDLE=")...).step(given)
	if err == nil || !strings.Contains(output, "certificate") || strings.Contains(output, "failed (attempt 1)") {
		t.Errorf("%v\n%s", err, output)
	}
}

// Tinyproxy is a real forward proxy, here with a password. It forwards to the test's own proxy, which forwards to the sandbox.
func TestTinyproxy(t *testing.T) {
	t.Parallel()
	tinyproxy := need(t, "tinyproxy", "install it, for example with: apt-get install tinyproxy")
	hosts := []string{"app.bitrise.io", "sts.us-east-1.amazonaws.com"}
	cloud := startSandbox(t, sandbox.Options{TLS: true, Hosts: hosts})
	behind := startProxy(t, func(host string) string {
		if strings.HasPrefix(host, "app.bitrise.io") {
			return strings.TrimPrefix(cloud.BitriseURL(), "https://")
		}
		return strings.TrimPrefix(cloud.AWSURL(), "https://")
	})
	const password = "proxy-password-canary"
	address := startTinyproxy(t, tinyproxy, fmt.Sprintf("Upstream http %s\nBasicAuth builder %s\n", strings.TrimPrefix(behind.url, "http://"), password))
	build := strings.Replace(cloud.BuildURL(), cloud.BitriseURL(), "https://app.bitrise.io", 1)
	for _, row := range []struct {
		user  string
		works bool
	}{{"builder:" + password, true}, {"builder:wrong-" + password, false}} {
		r := newRun(t, cloud, "HTTPS_PROXY=http://"+row.user+"@"+address, "AWS_ENDPOINT_URL_STS=")
		output, err := r.step(map[string]string{"role_arn": role, "build_url": build, "verbose": "true"})
		if (err == nil) != row.works || !row.works && !strings.Contains(flat(output), "the proxy "+address+" rejected the connection to app.bitrise.io:443: 401") {
			t.Errorf("%s: %v\n%s", row.user, err, output)
		}
		if strings.Contains(output, password) {
			t.Errorf("the log contains the proxy's password:\n%s", output)
		}
	}
	if got := behind.hosts(); !slices.Equal(got, []string{"app.bitrise.io:443", "sts.us-east-1.amazonaws.com:443"}) {
		t.Errorf("got tunnels to %v", got)
	}
}

// startTinyproxy starts a tinyproxy with additional lines of configuration, and returns its address.
func startTinyproxy(t *testing.T, program, lines string) string {
	t.Helper()
	address := freeAddress()
	_, port, _ := net.SplitHostPort(address)
	file := filepath.Join(t.TempDir(), "tinyproxy.conf")
	if err := os.WriteFile(file, []byte("Listen 127.0.0.1\nPort "+port+"\nTimeout 60\nMaxClients 20\nConnectPort 443\n"+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, "-d", "-c", file)
	var log bytes.Buffer
	command.Stdout, command.Stderr = &log, &log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() { _ = command.Process.Kill(); <-ended })
	for {
		// Poll until the server has started.
		if connection, err := net.Dial("tcp", address); err == nil {
			_ = connection.Close()
			return address
		}
		select {
		case <-ended:
			t.Fatalf("tinyproxy exited:\n%s", log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// The STS endpoints in each partition, and the FIPS and dual-stack endpoints. The proxy rejects every tunnel, so that no call
// leaves the machine.
func TestHostsOfPartitions(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		region, partition string
		variables         []string
		sts               string
	}{
		"commercial":          {"eu-central-1", "aws", nil, "sts.eu-central-1.amazonaws.com"},
		"China":               {"cn-north-1", "aws-cn", nil, "sts.cn-north-1.amazonaws.com.cn"},
		"GovCloud":            {"us-gov-west-1", "aws-us-gov", nil, "sts.us-gov-west-1.amazonaws.com"},
		"Europe":              {"eusc-de-east-1", "aws-eusc", nil, "sts.eusc-de-east-1.amazonaws.eu"},
		"isolated":            {"us-iso-east-1", "aws-iso", nil, "sts.us-iso-east-1.c2s.ic.gov"},
		"isolated b":          {"us-isob-east-1", "aws-iso-b", nil, "sts.us-isob-east-1.sc2s.sgov.gov"},
		"isolated e":          {"eu-isoe-west-1", "aws-iso-e", nil, "sts.eu-isoe-west-1.cloud.adc-e.uk"},
		"isolated f":          {"us-isof-south-1", "aws-iso-f", nil, "sts.us-isof-south-1.csp.hci.ic.gov"},
		"FIPS":                {"us-east-2", "aws", []string{"AWS_USE_FIPS_ENDPOINT=true"}, "sts-fips.us-east-2.amazonaws.com"},
		"dual-stack":          {"us-east-2", "aws", []string{"AWS_USE_DUALSTACK_ENDPOINT=true"}, "sts.us-east-2.api.aws"},
		"FIPS and dual-stack": {"us-east-2", "aws", []string{"AWS_USE_DUALSTACK_ENDPOINT=true", "AWS_USE_FIPS_ENDPOINT=true"}, "sts-fips.us-east-2.api.aws"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			closed := startProxy(t, func(string) string { return "" })
			r := newRun(t, cloud, append([]string{"HTTPS_PROXY=" + closed.url, "AWS_ENDPOINT_URL_STS="}, row.variables...)...)
			output, err := r.step(map[string]string{"region": row.region, "role_arn": "arn:" + row.partition + ":iam::123456789012:role/deploy"})
			if got := slices.Compact(closed.hosts()); err == nil || !slices.Equal(got, []string{row.sts + ":443"}) {
				t.Errorf("got calls to %v, want %s; %v\n%s", got, row.sts, err, output)
			}
			if want := "rejected the connection to " + row.sts + ":443: 403 Forbidden"; !strings.Contains(flat(output), want) {
				t.Errorf("the log does not say %q:\n%s", want, output)
			}
		})
	}
}
