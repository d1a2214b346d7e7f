package e2e

import (
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// A response that switches protocols is retried, for each kind of call. Without the fix, the Step hung and
// ignored signals, so this test would time out.
func TestSwitchingProtocols(t *testing.T) {
	t.Parallel()
	const hop, public = "sts:AssumeRole", "ecr-public:GetAuthorizationToken"
	for _, call := range []string{idToken, assume, login, hop, public, caller} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, call+" 1 switch")})
			given := map[string]string{
				"role_arn": role, "role_chain": targetRole, "docker_login": "true", "ecr_registries": account + "\npublic.ecr.aws",
			}
			if call == caller {
				key := cloud.User("ci")
				given = map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret}
			}
			output, err := newRun(t, cloud).step(given)
			if err != nil || count(cloud, call) != 2 || !strings.Contains(flat(output), "unexpected response 101 Switching Protocols") {
				t.Errorf("%d calls, %v\n%s", count(cloud, call), err, output)
			}
		})
	}
}

// If every response switches protocols, a signal and the timeout still end the Step.
func TestSwitchingProtocolsForever(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		act  func(*os.Process)
		want string
	}{
		"signal":  {func(p *os.Process) { _ = p.Signal(os.Interrupt) }, "interrupted by a signal"},
		"timeout": {func(*os.Process) {}, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{Faults: parseFaults(t, assume+" * switch")})
			r := newRun(t, cloud)
			output, err := r.stepUntil("unexpected response 101", row.act, map[string]string{"role_arn": role, "timeout": "10"})
			if exitCode(err) != 1 || !strings.Contains(lastLine(output), row.want) {
				t.Errorf("%v\n%s", err, output)
			}
			r.mustHaveExportedNothing()
		})
	}
}

// The same in the credential process, which must also release its lock.
func TestSwitchingProtocolsDuringRenewal(t *testing.T) {
	t.Parallel()
	for _, call := range []string{idToken, assume} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			r, cloud := prepareRenewal(t, nil, parseFaults(t, call+" 2 switch")...)
			_, stderr, err := r.tryCredentials(r.process())
			if err != nil || count(cloud, call) != 3 || stderr != "" {
				t.Errorf("%d calls, %v\n%s", count(cloud, call), err, stderr)
			}
			// The lock has been released.
			r.credentials()
		})
	}
}

// A proxy ignores the first request for a tunnel, to either host or to both, and handles the next one.
func TestProxyThatDoesNotRespondToATunnel(t *testing.T) {
	t.Parallel()
	hosts := []string{"app.bitrise.io", "sts.us-east-1.amazonaws.com"}
	for _, silent := range append(hosts, "both") {
		t.Run(silent, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{TLS: true, Hosts: hosts})
			asked := map[string]*atomic.Int32{hosts[0]: {}, hosts[1]: {}}
			forward := startProxy(t, func(address string) string {
				host, _, _ := net.SplitHostPort(address)
				if asked[host].Add(1) == 1 && (silent == host || silent == "both") {
					<-t.Context().Done()
				}
				if host == "app.bitrise.io" {
					return hostOf(cloud.BitriseURL())
				}
				return hostOf(cloud.AWSURL())
			})
			build := strings.Replace(cloud.BuildURL(), cloud.BitriseURL(), "https://app.bitrise.io", 1)
			output, err := newRun(t, cloud, "HTTPS_PROXY="+forward.url, "AWS_ENDPOINT_URL_STS=").step(map[string]string{
				"role_arn": role, "build_url": build,
			})
			if err != nil {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

// The build's API token, which a plain HTTP request contains in the clear, is never sent to HTTP_PROXY.
func TestPlainHTTPUsesNoProxy(t *testing.T) {
	for _, host := range []string{"LOCALHOST", "LocalHost", "127.0.0.1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			var reached atomic.Int32
			forward := startProxy(t, func(string) string { reached.Add(1); return "" })
			r := newRun(t, cloud, "HTTP_PROXY="+forward.url, "http_proxy="+forward.url, "HTTPS_PROXY="+forward.url)
			output, err := r.step(map[string]string{"role_arn": role, "build_url": strings.Replace(cloud.BuildURL(), "127.0.0.1", host, 1)})
			if err != nil || reached.Load() != 0 {
				t.Errorf("%d requests reached the proxy, %v\n%s", reached.Load(), err, output)
			}
		})
	}
}

// The Step and the credential process reject a proxy variable that is not a URL before they send anything.
func TestInvalidProxyVariables(t *testing.T) {
	t.Parallel()
	const password = "proxy-password-canary"
	for name, value := range map[string]string{
		"escape":     "http://user:" + password + "%zz@proxy.example:3128",
		"quotes":     `"http://user:` + password + `@proxy.example:3128"`,
		"line break": "http://user:" + password + "@proxy.\nexample:3128",
		"number":     "http://user:" + password + "#1@proxy.example:3128",
		"slash":      "http://user:" + password + "/1@proxy.example:3128",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			r := newRun(t, cloud, "HTTPS_PROXY="+value)
			output, err := r.step(map[string]string{"role_arn": role})
			if err == nil || len(cloud.Calls()) != 0 || !strings.Contains(flat(output), "HTTPS_PROXY must be the URL of a proxy") ||
				!strings.Contains(flat(output), "percent-encode") || strings.Contains(output, password) {
				t.Errorf("%d calls, %v\n%s", len(cloud.Calls()), err, output)
			}

			r, _ = prepareRenewal(t, nil)
			r.environ = append(r.environ, "HTTPS_PROXY="+value)
			_, output, err = r.tryCredentials(r.process())
			if err == nil || !strings.Contains(flat(output), "HTTPS_PROXY must be the URL of a proxy") || strings.Contains(output, password) {
				t.Errorf("the credential process: %v\n%s", err, output)
			}
		})
	}
}

// If the proxy's name does not resolve, the advice is about the proxy, not about the Region.
func TestProxyThatDoesNotResolve(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{TLS: true, Hosts: []string{"app.bitrise.io"}})
	r := newRun(t, cloud, "HTTPS_PROXY=http://proxy.invalid:3128")
	output, err := r.step(map[string]string{"role_arn": role, "build_url": "https://app.bitrise.io/build/1", "timeout": "10"})
	if err == nil || !strings.Contains(flat(output), "host name in HTTPS_PROXY") || strings.Contains(flat(output), "input region") {
		t.Errorf("%v\n%s", err, output)
	}
}
