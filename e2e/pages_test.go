package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v2"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/harness"
)

// What docs/migrating.md says is "here" is here: inputs, outputs, and the variables that README.md names.
func TestMigratingNamesWhatIsHere(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root(t), "docs", "migrating.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	step, err := harness.ReadStep()
	if err != nil {
		t.Fatal(err)
	}
	known := slices.Concat(inputKeys(t), pendingInputs, []string{"run_if"}) // that of every Step
	for _, output := range step.Outputs {
		key, _, _ := item(t, output)
		known = append(known, key)
	}
	here, named := false, map[string]bool{}
	for number, line := range strings.Split(string(content), "\n") {
		if !strings.HasPrefix(line, "|") {
			here = false
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		last := cells[len(cells)-1]
		if last == "here" {
			here = true
			continue
		}
		if !here {
			continue
		}
		for _, word := range regexp.MustCompile("`\\$?([a-z]+(?:_[a-z]+)*|[A-Z]+(?:_[A-Z]+)+)(?:: [^`]*)?`").FindAllStringSubmatch(last, -1) {
			name := word[1]
			named[name] = true
			if slices.Contains(known, name) || (strings.ToUpper(name) == name && strings.Contains(string(readme), "`"+name+"`")) {
				continue
			}
			t.Errorf("line %d: there is no %s here", number+1, name)
		}
	}
	// An input that has no row was forgotten, but for those that only this Step has.
	for _, key := range inputKeys(t) {
		if !named[key] && !slices.Contains([]string{"build_url", "build_api_token", "verbose"}, key) {
			t.Errorf("no table says where %s comes from", key)
		}
	}
}

// Every input that the YAML of a page gives to the Step is one.
func TestInputsInPages(t *testing.T) {
	known := append(inputKeys(t), pendingInputs...)
	found := 0
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(content, -1) {
			var tree any
			if err := yaml.Unmarshal(block[1], &tree); err != nil {
				t.Errorf("%s: %v\n%s", filepath.Base(page), err, block[1])
			}
			for _, key := range inputsIn(tree) {
				found++
				if !slices.Contains(known, key) {
					t.Errorf("%s gives the Step %s, which is no input", filepath.Base(page), key)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no input was found, so this test cannot fail")
	}
}

// inputsIn returns the keys of the Step's inputs, wherever the Step stands in a piece of YAML.
func inputsIn(tree any) []string {
	var keys []string
	switch node := tree.(type) {
	case []any:
		for _, child := range node {
			keys = append(keys, inputsIn(child)...)
		}
	case map[any]any:
		for name, child := range node {
			step, isMap := child.(map[any]any)
			if text, _ := name.(string); !isMap || !strings.HasPrefix(text, "authenticate-with-aws") {
				keys = append(keys, inputsIn(child)...)
				continue
			}
			inputs, _ := step["inputs"].([]any)
			for _, input := range inputs {
				given, _ := input.(map[any]any)
				for key := range given {
					if key != "opts" {
						keys = append(keys, key.(string))
					}
				}
			}
		}
	}
	return keys
}

// Every link from one page to another leads to a file, and to a heading if it names one.
func TestLinksBetweenPages(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(content), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			found++
			file, heading, _ := strings.Cut(link[1], "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", filepath.Base(page), link[1])
			} else if heading != "" && !slices.Contains(headings(t, target), heading) {
				t.Errorf("%s: %s names no heading", filepath.Base(page), link[1])
			}
		}
	}
	if found == 0 {
		t.Error("no link was found, so this test cannot fail")
	}
}

// headings returns a page's headings as GitHub's links name them.
func headings(t *testing.T, page string) []string {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(content), -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}
