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

// The inputs, outputs, and variables in the column "here" of docs/migrating.md exist: as inputs or outputs, or in README.md.
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
	known := append(inputKeys(t), "run_if") // which every Step has
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
			t.Errorf("line %d: this Step has no %s", number+1, name)
		}
	}
	// Only these inputs have no counterpart elsewhere.
	for _, key := range inputKeys(t) {
		if !named[key] && !slices.Contains([]string{"build_url", "build_api_token", "verbose"}, key) {
			t.Errorf("no table maps anything to %s", key)
		}
	}
}

// Every input of the Step in a page's YAML exists.
func TestInputsInPages(t *testing.T) {
	known := inputKeys(t)
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
					t.Errorf("%s sets %s, which is not an input of the Step", filepath.Base(page), key)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no page sets an input, so this test cannot fail")
	}
}

// inputsIn returns the keys of the Step's inputs, wherever the Step is in a piece of YAML.
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

// Every link from one page to another leads to a file that exists, and to a heading that exists if it names one.
func TestLinksBetweenPages(t *testing.T) {
	t.Parallel()
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
				t.Errorf("%s: the target of %s does not exist", filepath.Base(page), link[1])
			} else if heading != "" && !slices.Contains(headings(t, target), heading) {
				t.Errorf("%s: the heading of %s does not exist", filepath.Base(page), link[1])
			}
		}
	}
	if found == 0 {
		t.Error("no page has a link, so this test cannot fail")
	}
}

// headings returns the names of a page's headings in GitHub's links.
func headings(t *testing.T, page string) []string {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(content), -1) {
		names = append(names, anchor(heading[1]))
	}
	return names
}

// anchor returns the name of a heading in GitHub's links.
func anchor(heading string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}
