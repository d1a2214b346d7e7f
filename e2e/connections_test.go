package e2e

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/link"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// links are the network links between the Step and the services of a sandbox. STS and ECR have the same address.
type links struct{ bitrise, sts, ecr *link.Link }

// environ returns the variables that make the Step connect through the links.
func (l links) environ(cloud *sandbox.Sandbox) []string {
	return []string{
		"BITRISE_BUILD_URL=" + strings.Replace(cloud.BuildURL(), cloud.BitriseURL(), "https://"+l.bitrise.Address(), 1),
		"AWS_ENDPOINT_URL_STS=https://" + l.sts.Address(),
		"AWS_ENDPOINT_URL_ECR=https://" + l.ecr.Address(),
	}
}

func (l links) connections() [3]int {
	return [3]int{l.bitrise.Connections(), l.sts.Connections(), l.ecr.Connections()}
}

func hostOf(address string) string {
	_, host, _ := strings.Cut(address, "://")
	return host
}

// The Step opens one connection to each service that the run needs, and none to the others.
func TestConnections(t *testing.T) {
	chain := map[string]string{"role_arn": role, "role_chain": targetRole}
	for name, row := range map[string]struct {
		given map[string]string
		want  [3]int // to Bitrise, STS, ECR
		calls int
	}{
		"exchange":     {map[string]string{"role_arn": role}, [3]int{1, 1, 0}, 2},
		"docker login": {map[string]string{"role_arn": role, "docker_login": "true"}, [3]int{1, 1, 1}, 3},
		"chain":        {chain, [3]int{1, 1, 0}, 3},
		"access key":   {nil, [3]int{0, 1, 0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{TLS: true})
			if row.given == nil {
				key := cloud.User("ci")
				row.given = map[string]string{"access_key_id": key.ID, "secret_access_key": key.Secret}
			}
			between := startLinks(t, cloud, 0)
			row.given["verbose"] = "true"
			output := newRun(t, cloud, between.environ(cloud)...).mustStep(row.given)
			if got := between.connections(); got != row.want || len(cloud.Calls()) != row.calls {
				t.Errorf("connections to Bitrise, STS, and ECR: got %v, want %v; got %d calls, want %d\n%s",
					got, row.want, len(cloud.Calls()), row.calls, output)
			}
		})
	}
}

// Bitrise's response is held back until the TLS handshakes with STS and ECR are complete. A Step that opened those connections
// only when it needs them would time out.
func TestConnectionsAreOpenedWhileTheTokenIsFetched(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{TLS: true})
	between := startLinks(t, cloud, 0)
	shaken := make(chan struct{})
	go func() {
		<-between.sts.Shaken()
		<-between.ecr.Shaken()
		close(shaken)
	}()
	between.bitrise.Hold(shaken)
	newRun(t, cloud, between.environ(cloud)...).mustStep(map[string]string{"role_arn": role, "docker_login": "true"})
	if got, want := between.connections(), [3]int{1, 1, 1}; got != want {
		t.Errorf("connections to Bitrise, STS, and ECR: got %v, want %v", got, want)
	}
}

// The proxy opens the tunnel to Bitrise only after it has received the request for the one to STS.
func TestTunnelsAreOpenedWhileTheTokenIsFetched(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{TLS: true, Hosts: []string{"app.bitrise.io", "sts.us-east-1.amazonaws.com"}})
	asked := make(chan struct{})
	ask := sync.OnceFunc(func() { close(asked) })
	forward := startProxy(t, func(host string) string {
		if host != "app.bitrise.io:443" {
			ask()
			return hostOf(cloud.AWSURL())
		}
		select {
		case <-asked:
			return hostOf(cloud.BitriseURL())
		case <-t.Context().Done():
			return ""
		}
	})
	build := strings.Replace(cloud.BuildURL(), cloud.BitriseURL(), "https://app.bitrise.io", 1)
	r := newRun(t, cloud, "HTTPS_PROXY="+forward.url, "AWS_ENDPOINT_URL_STS=")
	r.mustStep(map[string]string{"role_arn": role, "build_url": build})
	if got, want := forward.hosts(), []string{"app.bitrise.io:443", "sts.us-east-1.amazonaws.com:443"}; !slices.Equal(got, want) {
		t.Errorf("got tunnels to %v, want %v", got, want)
	}
}

// A connection that cannot be opened in advance is not mentioned in the log until it is needed.
func TestConnectionThatCannotBeOpenedInAdvance(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	closed := "127.0.0.1:1" // tcpmux, which no machine runs
	interrupt := func(step *os.Process) { _ = step.Signal(os.Interrupt) }
	r := newRun(t, cloud, "AWS_ENDPOINT_URL_STS=http://"+closed)
	output, err := r.stepUntil("connection refused", interrupt, map[string]string{"role_arn": role})
	if err == nil || count(cloud, "bitrise:id_token") != 1 {
		t.Errorf("%v\n%s", err, output)
	}
	if fetched, failed := strings.Index(output, "Fetched an"), strings.Index(output, "connection refused"); failed < fetched {
		t.Errorf("the log mentions STS before it is called:\n%s", output)
	}
	// If the token request is rejected, STS is never called, and the log has no failure of it.
	cloud = startSandbox(t, sandbox.Options{Faults: parseFaults(t, idToken+" 1 status 403")})
	output, err = newRun(t, cloud, "AWS_ENDPOINT_URL_STS=http://"+closed).step(map[string]string{"role_arn": role})
	if err == nil || strings.Contains(output, "connection refused") {
		t.Errorf("%v\n%s", err, output)
	}
}
