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

// whoami asks STS, with the AWS CLI, who the exported credentials are.
func (r *run) whoami() string {
	r.t.Helper()
	aws := need(r.t, "aws", howToGetAWS)
	var caller struct{ Arn string }
	if err := json.Unmarshal([]byte(r.next(aws, "sts", "get-caller-identity", "--output", "json")), &caller); err != nil {
		r.t.Fatal(err)
	}
	return caller.Arn
}

// The roles of a chain may ask for an external ID and for tags, and get them on every hop.
func TestChainWithConditions(t *testing.T) {
	world := sandbox.DefaultConfig()
	world.Accounts[1].Roles[0].TrustPolicy = json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"123456789012"},
		"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"agreed","aws:RequestTag/team":"mobile"}}}}`)
	cloud := startSandbox(t, sandbox.Options{Config: world})
	for name, row := range map[string]struct {
		given map[string]string
		says  string // empty: it works
	}{
		"both":               {map[string]string{"external_id": "agreed", "session_tags": "team=mobile\nstage = test"}, ""},
		"no external ID":     {map[string]string{"session_tags": "team=mobile"}, "If the trust policy has a condition on sts:ExternalId, set external_id"},
		"other external ID":  {map[string]string{"external_id": "another", "session_tags": "team=mobile"}, "a condition on sts:ExternalId has to name the same one"},
		"tag of other value": {map[string]string{"external_id": "agreed", "session_tags": "team=web"}, "both sides have to allow sts:TagSession too"},
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
				t.Errorf("the AWS CLI is %s", got)
			}
		})
	}
}

// Long sessions are given where the role allows them.
func TestSessionDuration(t *testing.T) {
	world := sandbox.DefaultConfig()
	world.Accounts[0].Roles[0].MaxSessionDuration = 7200
	cloud := startSandbox(t, sandbox.Options{Config: world})
	newRun(t, cloud).mustStep(map[string]string{"role_arn": role, "session_duration": "7200"})
	calls := cloud.Calls()
	if got := calls[len(calls)-1].Form.Get("DurationSeconds"); got != "7200" {
		t.Errorf("STS was asked for %q seconds", got)
	}
}

// All hops of a chain use one connection to STS.
func TestChainSharesOneConnection(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	newRun(t, cloud).mustStep(map[string]string{"role_arn": role, "role_chain": targetRole})
	var connections []int64
	for _, call := range cloud.Calls() {
		if call.Service == "sts" && !slices.Contains(connections, call.Connection) {
			connections = append(connections, call.Connection)
		}
	}
	if len(connections) != 1 {
		t.Errorf("%d connections to STS, want 1", len(connections))
	}
}

func TestChainAgainstMoto(t *testing.T) {
	endpoint := startMoto(t)
	cloud := startSandbox(t, sandbox.Options{})
	r := newRun(t, cloud, "PYTHONWARNINGS=ignore", "AWS_ENDPOINT_URL_STS="+endpoint)
	r.mustStep(map[string]string{
		"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "any-that-moto-is-given",
		"role_chain": role + "\n" + targetRole, "external_id": "agreed", "session_tags": "team=mobile", "session_duration": "900",
	})
	if got := r.whoami(); !strings.HasPrefix(got, target) || got != r.exported()["AWS_CALLER_ARN"] {
		t.Errorf("moto says %s, exported was %s", got, r.exported()["AWS_CALLER_ARN"])
	}
}

// proxy is a forward proxy that opens tunnels (RFC 9110, section 9.3.6) to where it is told, whatever name is asked for,
// and keeps the names.
type proxy struct {
	url string
	mu  sync.Mutex
	// asked are host and port of every CONNECT.
	asked []string
}

// startProxy starts a proxy. lead returns the address behind a name; empty: the tunnel is refused.
func startProxy(t testing.TB, lead func(host string) string) *proxy {
	t.Helper()
	p := &proxy{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Host)
		p.mu.Unlock()
		address := lead(r.Host)
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

// hosts returns the names in their alphabet's order, since connections are opened side by side.
func (p *proxy) hosts() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.asked))
}

// Behind a proxy that leads to the sandbox, with an authority of its own, the Step calls the real hosts by their names.
func TestProxyAndPrivateAuthority(t *testing.T) {
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
		t.Errorf("tunnels to %v, want %v", got, want)
	}

	// Without the authority there is no trust, and the Step ends at once.
	output, err := newRun(t, cloud, append(environment, "AWS_CA_BUNDLE=")...).step(given)
	if err == nil || !strings.Contains(output, "certificate") || strings.Contains(output, "Attempt 1 to ") {
		t.Errorf("%v\n%s", err, output)
	}
}

// A forward proxy that nobody here wrote, and that asks for a password. Behind it stands the test's own, which leads the
// names to the sandbox.
func TestTinyproxy(t *testing.T) {
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
		if (err == nil) != row.works || !row.works && !strings.Contains(flat(output), "the proxy "+address+" does not let app.bitrise.io:443 be reached: 401") {
			t.Errorf("%s: %v\n%s", row.user, err, output)
		}
		if strings.Contains(output, password) {
			t.Errorf("the proxy's password shows in the log:\n%s", output)
		}
	}
	if got := behind.hosts(); !slices.Equal(got, []string{"app.bitrise.io:443", "sts.us-east-1.amazonaws.com:443"}) {
		t.Errorf("tunnels to %v", got)
	}
}

// startTinyproxy starts a tinyproxy with some lines of configuration, and returns its address.
func startTinyproxy(t *testing.T, program, lines string) string {
	t.Helper()
	address := freeAddress(t)
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
		// A poll of a server that is starting.
		if connection, err := net.Dial("tcp", address); err == nil {
			_ = connection.Close()
			return address
		}
		select {
		case <-ended:
			t.Fatalf("tinyproxy ended:\n%s", log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// In each partition, and with FIPS and dual-stack endpoints, the hosts are those of AWS's own list. The proxy opens no
// tunnel, so that no call leaves the machine.
func TestHostsOfPartitions(t *testing.T) {
	for name, row := range map[string]struct {
		region, partition string
		variables         []string
		sts               string
	}{
		"commercial":   {"eu-central-1", "aws", nil, "sts.eu-central-1.amazonaws.com"},
		"China":        {"cn-north-1", "aws-cn", nil, "sts.cn-north-1.amazonaws.com.cn"},
		"GovCloud":     {"us-gov-west-1", "aws-us-gov", nil, "sts.us-gov-west-1.amazonaws.com"},
		"Europe":       {"eusc-de-east-1", "aws-eusc", nil, "sts.eusc-de-east-1.amazonaws.eu"},
		"isolated":     {"us-iso-east-1", "aws-iso", nil, "sts.us-iso-east-1.c2s.ic.gov"},
		"isolated b":   {"us-isob-east-1", "aws-iso-b", nil, "sts.us-isob-east-1.sc2s.sgov.gov"},
		"isolated e":   {"eu-isoe-west-1", "aws-iso-e", nil, "sts.eu-isoe-west-1.cloud.adc-e.uk"},
		"isolated f":   {"us-isof-south-1", "aws-iso-f", nil, "sts.us-isof-south-1.csp.hci.ic.gov"},
		"FIPS":         {"us-east-2", "aws", []string{"AWS_USE_FIPS_ENDPOINT=true"}, "sts-fips.us-east-2.amazonaws.com"},
		"dual-stack":   {"us-east-2", "aws", []string{"AWS_USE_DUALSTACK_ENDPOINT=true"}, "sts.us-east-2.api.aws"},
		"both at once": {"us-east-2", "aws", []string{"AWS_USE_DUALSTACK_ENDPOINT=true", "AWS_USE_FIPS_ENDPOINT=true"}, "sts-fips.us-east-2.api.aws"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			closed := startProxy(t, func(string) string { return "" })
			r := newRun(t, cloud, append([]string{"HTTPS_PROXY=" + closed.url, "AWS_ENDPOINT_URL_STS="}, row.variables...)...)
			output, err := r.step(map[string]string{"region": row.region, "role_arn": "arn:" + row.partition + ":iam::123456789012:role/deploy"})
			if got := slices.Compact(closed.hosts()); err == nil || !slices.Equal(got, []string{row.sts + ":443"}) {
				t.Errorf("called %v, want %s; %v\n%s", got, row.sts, err, output)
			}
			if want := "does not let " + row.sts + ":443 be reached: 403 Forbidden"; !strings.Contains(flat(output), want) {
				t.Errorf("the log does not say %q:\n%s", want, output)
			}
		})
	}
}
