package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// sessionsInARow is the number of consecutive sessions that a client has to use.
const sessionsInARow = 2

// The lifetimes of sessions, in seconds, that clients have to outlast. None of them has to wait for a session to end.
const (
	// hour is for clients that run once per call, and so ask for credentials each time.
	hour = 3600
	// askedAgain is for botocore, which asks for new credentials before each call in the last 15 minutes of the old ones.
	askedAgain = 900
	// moments is for clients that keep credentials until they expire by their own clock. The sandbox accepts them for longer, so
	// it does not matter how slow the machine is.
	moments = 3
)

const getCallerIdentity = "sts:GetCallerIdentity"

// callers returns the access keys that signed calls of an operation, in the order of their first use. A rejected call
// fails the test.
func callers(t *testing.T, cloud *sandbox.Sandbox, operation string) []string {
	t.Helper()
	service, action, _ := strings.Cut(operation, ":")
	var keys []string
	for _, call := range cloud.Calls() {
		if call.Service != service || call.Action != action {
			continue
		}
		if call.Code != "" {
			t.Fatalf("a call was rejected: %s", call.Code)
		}
		if len(keys) == 0 || keys[len(keys)-1] != call.AccessKeyID {
			keys = append(keys, call.AccessKeyID)
		}
	}
	return keys
}

// checkClient checks that a client has used several sessions, and that it never went back to an earlier one.
func checkClient(t *testing.T, cloud *sandbox.Sandbox) {
	t.Helper()
	keys := callers(t, cloud, getCallerIdentity)
	if len(keys) < sessionsInARow {
		t.Errorf("got %d sessions, want %d", len(keys), sessionsInARow)
	}
	slices.Sort(keys)
	if got := len(slices.Compact(keys)); got != len(keys) {
		t.Errorf("the client changed sessions %d times, but there are only %d", len(keys), got)
	}
}

// homes are home folders that the readers of AWS's config file treat differently: a path with a space has to be quoted.
func homes() []string { return []string{"home", "my höme"} }

// inEachHome runs a test with a profile whose sessions last a number of seconds, once for each of [homes].
func inEachHome(t *testing.T, seconds int, test func(t *testing.T, r *run, cloud *sandbox.Sandbox)) {
	t.Helper()
	t.Parallel()
	for _, home := range homes() {
		t.Run(home, func(t *testing.T) {
			t.Parallel()
			r, cloud := newClientRun(t, home, seconds)
			test(t, r, cloud)
		})
	}
}

// newClientRun returns a run in a home folder with this name, after the Step has written a profile.
func newClientRun(t *testing.T, home string, seconds int) (*run, *sandbox.Sandbox) {
	t.Helper()
	world := sandbox.DefaultConfig()
	world.SessionLifetime = seconds
	cloud := startSandbox(t, sandbox.Options{Config: world})
	return newRunWithProfile(t, cloud, home), cloud
}

// newRunWithProfile does the same with a sandbox of the test.
func newRunWithProfile(t *testing.T, cloud *sandbox.Sandbox, home string, environ ...string) *run {
	t.Helper()
	path := filepath.Join(t.TempDir(), home)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	r := newProfileRun(t, cloud, append(environ, "HOME="+path)...)
	r.mustStep(map[string]string{"role_arn": role, "aws_profile": "bitrise"})
	return r
}

func TestAWSCLIOutlastsASession(t *testing.T) {
	aws := need(t, "aws", howToGetAWS)
	inEachHome(t, hour, func(t *testing.T, r *run, cloud *sandbox.Sandbox) {
		for range sessionsInARow {
			var caller struct{ Arn string }
			output := r.next(aws, "sts", "get-caller-identity", "--output", "json")
			if err := json.Unmarshal([]byte(output), &caller); err != nil || !strings.HasPrefix(caller.Arn, assumedRole) {
				t.Fatalf("%s, %v", caller.Arn, err)
			}
			r.expireSessions()
		}
		checkClient(t, cloud)
	})
}

// needBoto3 skips a test if there is no Python with boto3.
func needBoto3(t *testing.T) string {
	t.Helper()
	const how = "install boto3, for example with: pip install boto3"
	python := need(t, "python3", how)
	if output, err := exec.CommandContext(t.Context(), python, "-c", "import boto3").CombinedOutput(); err != nil {
		t.Skipf("python3 cannot import boto3: %s\n%s", how, output)
	}
	return python
}

// botoLoop calls AWS for each line of its input, with one client, which keeps its credentials.
const botoLoop = `
import boto3, sys
client = boto3.client("sts")
for line in sys.stdin:
    print(client.get_caller_identity()["Arn"], flush=True)
`

func TestBoto3OutlastsASession(t *testing.T) {
	python := needBoto3(t)
	inEachHome(t, askedAgain, func(t *testing.T, r *run, cloud *sandbox.Sandbox) {
		command := r.nextCommand(python, "-c", botoLoop)
		stdin, inErr := command.StdinPipe()
		stdout, outErr := command.StdoutPipe()
		command.Stderr = t.Output()
		if err := errors.Join(inErr, outErr, command.Start()); err != nil {
			t.Fatal(err)
		}
		identities := bufio.NewScanner(stdout)
		for range sessionsInARow {
			_, _ = io.WriteString(stdin, "\n")
			if !identities.Scan() || !strings.HasPrefix(identities.Text(), assumedRole) {
				t.Errorf("boto3 is %q", identities.Text())
			}
			r.expireSessions()
		}
		if err := errors.Join(stdin.Close(), command.Wait()); err != nil {
			t.Error(err)
		}
		checkClient(t, cloud)
	})
}

// The AWS SDK for Go reads the environment of its process, which is this one, so the homes cannot be tested at the same time.
func TestGoSDKOutlastsASession(t *testing.T) {
	for _, home := range homes() {
		t.Run(home, func(t *testing.T) {
			r, cloud := newClientRun(t, home, moments)
			useExports(t, r)
			client := goClient(t)
			for len(callers(t, cloud, getCallerIdentity)) < sessionsInARow {
				caller, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
				if err != nil || !strings.HasPrefix(aws.ToString(caller.Arn), assumedRole) {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Millisecond) // The client renews its credentials without notice, so poll.
			}
			checkClient(t, cloud)
		})
	}
}

// Clients with the parser of AWS's files that was in use until 2023 drop everything after a closing quote.
func TestOldGoSDKsOutlastASession(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gov1", "gov2old"} {
		t.Run(name, func(t *testing.T) {
			client := filepath.Join(t.TempDir(), name)
			build(t, filepath.Join("clients", name), client) // each has its own module
			inEachHome(t, moments, func(t *testing.T, r *run, cloud *sandbox.Sandbox) {
				if output := r.next(client, fmt.Sprint(sessionsInARow)); !strings.HasPrefix(output, assumedRole) {
					t.Errorf("%s is %s", name, output)
				}
				checkClient(t, cloud)
			})
		})
	}
}

// rubyLoop calls AWS with one client until it has used the number of sessions in its argument. The SDK in some distributions does not read the variable with the endpoint.
const rubyLoop = `
client = Aws::STS::Client.new(endpoint: ENV["AWS_ENDPOINT_URL_STS"])
keys = {}
while keys.size < ARGV[0].to_i
  puts client.get_caller_identity.arn
  keys[client.config.credentials.credentials.access_key_id] = true
  sleep 0.05
end
client.get_caller_identity
`

func TestRubyOutlastsASession(t *testing.T) {
	const how = "install the AWS SDK for Ruby, for example with: apt-get install ruby-aws-sdk-core"
	ruby := need(t, "ruby", how)
	if output, err := exec.CommandContext(t.Context(), ruby, "-r", "aws-sdk-core", "-e", "").CombinedOutput(); err != nil {
		t.Skipf("ruby cannot load aws-sdk-core: %s\n%s", how, output)
	}
	inEachHome(t, moments, func(t *testing.T, r *run, cloud *sandbox.Sandbox) {
		r.environ = append(r.environ, "LANG=C.UTF-8") // With an ASCII locale, the SDK cannot parse a path that is not ASCII.
		output := r.next(ruby, "-r", "aws-sdk-core", "-e", rubyLoop, fmt.Sprint(sessionsInARow))
		if !strings.HasPrefix(output, assumedRole) {
			t.Errorf("Ruby is %s", output)
		}
		checkClient(t, cloud)
	})
}

// rclone calls S3, which the sandbox does not implement, so a server in this test records the access keys.
func TestRcloneOutlastsASession(t *testing.T) {
	rclone := need(t, "rclone", "install it, for example with: apt-get install rclone")
	inEachHome(t, hour, func(t *testing.T, r *run, _ *sandbox.Sandbox) {
		signers := make(chan string, 100)
		s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if request.Header.Get("X-Amz-Security-Token") == "" {
				t.Error("rclone sent no session token")
			}
			match := regexp.MustCompile(`Credential=(\w+)/`).FindStringSubmatch(request.Header.Get("Authorization"))
			if match == nil {
				t.Error("rclone did not sign a request")
				match = []string{"", ""}
			}
			signers <- match[1]
			_, _ = io.WriteString(w, "<ListAllMyBucketsResult><Buckets><Bucket><Name>the-bucket</Name></Bucket></Buckets></ListAllMyBucketsResult>")
		}))
		t.Cleanup(s3.Close)
		r.environ = append(r.environ, "RCLONE_CONFIG_MINE_TYPE=s3", "RCLONE_CONFIG_MINE_PROVIDER=AWS", "RCLONE_CONFIG_MINE_ENV_AUTH=true",
			"RCLONE_CONFIG_MINE_REGION=us-east-1", "RCLONE_CONFIG_MINE_ENDPOINT="+s3.URL)

		keys := map[string]bool{}
		for range sessionsInARow {
			if output := r.next(rclone, "lsd", "mine:", "--retries", "1", "--low-level-retries", "1"); !strings.Contains(output, "the-bucket") {
				t.Fatalf("rclone listed %s", output)
			}
			key := <-signers
			if !strings.HasPrefix(key, "ASIA") {
				t.Fatalf("%q signed a request, want a temporary key", key)
			}
			keys[key] = true
			r.expireSessions()
		}
		if len(keys) != sessionsInARow {
			t.Errorf("rclone used %d sessions, want %d", len(keys), sessionsInARow)
		}
	})
}

// The credential helper calls ECR only at its real host, so a proxy forwards it to the sandbox.
func TestECRCredentialHelperOutlastsASession(t *testing.T) {
	helper := need(t, "docker-credential-ecr-login", "install it, for example with: apt-get install amazon-ecr-credential-helper")
	const (
		host     = "api.ecr.us-east-1.amazonaws.com"
		registry = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
	)
	for _, home := range homes() {
		t.Run(home, func(t *testing.T) {
			t.Parallel()
			cloud := startSandbox(t, sandbox.Options{TLS: true, Hosts: []string{host}})
			proxy := startProxy(t, func(name string) string {
				if name == host+":443" {
					return strings.TrimPrefix(cloud.AWSURL(), "https://")
				}
				return ""
			})
			bundle := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(bundle, cloud.CACertificate(), 0o600); err != nil {
				t.Fatal(err)
			}
			r := newRunWithProfile(t, cloud, home, "HTTPS_PROXY="+proxy.url, "SSL_CERT_FILE="+bundle, "AWS_ECR_DISABLE_CACHE=true")
			for range sessionsInARow {
				output := r.next("sh", "-c", `echo "$1" | "$2" get`, "sh", registry, helper)
				var got struct{ Username, Secret string }
				if err := json.Unmarshal([]byte(output), &got); err != nil || got.Username != "AWS" || got.Secret == "" {
					t.Fatalf("the helper did not print a login: %v", err)
				}
				r.expireSessions()
			}
			if got := len(callers(t, cloud, login)); got != sessionsInARow {
				t.Errorf("the helper used %d sessions, want %d", got, sessionsInARow)
			}
		})
	}
}

// useExports sets the environment of this process to that of the next Step.
func useExports(t *testing.T, r *run) {
	t.Helper()
	for _, entry := range r.environ {
		key, value, _ := strings.Cut(entry, "=")
		t.Setenv(key, value)
	}
	for key, value := range r.exported() {
		t.Setenv(key, value)
	}
	// The SDK reads HOME only once, when its process starts.
	t.Setenv("AWS_CONFIG_FILE", r.configFile())
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(filepath.Dir(r.configFile()), "credentials"))
}

func goClient(t *testing.T) *sts.Client {
	t.Helper()
	loaded, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return sts.NewFromConfig(loaded)
}

// profileNames are names of each kind that the input accepts.
func profileNames() []string {
	return []string{"bitrise", "default", "Default", oddName, "4711"}
}

// The AWS CLI, boto3, and the AWS SDK for Go find every name that the input accepts, in a file that also has other profiles, and
// use the profile's Region and credentials.
func TestProfileNamesWithEveryClient(t *testing.T) {
	const find = `
import boto3, json, os, sys
for name in json.loads(sys.argv[1]):
    session = boto3.Session(profile_name=name)
    print(session.region_name, session.client("sts").get_caller_identity()["Arn"])
`
	cloud := startSandbox(t, sandbox.Options{})
	r := newProfileRun(t, cloud)
	if err := os.MkdirAll(filepath.Dir(r.configFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.configFile(), []byte("[profile theirs]\nregion = ap-south-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range profileNames() {
		r.mustStep(map[string]string{"region": "eu-west-2", "role_arn": role, "aws_profile": name})
		if got := r.exported()["AWS_PROFILE"]; got != name {
			t.Errorf("%q was exported as %q", name, got)
		}
	}
	t.Run("boto3", func(t *testing.T) {
		python := needBoto3(t)
		names, _ := json.Marshal(profileNames())
		// These variables would take precedence over the profile's Region.
		output := r.next("env", "-u", "AWS_REGION", "-u", "AWS_DEFAULT_REGION", python, "-c", find, string(names))
		if got := strings.Count(output, "eu-west-2 "+assumedRole); got != len(profileNames()) {
			t.Errorf("boto3 found %d of %d names:\n%s", got, len(profileNames()), output)
		}
	})
	t.Run("AWS CLI", func(t *testing.T) {
		aws := need(t, "aws", howToGetAWS)
		for _, name := range []string{oddName, "default"} {
			if got := r.next("env", "AWS_PROFILE="+name, aws, "sts", "get-caller-identity", "--query", "Arn"); !strings.Contains(got, assumedRole) {
				t.Errorf("%q: %s", name, got)
			}
		}
	})
	t.Run("SDK for Go", func(t *testing.T) {
		useExports(t, r)
		t.Setenv("AWS_REGION", "")
		t.Setenv("AWS_DEFAULT_REGION", "")
		for _, name := range profileNames() {
			t.Setenv("AWS_PROFILE", name)
			client := goClient(t)
			caller, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			if err != nil || client.Options().Region != "eu-west-2" || !strings.HasPrefix(aws.ToString(caller.Arn), assumedRole) {
				t.Errorf("%q: %s, %v", name, client.Options().Region, err)
			}
		}
	})
}
