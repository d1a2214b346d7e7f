package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bitrise-io/envman/v2/models"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
)

var update = flag.Bool("update", false, "write what the tests generate to the files that contain it")

// The tables of inputs and outputs in README.md are generated from step.yml.
func TestREADMETables(t *testing.T) {
	step, err := harness.ReadStep()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root(t), "README.md")
	old := readFile(t, file)
	content := old
	for section, table := range map[string]string{"inputs": inputTable(t, step.Inputs), "outputs": outputTable(t, step.Outputs)} {
		pattern := regexp.MustCompile(`(?s)(<!-- ` + section + `: [^\n]*-->\n).*?(<!-- end -->)`)
		if !pattern.MatchString(content) {
			t.Fatalf("README.md has no place for the table of %s", section)
		}
		content = pattern.ReplaceAllString(content, "${1}"+strings.ReplaceAll(table, "$", "$$")+"${2}")
	}
	if content == old {
		return
	}
	if !*update {
		t.Fatal("the tables in README.md differ from step.yml; to update them, run: go test -run README . -update")
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Each row of docs/guarantees.md has a test, and the tests are in the folders that the row names. A script or a make target that it
// names exists, too.
func TestGuaranteesHaveTests(t *testing.T) {
	root := root(t)
	page := readFile(t, filepath.Join(root, "docs", "guarantees.md"))
	rows := regexp.MustCompile(`(?m)^\| (.+?) \| (.+?) \|$`).FindAllStringSubmatch(page, -1)
	found := 0
	for _, row := range rows {
		if row[1] == "guarantee" || row[1] == "---" {
			continue
		}
		tests := 0
		for _, group := range strings.Split(row[2], "; ") {
			if target, isTarget := strings.CutPrefix(strings.Trim(group, "`"), "make "); isTarget {
				if !strings.Contains(readFile(t, filepath.Join(root, "Makefile")), "\n"+target+":") {
					t.Errorf("there is no make %s", target)
				}
				continue
			}
			folder := regexp.MustCompile("^`([a-z0-9/]+)`: ").FindStringSubmatch(group)
			if folder == nil {
				t.Errorf("%q names no folder", group)
				continue
			}
			source := readAll(t, filepath.Join(root, folder[1], "*_test.go"))
			for _, name := range testNames(group) {
				tests++
				if !strings.Contains(source, "func "+name+"(") {
					t.Errorf("there is no %s in %s", name, folder[1])
				}
			}
			for _, script := range regexp.MustCompile("`([^`]+\\.txt)`").FindAllStringSubmatch(group, -1) {
				if readAll(t, filepath.Join(root, folder[1], "testdata", script[1])) == "" {
					t.Errorf("there is no script %s", script[1])
				}
			}
		}
		if tests == 0 {
			t.Errorf("no test verifies this guarantee: %s", row[1])
		}
		found += tests
	}
	if found == 0 {
		t.Fatal("docs/guarantees.md names no test, so this one cannot fail")
	}
}

// Every test that a page names exists.
func TestPagesNameTests(t *testing.T) {
	var source strings.Builder
	for _, folder := range []string{"*", "internal/*", "e2e/*"} {
		source.WriteString(readAll(t, filepath.Join(root(t), folder, "*_test.go")))
	}
	found := 0
	for _, page := range pages(t) {
		for _, name := range testNames(readFile(t, page)) {
			found++
			if !strings.Contains(source.String(), "func "+name+"(") {
				t.Errorf("%s names %s, which does not exist", filepath.Base(page), name)
			}
		}
	}
	if found == 0 {
		t.Fatal("the pages name no test, so this one cannot fail")
	}
}

// testNames returns the names of tests, fuzz tests, and benchmarks that a Markdown text contains as code.
func testNames(text string) []string {
	var names []string
	for _, name := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]+)`").FindAllStringSubmatch(text, -1) {
		names = append(names, name[1])
	}
	return names
}

func readFile(t testing.TB, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// readAll returns the concatenated contents of the files that match a pattern.
func readAll(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		all.WriteString(readFile(t, file))
	}
	return all.String()
}

func inputTable(t *testing.T, inputs []models.EnvironmentItemModel) string {
	var table strings.Builder
	table.WriteString("| key | what it is | default | flags |\n| --- | --- | --- | --- |\n")
	category := "\x00"
	for _, input := range inputs {
		key, value, options := item(t, input)
		if name := text(options.Category); name != category && name != "" {
			fmt.Fprintf(&table, "| **%s** | | | |\n", name)
		}
		category = text(options.Category)
		var flags []string
		for _, flag := range []struct {
			name string
			set  *bool
		}{{"required", options.IsRequired}, {"sensitive", options.IsSensitive}, {"don't change", options.IsDontChangeValue}} {
			if flag.set != nil && *flag.set {
				flags = append(flags, flag.name)
			}
		}
		if value != "" {
			value = "`" + value + "`"
		}
		if len(options.ValueOptions) > 0 {
			flags = append(flags, "`"+strings.Join(options.ValueOptions, "`, `")+"`")
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", key, text(options.Summary), value, strings.Join(flags, ", "))
	}
	return table.String()
}

func outputTable(t *testing.T, outputs []models.EnvironmentItemModel) string {
	var table strings.Builder
	table.WriteString("| key | value |\n| --- | --- |\n")
	for _, output := range outputs {
		key, _, options := item(t, output)
		fmt.Fprintf(&table, "| `%s` | %s |\n", key, text(options.Summary))
	}
	return table.String()
}

func item(t *testing.T, model models.EnvironmentItemModel) (string, string, models.EnvironmentItemOptionsModel) {
	t.Helper()
	key, value, err := model.GetKeyValuePair()
	if err != nil {
		t.Fatal(err)
	}
	options, err := model.GetOptions()
	if err != nil {
		t.Fatal(err)
	}
	return key, value, options
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
