package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// sessionLife is how many seconds sessions live where clients have to outlast them: enough for a slow client on a slow
// machine to sign a call and send it.
const sessionLife = 5

// sessionsInARow is how many sessions a client has to use, one after the other: it outlasts three.
const sessionsInARow = 4

// callers returns the access keys that have signed calls of GetCallerIdentity, in the order in which they were used first,
// and fails the test if one of the calls was refused.
func callers(t *testing.T, cloud *sandbox.Sandbox) []string {
	t.Helper()
	var keys []string
	for _, call := range cloud.Calls() {
		if call.Action != "GetCallerIdentity" {
			continue
		}
		if call.Code != "" {
			t.Fatalf("a call was refused: %s", call.Code)
		}
		if len(keys) == 0 || keys[len(keys)-1] != call.AccessKeyID {
			keys = append(keys, call.AccessKeyID)
		}
	}
	return keys
}

// checkClient checks what a client has left in the sandbox after it has used several sessions: each was asked for once.
func checkClient(t *testing.T, cloud *sandbox.Sandbox) {
	t.Helper()
	keys := callers(t, cloud)
	if len(keys) < sessionsInARow {
		t.Errorf("%d sessions were used, want %d", len(keys), sessionsInARow)
	}
	// One more may have been got that no call was signed with yet.
	if got := count(cloud, assume); got > len(keys)+1 {
		t.Errorf("%d exchanges for %d sessions", got, len(keys))
	}
}

func prepareClient(t *testing.T, name string) (*run, *sandbox.Sandbox) {
	cloud := startSandbox(t, sandbox.Options{Config: shortSessions(sessionLife)})
	r := newProfileRun(t, cloud)
	r.mustStep(map[string]string{"role_arn": role, "aws_profile": name})
	return r, cloud
}

func TestAWSCLIOutlastsThreeSessions(t *testing.T) {
	aws := need(t, "aws", howToGetAWS)
	t.Parallel()
	r, cloud := prepareClient(t, oddName)
	for len(callers(t, cloud)) < sessionsInARow {
		var caller struct{ Arn string }
		if err := json.Unmarshal([]byte(r.next(aws, "sts", "get-caller-identity", "--output", "json")), &caller); err != nil || !strings.HasPrefix(caller.Arn, assumedRole) {
			t.Fatalf("%s, %v", caller.Arn, err)
		}
	}
	checkClient(t, cloud)
}

// needBoto3 skips a test where there is no Python with boto3.
func needBoto3(t *testing.T) string {
	t.Helper()
	const how = "install boto3, for example with: pip install boto3"
	python := need(t, "python3", how)
	if output, err := exec.CommandContext(t.Context(), python, "-c", "import boto3").CombinedOutput(); err != nil {
		t.Skipf("python3 cannot import boto3: %s\n%s", how, output)
	}
	return python
}

// botoLoop calls with one client, which keeps its credentials, until it has had as many as its argument says.
const botoLoop = `
import boto3, sys
session = boto3.Session()
client = session.client("sts")
keys = set()
while len(keys) < int(sys.argv[1]):
    print(client.get_caller_identity()["Arn"])
    keys.add(session.get_credentials().get_frozen_credentials().access_key)
client.get_caller_identity()
`

func TestBoto3OutlastsThreeSessions(t *testing.T) {
	python := needBoto3(t)
	t.Parallel()
	r, cloud := prepareClient(t, oddName)
	script := filepath.Join(t.TempDir(), "loop.py")
	if err := os.WriteFile(script, []byte(botoLoop), 0o600); err != nil {
		t.Fatal(err)
	}
	output := r.next(python, script, "4")
	if !strings.HasPrefix(output, assumedRole) {
		t.Errorf("boto3 is %s", output)
	}
	checkClient(t, cloud)
}

// AWS's SDK for Go reads the environment of its process, which is this one.
func TestGoSDKOutlastsThreeSessions(t *testing.T) {
	r, cloud := prepareClient(t, oddName)
	useExports(t, r)
	client := goClient(t)
	for len(callers(t, cloud)) < sessionsInARow {
		caller, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if err != nil || !strings.HasPrefix(aws.ToString(caller.Arn), assumedRole) {
			t.Fatal(err)
		}
		waitUntil(t, time.Now().Add(50*time.Millisecond)) // a poll of a client that renews by itself, and tells nobody
	}
	checkClient(t, cloud)
}

// useExports makes this process's environment that of the Steps that follow.
func useExports(t *testing.T, r *run) {
	t.Helper()
	for _, entry := range r.environ {
		key, value, _ := strings.Cut(entry, "=")
		t.Setenv(key, value)
	}
	for key, value := range r.exported() {
		t.Setenv(key, value)
	}
	// The SDK looks at HOME once, when its process starts, and this one has started with another.
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

// profileNames are of each kind that the input takes.
func profileNames() []string {
	return []string{"bitrise", "default", "Default", oddName, "two  blanks", "profile of mine", "e\u0301 हिन्दी", "a.b_c-d/e%f@g:h+i", "4711"}
}

// Every name that the input takes is one that the AWS CLI, boto3 and AWS's SDK for Go find, and take the Region and the
// credentials of, in a file with other profiles around it.
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
		// Its own variables would stand before the profile's Region.
		output := r.next("env", "-u", "AWS_REGION", "-u", "AWS_DEFAULT_REGION", python, "-c", find, string(names))
		if got := strings.Count(output, "eu-west-2 "+assumedRole); got != len(profileNames()) {
			t.Errorf("%d of %d names were found:\n%s", got, len(profileNames()), output)
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
