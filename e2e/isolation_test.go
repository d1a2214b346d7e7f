package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// harmful are variables that AWS's SDK reads and the Step does not honor, with values that make the SDK fail or behave differently.
// In a value, LISTENER is the URL of a server that must not be called, and BROKEN is a file that cannot be parsed.
func harmful() map[string]map[string]string {
	rows := map[string]map[string]string{
		"other credentials": {
			"AWS_ACCESS_KEY_ID": "AKIAOTHEROTHEROTHER1", "AWS_SECRET_ACCESS_KEY": "other", "AWS_SESSION_TOKEN": "other",
			"AWS_ACCOUNT_ID": "999999999999", "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z",
		},
		"old names of credentials": {"AWS_ACCESS_KEY": "AKIAOTHEROTHEROTHER1", "AWS_SECRET_KEY": "other"},
		"half a key":               {"AWS_ACCESS_KEY_ID": "AKIAOTHEROTHEROTHER1"},
		"web identity": {
			"AWS_ROLE_ARN": "arn:aws:iam::999999999999:role/other", "AWS_WEB_IDENTITY_TOKEN_FILE": "BROKEN", "AWS_ROLE_SESSION_NAME": "other",
		},
		"web identity without a role": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/none"},
		"container, full URI":         {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "LISTENER", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\nb"},
		"container, relative URI":     {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/other"},
		"defaults mode": {
			"AWS_DEFAULTS_MODE": "auto", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "LISTENER", "AWS_EC2_METADATA_DISABLED": "false",
		},
		"Region":              {"AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-west-3"},
		"configuration files": {"AWS_CONFIG_FILE": "BROKEN", "AWS_SHARED_CREDENTIALS_FILE": "BROKEN", "AWS_SDK_LOAD_CONFIG": "1"},
		"new retries":         {"AWS_NEW_RETRIES_2026": "true", "AWS_MAX_ATTEMPTS": "9", "AWS_RETRY_MODE": "adaptive"},
	}
	for key, value := range map[string]string{
		"AWS_ACCOUNT_ID_ENDPOINT_MODE":             "x",
		"AWS_AUTH_SCHEME_PREFERENCE":               "sigv4a",
		"AWS_DEFAULT_PROFILE":                      "none",
		"AWS_DEFAULTS_MODE":                        "x",
		"AWS_DISABLE_CLOCK_SKEW_CORRECTION":        "x",
		"AWS_DISABLE_REQUEST_COMPRESSION":          "x",
		"AWS_EC2_METADATA_DISABLED":                "x",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT":        "LISTENER",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE":   "x",
		"AWS_EC2_METADATA_V1_DISABLED":             "x",
		"AWS_ENABLE_ENDPOINT_DISCOVERY":            "x",
		"AWS_EXECUTION_ENV":                        "another-product/1.0",
		"AWS_LOGIN_CACHE_DIRECTORY":                "/none",
		"AWS_MAX_ATTEMPTS":                         "x",
		"AWS_PROFILE":                              "none",
		"AWS_REQUEST_CHECKSUM_CALCULATION":         "x",
		"AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES":   "x",
		"AWS_RESPONSE_CHECKSUM_VALIDATION":         "x",
		"AWS_RESTRICT_FILE_PERMISSIONS":            "x",
		"AWS_RETRY_MODE":                           "x",
		"AWS_S3_DISABLE_EXPRESS_SESSION_AUTH":      "x",
		"AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS": "x",
		"AWS_S3_USE_ARN_REGION":                    "x",
		"AWS_SDK_UA_APP_ID":                        "another-product, not valid",
		"AWS_STS_REGIONAL_ENDPOINTS":               "x",
	} {
		rows[key] = map[string]string{key: value}
	}
	return rows
}

// harmfulEnviron returns variables of harmful as an environment. calls is how often the listener was called.
func harmfulEnviron(t *testing.T, variables map[string]string) (environ []string, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	listener := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(listener.Close)
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("[profile\nrole_arn\n\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	replacer := strings.NewReplacer("LISTENER", listener.URL, "BROKEN", broken)
	for key, value := range variables {
		environ = append(environ, key+"="+replacer.Replace(value))
	}
	return environ, calls
}

// recordedRequests is a proxy in front of AWS's endpoints that records what the SDK's configuration shapes.
type recordedRequests struct {
	mu       sync.Mutex
	requests []string
}

// startRecorder starts the proxy, and returns the variables that lead to it.
func startRecorder(t *testing.T, cloud *sandbox.Sandbox) (*recordedRequests, []string) {
	t.Helper()
	to, err := url.Parse(cloud.AWSURL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	recorded := new(recordedRequests)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The algorithm and the scope. The rest of a signature differs from call to call.
		signature, _, _ := strings.Cut(r.Header.Get("Authorization"), ",")
		_, scope, _ := strings.Cut(signature, "/")
		algorithm, _, _ := strings.Cut(signature, " ")
		recorded.mu.Lock()
		recorded.requests = append(recorded.requests, fmt.Sprintf("%s %s %q %s %s %s",
			r.Method, r.URL.Path, r.Header.Get("User-Agent"), algorithm, scope, slices.Sorted(maps.Keys(r.Header))))
		recorded.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return recorded, []string{"AWS_ENDPOINT_URL_STS=" + server.URL, "AWS_ENDPOINT_URL_ECR=" + server.URL}
}

func (r *recordedRequests) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.requests, "\n")
}

// describe returns what the sandbox received and what a run has exported, without what is new in each run.
func (r *run) describe(requests *recordedRequests) string {
	var lines []string
	for _, call := range r.cloud.Calls() {
		form := maps.Clone(call.Form)
		delete(form, "WebIdentityToken")
		lines = append(lines, fmt.Sprintf("%s:%s %q %d %s %v", call.Service, call.Action, call.Region, call.Status, call.Code, form))
	}
	lines = append(lines, requests.String())
	exported := r.exported()
	for _, key := range []string{"AWS_CALLER_ARN", "AWS_ACCOUNT_ID", "AWS_REGION", "AWS_DEFAULT_REGION"} {
		lines = append(lines, key+"="+exported[key])
	}
	return strings.Join(lines, "\n")
}

// AWS's variables from an earlier Step change neither the calls nor which credentials are exported.
func TestHarmfulVariablesChangeNothing(t *testing.T) {
	t.Parallel()
	program := plainProgram(t)
	given := map[string]string{"role_arn": role, "role_chain": targetRole, "docker_login": "true"}
	result := func(t *testing.T, environ ...string) string {
		t.Helper()
		cloud := startSandbox(t, sandbox.Options{})
		requests, endpoints := startRecorder(t, cloud)
		r := newRun(t, cloud, append(endpoints, environ...)...)
		r.program = program
		if err := errors.Join(os.Mkdir(filepath.Join(r.home(), ".aws"), 0o700),
			os.WriteFile(filepath.Join(r.home(), ".aws", "config"), []byte("[default\nregion"), 0o600)); err != nil {
			t.Fatal(err)
		}
		r.mustStep(given)
		return r.describe(requests)
	}
	want := result(t)
	rows, all := harmful(), map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		maps.Copy(all, rows[name])
	}
	rows["all at once"] = all
	for name, variables := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ, calls := harmfulEnviron(t, variables)
			if got := result(t, environ...); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if n := calls.Load(); n != 0 {
				t.Errorf("the listener was called %d times", n)
			}
		})
	}
}

// Nor does it change a renewal.
func TestHarmfulVariablesChangeNoRenewal(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]map[string]string{"one role": nil, "a chain": {"role_chain": targetRole}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			requests, endpoints := startRecorder(t, cloud)
			r := newProfileRun(t, cloud, endpoints...)
			inputs := map[string]string{"role_arn": role, "aws_profile": "bitrise"}
			maps.Copy(inputs, given)
			r.mustStep(inputs)
			first, firstCalls := requests.String(), len(cloud.Calls())
			r.expireSessions()

			all := map[string]string{"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_CA_BUNDLE": "/none"}
			for _, variables := range harmful() {
				maps.Copy(all, variables)
			}
			environ, calls := harmfulEnviron(t, all)
			command := r.process()
			command.Env = append(command.Env, environ...)
			output, stderr, err := r.tryCredentials(command)
			if err != nil || stderr != "" || !strings.HasPrefix(output.AccessKeyId, "ASIA") {
				t.Fatalf("got %v\n%s", err, stderr)
			}
			if got, want := requests.String(), first+"\n"+first; got != want {
				t.Errorf("the Step and the renewal sent\n%s\nwant\n%s", got, want)
			}
			if got := len(cloud.Calls()); got != 2*firstCalls || calls.Load() != 0 {
				t.Errorf("%d calls of the sandbox and %d of the listener, want %d and none", got, calls.Load(), 2*firstCalls)
			}
		})
	}
}

// A renewal goes where the Step went, also if a later Step has set only the other of two variables.
func TestRenewalKeepsTheEndpoint(t *testing.T) {
	t.Parallel()
	const sts, all = "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"
	for name, row := range map[string]struct{ kept, later string }{
		"kept for STS, then moved for all": {kept: sts, later: all},
		"kept for all, then moved for STS": {kept: all, later: sts},
		"kept for STS, then ignored":       {kept: sts, later: "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{})
			r := newProfileRun(t, cloud)
			isSTS := func(entry string) bool { return strings.HasPrefix(entry, sts+"=") }
			r.environ = append(slices.DeleteFunc(r.environ, isSTS), row.kept+"="+cloud.AWSURL())
			r.mustStep(map[string]string{"role_arn": role, "aws_profile": "bitrise"})
			r.expireSessions()

			var reached atomic.Int32
			elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				reached.Add(1)
				_, _ = io.Copy(io.Discard, r.Body)
			}))
			defer elsewhere.Close()
			command := r.process()
			command.Env = slices.DeleteFunc(command.Env, func(entry string) bool { return strings.HasPrefix(entry, row.kept+"=") })
			later := elsewhere.URL
			if !strings.HasPrefix(row.later, all) {
				later = "true"
			}
			command.Env = append(command.Env, row.later+"="+later)
			if _, stderr, err := r.tryCredentials(command); err != nil || stderr != "" {
				t.Errorf("got %v\n%s", err, stderr)
			}
			if got := count(cloud, assume); got != 2 || reached.Load() != 0 {
				t.Errorf("STS was called %d times and another server %d times, want 2 and 0", got, reached.Load())
			}
		})
	}
}
