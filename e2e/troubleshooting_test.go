package e2e

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The parts of docs/troubleshooting.md that are not from the Step's log.
const (
	troubleshootingIntro = `# Troubleshooting

If the Step fails, the end of its log explains the error: what AWS or Bitrise said, what this means, and what to do. The last line
is the cause. This page collects these explanations.

- If a following Step fails, see [When a following Step fails](works-with.md#when-a-following-step-fails).
- If IAM rejects the role or its trust policy, see [below](#iam-rejects-the-role-or-its-trust-policy).
- If the log is not enough, run the Step with ` + "`verbose: \"true\"`" + `. It then shows every call, and never a secret.

To find an error, search this table for its code and text. Account IDs, names, and numbers are examples. Where a text says above or
below, it means the rest of the log; there is an [example of a whole log](#example-of-a-whole-log). The page is generated from the logs
in ` + "`e2e/testdata/explain`" + `.

| AWS or Bitrise said | cause | what to do |
| --- | --- | --- |
`
	troubleshootingExample = `
## Example of a whole log

This is what the log of the first error in the table looks like. The role's trust policy is for a different app.

`
	iamRejection = `
## IAM rejects the role or its trust policy

This is an error from IAM (the console, CloudFormation, Terraform), not from the Step. Since June 2025, IAM doesn't let you
create or update a role whose trust policy has a shared OIDC provider, such as GitHub's or Buildkite's, as its principal, but does not
evaluate the claim that identifies the tenant. For most of these providers, this is ` + "`sub`" + `. Existing roles keep working until
their trust policy is changed. AWS calls this
[identity-provider controls for shared OIDC providers](https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc_secure-by-default.html)
and lists the providers with the required claims there.

- If the statement is for a different provider, add the condition that AWS's page requires for it.
- If AWS lists Bitrise by now, add the condition that its page requires. If that is one on ` + "`sub`" + `, keep the one on ` + "`app_slug`" + `,
  too: see [below](#what-is-known-about-sub-and-condition-keys).
- Don't work around the error with a value such as ` + "`*`" + `: it would let everyone who uses the provider assume the role.
`
)

// docs/troubleshooting.md is generated from the golden files, so that it matches what the Step says.
func TestTroubleshootingPage(t *testing.T) {
	var entries []*entry
	byCause := map[string]*entry{}
	for _, f := range failures() {
		if f.offPage {
			continue
		}
		e := readEntry(t, f)
		// The same cause with another role is the same entry. Its failures have most of the advice in common.
		key := regexp.MustCompile(`role \S+`).ReplaceAllString(e.cause, "role")
		if first := byCause[key]; first != nil {
			first.addAdvice(e.advice)
			continue
		}
		byCause[key], entries = e, append(entries, e)
	}
	var page strings.Builder
	page.WriteString(troubleshootingIntro)
	for _, e := range entries {
		fmt.Fprintf(&page, "| %s | %s | [%s](#%s) |\n", e.said, e.cause, e.title, anchor(e.title))
	}
	shown := map[string]string{}
	for _, e := range entries {
		fmt.Fprintf(&page, "\n## %s\n", e.title)
		if e.meaning != "" {
			page.WriteString("\n" + e.meaning + "\n")
		}
		advice := strings.Join(e.advice, "\n- ")
		if other := shown[advice]; other != "" {
			t.Errorf("%s has the same advice as %s; give them the same cause", e.title, other)
		}
		shown[advice] = e.title
		page.WriteString("\n- " + advice + "\n")
	}
	page.WriteString(iamRejection + whatIsKnown + troubleshootingExample)
	log := regexp.MustCompile(`(?m) +$`).ReplaceAllString(readExplanation(t, failures()[0]), "")
	fmt.Fprintf(&page, "```text\n%s```\n", log)
	checkGolden(t, filepath.Join(root(t), "docs", "troubleshooting.md"), page.String())
}

// entry is a cause on the troubleshooting page.
type entry struct {
	title, said, cause, meaning string
	advice                      []string
}

// readEntry reads the golden file of a failure.
func readEntry(t *testing.T, f failure) *entry {
	t.Helper()
	log := readExplanation(t, f)
	title := cmp.Or(f.title, f.name)
	e := &entry{title: strings.ToUpper(title[:1]) + title[1:], cause: markdown(lastLine(log))}
	meaning := regexp.MustCompile(`(?s)\nWhat this means\n(.*?)\n\n`).FindStringSubmatch(log)
	if meaning != nil {
		e.meaning = markdown(meaning[1])
	}
	response := regexp.MustCompile(`(?s) (?:answered|returned) (\w+):? ?(.*?)(?: \(request ID [^)]*\)[^\n]*)?\n\n`).FindStringSubmatch(
		regexp.MustCompile(`([^\n])\n([^\n])`).ReplaceAllString(log, "$1 $2"))
	advice := regexp.MustCompile(`(?s)\nWhat to do\n- (.*?)\n\n`).FindStringSubmatch(log)
	if response == nil || advice == nil {
		t.Fatalf("%s is not a whole explanation:\n%s", f.name, log)
	}
	e.said = "`" + response[1] + "` " + markdown(response[2])
	for _, item := range strings.Split(advice[1], "\n- ") {
		e.advice = append(e.advice, markdown(item))
	}
	return e
}

// addAdvice adds advice that the entry does not have. Advice that starts the same is the same, with other names.
func (e *entry) addAdvice(more []string) {
	const same = 30
	for _, item := range more {
		if !slices.ContainsFunc(e.advice, func(known string) bool { return strings.HasPrefix(known, item[:min(same, len(item))]) }) {
			e.advice = append(e.advice, item)
		}
	}
}

// readExplanation returns the explanation in the golden file of a failure.
func readExplanation(t *testing.T, f failure) string {
	t.Helper()
	log := readFile(t, filepath.Join("testdata", "explain", strings.ReplaceAll(f.name, " ", "-")+".txt"))
	start := said.FindStringIndex(log)
	if start == nil {
		t.Fatalf("%s has no explanation", f.name)
	}
	return log[start[0]:]
}

// markdown turns plain text that is wrapped for the log into a paragraph of Markdown.
func markdown(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("*", `\*`, "|", `\|`, "_", `\_`, "<", "&lt;").Replace(text)
}
