package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// of returns the run as a build on the same machine: with the same home and files, but with its own store.
func (r *run) of(slug string) *run {
	r.t.Helper()
	other := newProfileRun(r.t, r.cloud, "HOME="+r.home(), "DOCKER_CONFIG="+r.docker, "BITRISE_BUILD_SLUG="+slug)
	other.docker = r.docker
	return other
}

// abandon makes everything that was kept look as if it had last been used some time ago.
func (r *run) abandon(ago time.Duration) {
	r.t.Helper()
	when := time.Now().Add(-ago)
	r.record("Written", when)
	for _, pattern := range []string{"*/*/cache.json", "*/*/lock"} {
		files, err := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", pattern))
		if err != nil || len(files) == 0 {
			r.t.Fatalf("there are no files %s: %v", pattern, err)
		}
		for _, file := range files {
			if err := os.Chtimes(file, when, when); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// expireLogins makes the records say that Docker's logins have expired.
func (r *run) expireLogins() { r.record("Expires", time.Unix(0, 0)) }

// record changes a time in all entries of the records.
func (r *run) record(key string, when time.Time) {
	r.t.Helper()
	records, err := filepath.Glob(filepath.Join(r.home(), ".authenticate-with-aws", "builds", "*.json"))
	if err != nil || len(records) == 0 {
		r.t.Fatalf("there are no records: %v", err)
	}
	for _, path := range records {
		changed := regexp.MustCompile(`"`+key+`": "[^"]*"`).ReplaceAllString(
			readFile(r.t, path), `"`+key+`": "`+when.UTC().Format(time.RFC3339)+`"`)
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
}

// A login cleans up after builds that were aborted: it removes sessions that were not used for a day, with their profiles and the
// long-lived key in them, and Docker logins that have expired, with the helpers that they replaced.
func TestLoginRemovesWhatAbortedBuildsLeft(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	machine := newProfileRun(t, cloud)
	host := cloud.Registry(account, region)
	docker := fmt.Sprintf("{\n\t\"auths\": {},\n\t\"credHelpers\": {\n\t\t%q: \"ecr-login\"\n\t}\n}\n", host)
	path := machine.writeDockerFile(docker)
	key := cloud.User("ci")
	aborted, current := machine.of("aborted"), machine.of("current")
	aborted.mustStep(map[string]string{
		"access_key_id": key.ID, "secret_access_key": key.Secret, "aws_profile": "aborted", "docker_login": "true", "ecr_registries": account,
	})
	holds := func(secret string) bool {
		for _, content := range machine.snapshot() {
			if strings.Contains(content, secret) {
				return true
			}
		}
		return false
	}
	login := map[string]string{"role_arn": role, "aws_profile": "current"}

	machine.abandon(23 * time.Hour)
	current.mustStep(login)
	if !holds(key.Secret) || !strings.Contains(readFile(t, machine.configFile()), "[profile aborted]") {
		t.Error("a session that may be in use was removed")
	}

	// A day later it is in use: a credential process has run, and the key is never renewed.
	machine.abandon(25 * time.Hour)
	if output, stderr, err := aborted.tryCredentials(aborted.processOf("aborted")); err != nil || output.AccessKeyId != key.ID {
		t.Errorf("got %v\n%s", err, stderr)
	}
	current.mustStep(login)
	if !holds(key.Secret) {
		t.Error("a session in use was removed")
	}

	machine.abandon(25 * time.Hour)
	machine.expireLogins()
	current.mustStep(login)
	if holds(key.Secret) {
		t.Error("the long-lived key was left")
	}
	config := readFile(t, machine.configFile())
	if strings.Contains(config, "[profile aborted]") || !strings.Contains(config, "[profile current]") {
		t.Errorf("got AWS's file\n%s", config)
	}
	if got := readFile(t, path); got != docker {
		t.Errorf("got Docker's file\n%s", got)
	}
	current.mustStep(map[string]string{"action": "logout"})
	if _, err := os.Stat(filepath.Join(machine.home(), ".authenticate-with-aws")); !os.IsNotExist(err) {
		t.Errorf("the Step's folder was left: %v", err)
	}
}

// Two builds of different apps share a machine and a profile name. In every order of what they do, no process that knows its
// build gets the other's credentials.
func TestTwoBuildsWithOneProfileName(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	for _, order := range interleavings("luro", "LURO") { // log in, use, renew, log out
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			machine := newProfileRun(t, cloud)
			builds := map[bool]*run{false: machine.of("build-a"), true: machine.of("build-b")}
			name := func(isB bool) string { return map[bool]string{false: "build-a", true: "build-b"}[isB] }
			owner := ""
			for _, what := range order {
				isB := what < 'a'
				r := builds[isB]
				switch strings.ToLower(string(what)) {
				case "l":
					r.mustStep(map[string]string{"role_arn": role, "aws_profile": "shared", "session_name": name(isB)})
					owner = name(isB)
				case "o":
					r.mustStep(map[string]string{"action": "logout"})
					if owner == name(isB) {
						owner = ""
					}
				default:
					if owner == "" {
						continue // there is no profile
					}
					if what == 'r' || what == 'R' {
						machine.leave(time.Minute)
					}
					output, stderr, err := r.tryCredentials(r.processOf("shared"))
					if (err == nil) != (owner == name(isB)) {
						t.Errorf("%q as %s, the owner is %s: %v\n%s", what, name(isB), owner, err, stderr)
					}
					if got := cloud.CallerARN(output.AccessKeyId); err == nil && !strings.HasSuffix(got, "/"+name(isB)) {
						t.Errorf("%q as %s: got the session %s", what, name(isB), got)
					}
				}
			}
			if entries, err := os.ReadDir(filepath.Join(machine.home(), ".authenticate-with-aws")); err == nil {
				t.Errorf("left: %v", entries)
			}
		})
	}
}

// interleavings returns all orders of two texts' characters in which each text keeps its own order.
func interleavings(a, b string) []string {
	if a == "" || b == "" {
		return []string{a + b}
	}
	var all []string
	for _, rest := range interleavings(a[1:], b) {
		all = append(all, a[:1]+rest)
	}
	for _, rest := range interleavings(a, b[1:]) {
		all = append(all, b[:1]+rest)
	}
	return all
}
