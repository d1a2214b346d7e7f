package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// phrase is an expression that the text in this repository avoids.
type phrase struct {
	word    string // is in every match; to search for it is much faster
	avoid   *regexp.Regexp
	instead string
}

// phrases returns the expressions to avoid. The patterns match lower-case text in which line breaks are spaces.
var phrases = sync.OnceValue(func() []phrase {
	var list []phrase
	for _, row := range [][3]string{
		{"blank", `\bblanks?\b( lines?)?`, "spaces, whitespace; trimmed"},
		{"wanted", `\bwanted\b.{0,40}\b(found|got|given)\b`, "must be X, got Y"},
		{" wanted", `\b(is|was|were) wanted\b`, "must be X"},
		{"one a", `\bone an? (line|row)\b`, "one per line"},
		{"stand", `\bstands? (in|there|before)\b`, "is in, appears in, takes precedence over"},
		{"body", `\bsomebody\b|[^.]\bnobody\b`, "name the actor, or use the passive"},
		{"whoever", `\bwhoever\b`, "name the actor, or use the passive"},
		{"told", `\b(is|are|was|were) told\b`, "is called with, gets a warning"},
		{"tell", `\btells? (whether|of)\b`, "reports whether, mentions"},
		{"that", `\b(faults?|errors?|failures?) that (may |can )?(pass|stay)\b`, "transient errors, permanent errors"},
		{"pass", `\b(cannot|may|can) pass\b[,;.]`, "transient errors, permanent errors"},
		{"be had", `\b(to|can|cannot) be had\b`, "obtained, available"},
		{"by ", `\bby (itself|themselves)\b`, "automatically, alone"},
		{"like", `\band (its|the|their) like\b`, "and similar"},
		{" own", `\bof (its|their|his|my) own\b`, "its own"},
		{"midst", `\bin the midst of\b`, "in"},
		{"on to", `\bgo(es)? on to\b`, "assume in sequence"},
		{"prove", `\bproves? to bitrise\b`, "authenticates"},
		{"the house", `\bthe house\b`, "packages"},
		{" room", `\bthe rooms?\b|\ba room\b`, "packages"},
		{"become", `\bbecomes? of\b`, "how settings map"},
		{"was said", `\bwhat was said\b`, "AWS said"},
		{"ended at", `\b(has|have|had) ended at\b`, "has expired"},
		{"as one too many", `\bturned (away|down) as one too many\b`, "is throttling requests"},
		{"set-up", `[^#]\bset-up\b`, "setup, configuration"},
		{"colour", `\bcolours?\b`, "color"},
		{"again, at every", `\btr(y|ies|ied) again, at every\b`, "retried"},
		{"answer", `\b(un)?answer(s|ed|ing)?\b`, "returned, responded, the response"},
		{"refus", `(connection |[^.\w])refus(e[sd]?|ing|als?)\b`, "rejects, denies, an error"},
		{"admit", `\badmit(s|ted|ting)?\b`, "allows, lets in"},
		{"another one", `\banother one\b`, "a different one"},
		{" alone", `\b(left|leaves?|leaving)( \w+){0,3} alone\b`, "is kept, is not changed"},
		{"condition", `\bconditions? (in \w+ )?((does|do) not |(does|do)n't |never )?holds?\b`, "is met"},
		{"guarantee", `\bholds? (an?|the|each|every|this) guarantee`, "verifies"},
		{"means", `\bempty means\b`, "defaults to; if empty, ..."},
		{"; ", `; (empty|zero|nil|none): `, "defaults to; if empty, ..."},
		{"gone", `\balready gone\b|\bgone already\b`, "missing, already removed"},
		{"same value", `\bexported with the same value\b`, "is also set to"},
		{" out", `\bhands? ((it|them) )?out\b`, "returns, provides"},
		{" away", `\btak(es?|ing) away\b|\bstays? away\b`, "removes; is not created"},
		{"which on", `\bfrom which on\b`, "the minimum"},
		{"at that moment:", `\bat that moment:`, "was waiting for"},
		{"everywhere", `\bknown everywhere\b`, "propagated"},
		{"that name", `\bof that name\b`, "with this name"},
		{"whose", `\bwhose (they are|it is)\b`, "the identity they belong to"},
		{"left", `\bwhat ([^ .]+ ){1,5}(has|have|had) left\b`, "entries from earlier runs"},
	} {
		list = append(list, phrase{row[0], regexp.MustCompile(row[1]), row[2]})
	}
	return list
})

// allowedPhrases are matches that are good English.
var allowedPhrases = []string{"blank line", "blank lines", "connection refused"}

// finding is an expression to avoid in a text.
type finding struct {
	line          int // starting at 1
	text, instead string
	avoid         *regexp.Regexp
}

// findPhrases returns the expressions to avoid in a text, in order. Line breaks, indentation, and comment markers within an
// expression do not hide it.
func findPhrases(text string) []finding {
	flat := []byte(strings.ToLower(text))
	if len(flat) != len(text) {
		flat = []byte(text) // a letter whose lower case has another length; offsets must stay the same
	}
	for _, gap := range regexp.MustCompile(`\n[ \t]*(//|#|>)?[ \t]*`).FindAllIndex(flat, -1) {
		for i := gap[0]; i < gap[1]; i++ {
			flat[i] = ' '
		}
	}
	collapsed, offsets := collapse(flat)
	var found []finding
	for _, p := range phrases() {
		if !bytes.Contains(collapsed, []byte(p.word)) {
			continue
		}
		for _, at := range p.avoid.FindAllIndex(collapsed, -1) {
			match := strings.TrimSpace(string(collapsed[at[0]:at[1]]))
			if !slices.Contains(allowedPhrases, match) {
				found = append(found, finding{1 + strings.Count(text[:offsets[at[0]]], "\n"), match, p.instead, p.avoid})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b finding) int { return a.line - b.line })
	return found
}

// collapse replaces runs of spaces by one space, and returns the original offset of each byte.
func collapse(text []byte) (collapsed []byte, offsets []int) {
	for i, c := range text {
		if c == ' ' && i > 0 && text[i-1] == ' ' {
			continue
		}
		collapsed, offsets = append(collapsed, c), append(offsets, i)
	}
	return collapsed, offsets
}

// The comments, strings, and pages in this repository are free of expressions that a native speaker would not use.
func TestEnglish(t *testing.T) {
	t.Parallel()
	folder := root(t)
	text := regexp.MustCompile(`\.(go|md|yml|yaml|sh|txt|tf|json)$|(^|/)Makefile$|^\.ci/`)
	checked := 0
	for _, name := range strings.Fields(must(t, folder, nil, "git", "ls-files", "--cached", "--others", "--exclude-standard")) {
		if !text.MatchString(name) || name == "e2e/english_test.go" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, name))
		if os.IsNotExist(err) {
			continue // deleted but still in the index
		}
		if err != nil {
			t.Fatal(err)
		}
		checked++
		for _, f := range findPhrases(string(content)) {
			t.Errorf("%s:%d: %q: write instead: %s", name, f.line, f.text, f.instead)
		}
	}
	if checked < 100 {
		t.Errorf("checked only %d files", checked)
	}
}

func TestFindPhrases(t *testing.T) {
	seen := map[*regexp.Regexp]bool{}
	for text, want := range map[string]string{
		"There is a blank in it.":                                   "blank",
		"Remove the\n// blanks around it.":                          "blanks",
		"three parts wanted, 2 found":                               "wanted, 2 found",
		"ARNs, one a line":                                          "one a line",
		"The value stands in the file.":                             "stands in",
		"Whoever holds it.":                                         "whoever",
		"Welcome to the\n\thouse.":                                  "the house",
		"leave a room":                                              "a room",
		"Somebody holds it.":                                        "somebody",
		"# the caller is\n# told":                                   "is told",
		"isRight tells\n\t\t// whether it is right":                 "tells whether",
		"Faults that may pass are retried.":                         "faults that may pass",
		"if it is not to be had":                                    "to be had",
		"It renews by itself.":                                      "by itself",
		"a folder of its own":                                       "of its own",
		"roles to go on to":                                         "go on to",
		"a name is wanted":                                          "is wanted",
		"an error that cannot pass.":                                "cannot pass.",
		"tokens and their like":                                     "and their like",
		"in the midst of it":                                        "in the midst of",
		"what proves to Bitrise that":                               "proves to bitrise",
		"what becomes of them":                                      "becomes of",
		"first what was said":                                       "what was said",
		"the session has ended at noon":                             "has ended at",
		"turned away as one too many":                               "turned away as one too many",
		"the set-up of a build":                                     "set-up",
		"a log in colour":                                           "colour",
		"it is tried again, at every call":                          "tried again, at every",
		"STS answered AccessDenied":                                 "answered",
		"IAM refuses it":                                            "refuses",
		"lets connection refused pass, but admits":                  "admits",
		"or another one":                                            "another one",
		"leaves the file alone":                                     "leaves the file alone",
		"a condition in it does not hold":                           "condition in it does not hold",
		"tests that hold each guarantee":                            "hold each guarantee",
		"Empty means all.":                                          "empty means",
		"the limit; zero: none":                                     "; zero:",
		"What is already gone is fine.":                             "already gone",
		"it is exported with the same value":                        "exported with the same value",
		"a program that hands them out":                             "hands them out",
		"a logout takes away all of them":                           "takes away",
		"the age from which on it is removed":                       "from which on",
		"At that moment: nothing.":                                  "at that moment:",
		"take a moment to be known everywhere":                      "known everywhere",
		"a profile of that name":                                    "of that name",
		"credentials and whose they are":                            "whose they are",
		"what killed runs have left there":                          "what killed runs have left",
		"A blank line ends it. AWS stands for Amazon Web Services.": "",
		"The test passes. The flag goes before the package.":        "",
	} {
		t.Run(want, func(t *testing.T) {
			found := findPhrases("first line\n" + text)
			switch {
			case want == "" && len(found) != 0:
				t.Errorf("got %v for %q, want none", found, text)
			case want != "" && (len(found) != 1 || found[0].text != want || found[0].line < 2):
				t.Errorf("got %v for %q, want %q", found, text, want)
			case want != "":
				seen[found[0].avoid] = true
			}
		})
	}
	for _, p := range phrases() {
		if !seen[p.avoid] {
			t.Errorf("there is no example of %s", p.avoid)
		}
	}
}
