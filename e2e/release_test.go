package e2e

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v2"
)

// Two builds of the same source are identical, for this and for another platform, even if the directories have different names
// and only one of them is a Git checkout.
func TestReleaseIsReproducible(t *testing.T) {
	t.Parallel()
	platforms := []string{runtime.GOOS + "/" + runtime.GOARCH, "darwin/arm64"}
	if platforms[0] == platforms[1] {
		platforms[1] = "linux/amd64"
	}
	first := copyOfTheSource(t, "first")
	second := copyOfTheSource(t, "second-with-a-longer-name")
	must(t, second, nil, "git", "init", "--quiet")
	must(t, second, nil, "git", "add", ".")
	must(t, second, nil, "git", "-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "--quiet", "-m", "m")
	for _, folder := range []string{first, second} {
		// Neither the environment nor "go env -w" affects a release.
		environment := []string{"GOENV=off", "GOFLAGS=-buildvcs=auto", "GOAMD64=v2", "CGO_ENABLED=1"}
		mustBuild(t, folder, environment, "make", "release", "RELEASE_VERSION=1.0.0", "RELEASE_PLATFORMS="+strings.Join(platforms, " "))
	}
	for _, platform := range platforms {
		name := filepath.Join("dist", "authenticate-with-aws-"+strings.ReplaceAll(platform, "/", "-"))
		one, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("%s: %x and %x", name, sha256.Sum256(one), sha256.Sum256(other))
		}
		info, err := buildinfo.Read(bytes.NewReader(one))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"-trimpath=true", "-tags=nethttpomithttp2", "CGO_ENABLED=0", "GOOS=" + strings.Split(platform, "/")[0]} {
			key, value, _ := strings.Cut(want, "=")
			if !slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == key && s.Value == value }) {
				t.Errorf("%s was not built with %s: %v", name, want, info.Settings)
			}
		}
	}
}

// copyOfTheSource copies the files that Git tracks into a new folder with the given name.
func copyOfTheSource(t *testing.T, name string) string {
	t.Helper()
	listing := must(t, root(t), nil, "git", "ls-files", "-z", "--", ".", ":!e2e")
	target := filepath.Join(t.TempDir(), name)
	for _, file := range strings.Split(strings.TrimRight(listing, "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root(t), file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(target, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(target, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return target
}

// mustBuild is [must] for programs that build something.
func mustBuild(t testing.TB, folder string, environment []string, program string, arguments ...string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	return must(t, folder, environment, program, arguments...)
}

// must runs a program and returns its output.
func must(t testing.TB, folder string, environment []string, program string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Dir, command.Env = folder, append(os.Environ(), environment...)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, output)
	}
	return string(output)
}

// goreleaser is the part of .goreleaser.yaml that these tests read.
type goreleaser struct {
	ProjectName string `yaml:"project_name"`
	Builds      []struct {
		GoOS         []string `yaml:"goos"`
		GoArch       []string `yaml:"goarch"`
		GoAMD64      []string `yaml:"goamd64"`
		GoARM64      []string `yaml:"goarm64"`
		Env          []string `yaml:"env"`
		Flags        []string `yaml:"flags"`
		Ldflags      []string `yaml:"ldflags"`
		ModTimestamp string   `yaml:"mod_timestamp"`
	} `yaml:"builds"`
	Archives []struct {
		Formats      []string `yaml:"formats"`
		NameTemplate string   `yaml:"name_template"`
	} `yaml:"archives"`
	Checksum struct {
		Algorithm string `yaml:"algorithm"`
	} `yaml:"checksum"`
	SBOMs []struct {
		Artifacts string `yaml:"artifacts"`
	} `yaml:"sboms"`
	Changelog struct {
		Disable any `yaml:"disable"`
	} `yaml:"changelog"`
}

// GoReleaser's own parser accepts .goreleaser.yaml, which releases the programs of "make release" under the same names, with
// checksums and an SBOM.
func TestGoReleaserConfiguration(t *testing.T) {
	t.Parallel()
	file := filepath.Join(root(t), ".goreleaser.yaml")
	mustBuild(t, filepath.Join(root(t), "e2e", "release"), nil, "go", "run", ".", file)
	if program, err := exec.LookPath("goreleaser"); err == nil {
		must(t, root(t), nil, program, "check")
	}

	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var config goreleaser
	if err := yaml.Unmarshal(content, &config); err != nil || len(config.Builds) != 1 {
		t.Fatalf("%d builds: %v", len(config.Builds), err)
	}
	build := config.Builds[0]
	recipe := must(t, root(t), nil, "make", "--dry-run", "release", "RELEASE_VERSION={{.Version}}")
	wanted := append(slices.Concat(build.Env, build.Flags), "-ldflags='"+strings.Join(build.Ldflags, " ")+"'",
		"GOAMD64="+strings.Join(build.GoAMD64, ""), "GOARM64="+strings.Join(build.GoARM64, ""))
	for _, os := range build.GoOS {
		for _, architecture := range build.GoArch {
			wanted = append(wanted, os+"/"+architecture)
		}
	}
	for _, want := range wanted {
		if !strings.Contains(recipe, " "+want+" ") && !strings.Contains(recipe, " "+want+";") {
			t.Errorf("make release does not use %s:\n%s", want, recipe)
		}
	}
	for _, platform := range []string{"linux", "darwin", "amd64", "arm64"} {
		if !slices.Contains(append(build.GoOS, build.GoArch...), platform) {
			t.Errorf("nothing is released for %s", platform)
		}
	}
	if len(config.Archives) != 1 || !slices.Equal(config.Archives[0].Formats, []string{"binary"}) ||
		config.ProjectName != "authenticate-with-aws" || config.Archives[0].NameTemplate != "{{ .ProjectName }}-{{ .Os }}-{{ .Arch }}" {
		t.Errorf("the programs are not released under the names that the StepLib gives them: %+v", config.Archives)
	}
	// With any date but the commit's, builds would differ.
	if build.ModTimestamp != "{{ .CommitTimestamp }}" || regexp.MustCompile(`\.(Date|Now|Timestamp)\b`).Match(content) {
		t.Error("the release contains a time other than the commit's")
	}
	if config.Checksum.Algorithm != "sha256" || len(config.SBOMs) == 0 || config.SBOMs[0].Artifacts != "binary" {
		t.Errorf("checksums and SBOM: %+v", config)
	}
	if config.Changelog.Disable != nil {
		t.Error("changelog.disable makes GoReleaser ignore the release notes")
	}
	parser := regexp.MustCompile(`goreleaser/v2 (\S+)`).FindStringSubmatch(readFile(t, filepath.Join(root(t), "e2e/release/go.mod")))
	if script := readFile(t, filepath.Join(root(t), ".ci/release")); !strings.Contains(script, "goreleaser/v2@"+parser[1]+"\n") {
		t.Errorf(".ci/release does not install GoReleaser %s, whose parser was used:\n%s", parser[1], script)
	}
}

// CHANGELOG.md follows https://keepachangelog.com/en/1.1.0/: dated versions, newest first, each with sections of the known names. Only
// the newest may be unreleased.
func TestChangelog(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root(t), "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range changelogProblems(string(content)) {
		t.Error(wrong)
	}
	for text, want := range map[string]string{
		"# Changelog\n\n## [Unreleased]\n\n### Added\n\n- a\n":                                                         "## [Unreleased]",
		"# Changelog\n\n## [1.0] - 2026-01-02\n\n### Added\n\n- a\n":                                                   "## [1.0] - 2026-01-02",
		"# Changelog\n\n## [1.1.0] - Unreleased\n\n### Added\n\n- a\n\n## [1.0.0] - Unreleased\n\n### Added\n\n- a\n":  "[1.0.0] - Unreleased",
		"# Changelog\n\n## [1.9.0] - 2026-01-02\n\n### Added\n\n- a\n\n## [1.10.0] - 2026-01-01\n\n### Added\n\n- a\n": "newest first",
		"# Changelog\n\n## [1.0.0] - Unreleased\n\n### News\n\n- a\n":                                                  "### News",
		"# Changelog\n\n## [1.0.0] - Unreleased\n\n### Added\n\n- a\n\n### Added\n\n- b\n":                             "appears more than once",
		"# Changelog\n\n## [1.0.0] - Unreleased\n\n### Added\n":                                                        "is empty",
		"# Changelog\n\n## [1.0.0] - Unreleased\n\n### Added\n\n### Fixed\n\n- a\n":                                    "is empty",
	} {
		if got := strings.Join(changelogProblems(text), "\n"); !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// changelogProblems returns what is wrong with a changelog.
func changelogProblems(text string) []string {
	var faults []string
	fault := func(format string, arguments ...any) { faults = append(faults, fmt.Sprintf(format, arguments...)) }
	lines := strings.Split(text, "\n")
	if lines[0] != "# Changelog" {
		fault("the first line is %q", lines[0])
	}
	version := regexp.MustCompile(`^## \[(\d+)\.(\d+)\.(\d+)\] - (Unreleased|\d{4}-\d\d-\d\d( \[YANKED\])?)$`)
	newest := ""
	var section string // the current section, until it has an entry
	sections := map[string]bool{}
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, "#") && section != "" {
			fault("%s is empty", section)
			section = ""
		}
		switch {
		case strings.HasPrefix(line, "### "):
			if !slices.Contains([]string{"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}, line[4:]) && !strings.HasPrefix(line, "### Breaking since ") {
				fault("%s is not a section", line)
			}
			if sections[line] {
				fault("%s appears more than once", line)
			}
			section, sections[line] = line, true
		case strings.HasPrefix(line, "## "):
			sections = map[string]bool{}
			parts := version.FindStringSubmatch(line)
			if parts == nil || parts[4] == "Unreleased" && newest != "" {
				fault("%s is not a version with its date", line)
				continue
			}
			key := fmt.Sprintf("%9s.%9s.%9s", parts[1], parts[2], parts[3])
			if newest != "" && key >= newest {
				fault("%s: versions must be sorted newest first", line)
			}
			newest = key
		case strings.HasPrefix(line, "- "):
			section = ""
		}
	}
	if section != "" {
		fault("%s is empty", section)
	}
	return faults
}

// The search for vulnerabilities fails if it finds one that the Step can reach. It is skipped, with a message, if the database or
// govulncheck cannot be downloaded.
func TestSearchForVulnerabilities(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	entry := `{"schema_version":"1.3.1","id":"GO-2000-0001","modified":"2000-01-01T00:00:00Z","published":"2000-01-01T00:00:00Z","details":"Made up.",
		"affected":[{"package":{"name":"stdlib","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
		"ecosystem_specific":{"imports":[{"path":"net/http","symbols":["Client.Do"]}]}}],"database_specific":{"url":"https://example.com"}}`
	if err := os.WriteFile(filepath.Join(folder, "GO-2000-0001.json"), []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	// A small module in place of the Step's, which takes ten times as long.
	module := t.TempDir()
	for file, content := range map[string]string{
		"go.mod":          "module example.com/small\n\ngo 1.25.0\n",
		"main.go":         "package main\n\nimport \"net/http\"\n\nfunc main() { _, _ = new(http.Client).Do(nil) }\n",
		".ci/vuln":        readFile(t, filepath.Join(root(t), ".ci", "vuln")),
		"e2e/vuln/go.mod": readFile(t, filepath.Join(root(t), "e2e", "vuln", "go.mod")),
		"e2e/vuln/go.sum": readFile(t, filepath.Join(root(t), "e2e", "vuln", "go.sum")),
	} {
		path := filepath.Join(module, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	unreachable := "http://127.0.0.1:1"
	for _, row := range []struct {
		variables []string
		fails     bool
		says      string
	}{
		{[]string{"VULNDB=file://" + folder}, true, "GO-2000-0001"},
		{[]string{"HTTPS_PROXY=" + unreachable}, false, "SKIPPED: the search for known vulnerabilities: https://vuln.go.dev does not respond"},
		{
			[]string{"GOMODCACHE=" + filepath.Join(folder, "none"), "GOPROXY=" + unreachable}, false,
			"SKIPPED: the search for known vulnerabilities: govulncheck cannot be downloaded",
		},
	} {
		command := exec.CommandContext(t.Context(), filepath.Join(module, ".ci", "vuln"))
		command.Env = append(os.Environ(), row.variables...)
		builds.Lock()
		output, err := command.CombinedOutput()
		builds.Unlock()
		if row.fails && strings.Contains(string(output), "govulncheck cannot be downloaded") {
			t.Skip(string(output))
		}
		if (err != nil) != row.fails || !strings.Contains(string(output), row.says) {
			t.Errorf("%v: %v\n%s", row.variables, err, output)
		}
	}
}
