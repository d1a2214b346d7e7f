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

var update = flag.Bool("update", false, "write what the tests generate into the files that hold it")

// The tables of README.md say what step.yml says.
func TestREADMETables(t *testing.T) {
	step, err := harness.ReadStep()
	if err != nil {
		t.Fatal(err)
	}
	root := root(t)
	file := filepath.Join(root, "README.md")
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content := string(old)
	for section, table := range map[string]string{"inputs": inputTable(t, step.Inputs), "outputs": outputTable(t, step.Outputs)} {
		pattern := regexp.MustCompile(`(?s)(<!-- ` + section + `: [^\n]*-->\n).*?(<!-- end -->)`)
		if !pattern.MatchString(content) {
			t.Fatalf("README.md has no place for the table of %s", section)
		}
		content = pattern.ReplaceAllString(content, "${1}"+strings.ReplaceAll(table, "$", "$$")+"${2}")
	}
	if content == string(old) {
		return
	}
	if !*update {
		t.Fatal("the tables of README.md differ from step.yml; look at them after: go test -run README . -update")
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every test that README.md names as the keeper of a promise is there.
func TestREADMEPromises(t *testing.T) {
	root := root(t)
	content, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\|[^|]+\|(.*`+"`Test"+`.*)\|$`).FindAllStringSubmatch(string(content), -1)
	if len(rows) == 0 {
		t.Fatal("README.md names no test, so this one cannot fail")
	}
	for _, row := range rows {
		for _, group := range strings.Split(row[1], ";") {
			folder := regexp.MustCompile("`([a-z0-9/]+)`:").FindStringSubmatch(group)
			if folder == nil {
				t.Errorf("no folder is named in %q", group)
				continue
			}
			source := readAll(t, filepath.Join(root, folder[1], "*_test.go"))
			for _, test := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(group, -1) {
				if !strings.Contains(source, "func "+test[1]+"(") {
					t.Errorf("there is no %s in %s", test[1], folder[1])
				}
			}
		}
	}
}

// The tests that CONTRIBUTING.md names are there, in whichever folder.
func TestCONTRIBUTINGNamesTests(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root(t), "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, folder := range []string{"*", "internal/*", "e2e/*"} {
		source.WriteString(readAll(t, filepath.Join(root(t), folder, "*_test.go")))
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(string(content), -1)
	if len(names) == 0 {
		t.Fatal("CONTRIBUTING.md names no test, so this one cannot fail")
	}
	for _, name := range names {
		if !strings.Contains(source.String(), "func "+name[1]+"(") {
			t.Errorf("there is no %s", name[1])
		}
	}
}

// readAll returns the files of a pattern, one behind the other.
func readAll(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
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
