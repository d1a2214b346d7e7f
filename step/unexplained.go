package step

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/retry"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/transport"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

// explanationOf returns what an error means, by the error itself where it knows, else by what kept a call from being
// answered. There is always something to do.
func explanationOf(err error) explain.Explanation {
	var explainer explain.Explainer
	if errors.As(err, &explainer) {
		if x, found := explainer.Explain(); found {
			return x
		}
	}
	x := explain.Explanation{Cause: oneLine(err), Do: whatToDo(err)}
	var timeout *TimeoutError
	if errors.As(err, &timeout) {
		x.Said, x.Cause = oneLine(err), timeout.Error()
	}
	return x
}

// whatToDo is for errors that nobody else explains.
func whatToDo(err error) []string {
	var (
		proxy       *transport.ProxyError
		redirect    *transport.RedirectError
		certificate *tls.CertificateVerificationError
		lookup      *net.DNSError
		envman      *EnvmanError
		timeout     *TimeoutError
		refusal     *awserr.Refusal
		answer      *oidc.Refusal
		remote      *net.OpError
		file        *fs.PathError
	)
	const again = "Run the build again: faults of the network often pass."
	switch {
	case errors.As(err, &envman):
		return []string{"This Step has to run in a build of Bitrise, or with \"bitrise run\": they bring envman along.", "Check that the disk is not full."}
	case errors.As(err, &proxy) && proxy.StatusCode == http.StatusProxyAuthRequired:
		return []string{"Give the proxy's user and password in HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT."}
	case errors.As(err, &proxy):
		return []string{fmt.Sprintf("Let the proxy open tunnels to %s, or name that host in NO_PROXY.", proxy.Target)}
	case errors.As(err, &redirect):
		return []string{"Leave build_url at its default, $BITRISE_BUILD_URL.", "If a variable AWS_ENDPOINT_URL is set, or one of its like, set it to the address that answers itself."}
	case errors.As(err, &certificate):
		return []string{"If a proxy on the way looks into TLS, put its authority, in PEM, into a file, and the file's path into AWS_CA_BUNDLE.", "Check this machine's clock: certificates are good for a time only."}
	case errors.As(err, &lookup):
		return []string{"Check region, and the variables AWS_ENDPOINT_URL and its like: the host's name is made of them.", "Check that this machine can look names up."}
	case errors.As(err, &timeout):
		return []string{again, "If what did not answer is slow by nature, raise timeout."}
	case strings.Contains(err.Error(), "endpoint rule error"):
		return []string{"AWS has no such endpoint: look at AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT, which cannot be combined with AWS_ENDPOINT_URL and its like, and at region."}
	case errors.As(err, &refusal) && refusal.StatusCode >= http.StatusInternalServerError:
		return []string{"Run the build again later; look at https://health.aws.amazon.com."}
	case errors.As(err, &refusal):
		return []string{"Look the code up in AWS's documents of " + refusal.Service + "; AWS's support finds the call by its request ID."}
	case errors.As(err, &answer):
		return []string{"Leave build_url at its default, $BITRISE_BUILD_URL."}
	case errors.Is(err, sharedfile.ErrLocked):
		return []string{"See which program holds the folder's lock (lsof, fuser), and end it.", "If other builds share this machine and its home, give each a DOCKER_CONFIG and an AWS_CONFIG_FILE of its own."}
	case errors.As(err, &remote), errors.As(err, new(*retry.Fault)), errors.Is(err, retry.ErrNoTime):
		return []string{again, "If it stays so, check that this machine can reach the host: a firewall, or HTTPS_PROXY, which may have to be set, or to be corrected."}
	case errors.As(err, &file):
		return []string{"Check that this user may write there: " + filepath.Dir(file.Path) + ".", "Check that the disk is not full.", "Docker's file can be elsewhere (DOCKER_CONFIG), and so can AWS's (AWS_CONFIG_FILE)."}
	default:
		return nil // the error itself says what is right
	}
}

// advisedError is an error with what to do about it.
type advisedError struct {
	error
	do []string
}

func advise(err error, do ...string) error {
	if err == nil {
		return nil
	}
	return &advisedError{error: err, do: do}
}

// Unwrap returns the error without the advice.
func (e *advisedError) Unwrap() error { return e.error }

// Explain gives the advice.
func (e *advisedError) Explain() (explain.Explanation, bool) {
	return explain.Explanation{Cause: oneLine(e.error), Do: e.do}, true
}
