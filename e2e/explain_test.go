package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// The explanation of each failure matches a golden file. It is at most 80 columns wide, and its last line is the cause. A
// suggested trust policy works: with it, the same run succeeds, and other builds are still rejected.
func TestExplanations(t *testing.T) {
	t.Parallel()
	plugin := fakePlugin(t)
	for _, f := range failures() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			config := sandbox.DefaultConfig()
			if f.world != nil {
				f.world(&config)
			}
			const sts = "sts.us-east-1.amazonaws.com"
			cloud := startSandbox(t, sandbox.Options{
				Config: config, Issuer: bitriseIssuer, Clock: f.clock, Faults: parseFaults(t, f.script), TLS: f.byName, Hosts: []string{sts},
			})
			page := filepath.Join(t.TempDir(), "annotation.md")
			environ := []string{"ANNOTATION=" + page}
			if f.byName {
				forward := startProxy(t, func(string) string { return strings.TrimPrefix(cloud.AWSURL(), "https://") })
				environ = append(environ, "HTTPS_PROXY="+forward.url, "AWS_ENDPOINT_URL_STS=")
			}
			r := newRun(t, cloud, environ...)
			r.putFirst(plugin)
			if err := os.MkdirAll(filepath.Join(r.home(), ".bitrise", "plugins", "annotations"), 0o700); err != nil {
				t.Fatal(err)
			}
			output, err := r.step(f.given(t, cloud))
			if exitCode(err) != 1 {
				t.Fatalf("the Step exited with %v:\n%s", err, output)
			}
			r.mustHaveExportedNothing()
			log := explanation(output, cloud)
			checkGolden(t, filepath.Join("testdata", "explain", strings.ReplaceAll(f.name, " ", "-")+".txt"), log)
			checkColumns(t, log)

			annotation, err := os.ReadFile(page)
			if err != nil {
				t.Fatalf("there is no annotation: %v", err)
			}
			r.searchForSecrets("the annotation", string(annotation))
			if last := lastLine(log); !strings.Contains(strings.ReplaceAll(string(annotation), `\_`, "_"), last) {
				t.Errorf("the annotation does not show the cause %q:\n%s", last, annotation)
			}
			if f.policy {
				checkSuggestedPolicy(t, f, suggestedPolicy(t, log))
			} else if strings.Contains(log, `"Version"`) && !strings.Contains(f.name, "role") {
				t.Errorf("a policy was suggested:\n%s", log)
			}
		})
	}
}

// fakePlugin returns a directory with a Bitrise CLI that has the annotations plugin, which writes to the file in ANNOTATION.
func fakePlugin(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	script := "#!/bin/sh\n" +
		"[ \"$*\" = ':annotations annotate --style error --context authenticate-with-aws' ] || exit 1\n" +
		"cat > \"$ANNOTATION\"\n"
	if err := os.WriteFile(filepath.Join(folder, "bitrise"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}

// Without the plugin, the Step does not try to annotate, and the log does not mention it.
func TestNoAnnotationWithoutThePlugin(t *testing.T) {
	cloud := startSandbox(t, sandbox.Options{})
	page := filepath.Join(t.TempDir(), "annotation.md")
	r := newRun(t, cloud, "ANNOTATION="+page)
	r.putFirst(fakePlugin(t))
	output, err := r.step(map[string]string{"role_arn": role + "x", "verbose": "true"})
	if err == nil || strings.Contains(strings.ToLower(output), "annotation") {
		t.Errorf("%v\n%s", err, output)
	}
	if _, err := os.Stat(page); err == nil {
		t.Error("the plugin was called")
	}
}

// explanation returns a failing run's log without its inputs, its retries, and what differs from run to run.
func explanation(log string, cloud *sandbox.Sandbox) string {
	inputsAndRetries := regexp.MustCompile(`(?s)^.*?\n- action: \w+\n\n|(?m)^[^\n]* failed \(attempt \d+\): [^\n]*\n`)
	return inputsAndRetries.ReplaceAllString(normalize(log, cloud), "")
}

// normalize replaces what differs from run to run in a log: colors, times, ports, and IDs.
func normalize(log string, cloud *sandbox.Sandbox) string {
	for _, rule := range [][2]string{
		{"\x1b\\[[0-9;]*m", ""},
		{`\b(\d+ ms|\d\.\d s)\b`, "N ms"},
		{`\bin \d+ (hours|minutes|seconds)\b`, "in N minutes"},
		{` at \d\d:\d\d:\d\dZ`, " at 03:04:05Z"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "00000000-0000-0000-0000-000000000000"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "2026-01-02T03:04:05Z"},
		{`date/time\s+\d{10}`, "date/time 1700000000"},
	} {
		log = regexp.MustCompile(rule[0]).ReplaceAllString(log, rule[1])
	}
	return strings.ReplaceAll(log, cloud.User("ci").ID, "AKIA0000000000000000")
}

// checkColumns checks that a log is at most 80 columns wide. Policies, claims, the cause, and single long words can be wider.
func checkColumns(t *testing.T, log string) {
	t.Helper()
	start := said.FindStringIndex(log)
	if start == nil {
		t.Fatalf("there is no explanation in\n%s", log)
	}
	explanation, cause := log[start[0]:], lastLine(log)
	for line := range strings.SplitSeq(explanation, "\n") {
		isTable := strings.Contains(line, `": "`) || strings.Contains(line, bitriseIssuerHost+":") || line == cause
		if len([]rune(line)) > 80 && strings.Contains(strings.TrimSpace(line), " ") && !isTable {
			t.Errorf("a line of %d columns: %s", len([]rune(line)), line)
		}
	}
}

const bitriseIssuerHost = "token.builds.bitrise.io"

// said matches the heading of an explanation.
var said = regexp.MustCompile(`(?m)^(AWS|Bitrise) said$`)

// checkGolden compares a text with a golden file, or writes the file with -update.
func checkGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; to update it, run: go test -run %s . -update\ngot:\n%s", file, strings.Split(t.Name(), "/")[0], got)
	}
}
