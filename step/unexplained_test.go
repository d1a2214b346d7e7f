package step

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
)

// Whatever nobody explains has the advice that fits it, and none that does not.
func TestWhatToDo(t *testing.T) {
	_, missing := os.Open("/no/such/folder/file")
	for name, row := range map[string]struct {
		err  error
		want string // empty: no advice
	}{
		"a file":               {fmt.Errorf("store: %w", &fs.PathError{Op: "open", Path: "/home/user/.docker/x", Err: syscall.EACCES}), "may write there: /home/user/.docker."},
		"a file that is gone":  {missing, "may write there: /no/such/folder."},
		"a lock":               {fmt.Errorf("wait for the lock on x: %w", sharedfile.ErrLocked), "holds the folder's lock"},
		"refused":              {retry.Passing(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, 0), "Run the build again"},
		"no time":              {fmt.Errorf("it broke; %w", retry.ErrNoTime), "Run the build again"},
		"the proxy's password": {&transport.ProxyError{Proxy: "p", Target: "t:443", StatusCode: 407}, "HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT"},
		"the proxy":            {&transport.ProxyError{Proxy: "p", Target: "t:443", StatusCode: 403}, "tunnels to t:443"},
		"a redirect":           {&transport.RedirectError{From: "https://a", To: "https://b"}, "build_url"},
		"a name":               {retry.Passing(&net.DNSError{Name: "x", IsNotFound: true}, 0), "look names up"},
		"AWS fails":            {retry.Passing(&awserr.Refusal{Service: "STS", Code: "InternalFailure", StatusCode: 500}, 0), "health.aws.amazon.com"},
		"an unknown code":      {&awserr.Refusal{Service: "STS", Code: "Novel", StatusCode: 400}, "by its request ID"},
		"no such endpoint":     {errors.New("resolve: endpoint rule error, FIPS and custom endpoint are not supported"), "AWS_USE_FIPS_ENDPOINT"},
		"envman":               {&EnvmanError{Err: errors.New("exit status 1")}, "bitrise run"},
		"the timeout":          {&TimeoutError{}, "raise timeout"},
		"one that says it all": {errors.New("the file has no end"), ""},
	} {
		got := strings.Join(whatToDo(row.err), " ")
		if (row.want == "") != (got == "") || !strings.Contains(got, row.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
