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

To find an error, follow the link at the end of the log, or search this table for the error's code and text. The log has the values of
your build in place of *PLACEHOLDERS*. Where a text says above or below, it means the rest of the log; there is an
[example of a whole log](#example-of-a-whole-log). The page is generated from the logs in ` + "`e2e/testdata/explain`" + `.

| AWS or Bitrise said | cause | what to do |
| --- | --- | --- |
`
	troubleshootingExample = `
## Example of a whole log

This is what the log of the first error in the table looks like. The role's trust policy is for a different app.

`
	otherSections = `
## Invalid inputs

The log lists every input that is wrong, and what it must be. Nothing was sent.

- An input that is set to a variable is empty if the variable is. Secrets are available in pull-request builds only if their setting
  *Expose for Pull Requests* is on.
- Write numbers that start with a zero, and account IDs, in quotation marks. Otherwise, YAML changes them.

## Other errors

These are errors of the network, of this machine's files, and those that AWS or Bitrise don't document. The cause in the log is the whole
error.

- If an error is temporary, run the build again.
- If a host cannot be reached, check this machine's network, ` + "`HTTPS_PROXY`, and `AWS_ENDPOINT_URL`" + ` and similar variables.
- If AWS returned a code, look it up in AWS's documentation.
`
	iamDenial = `
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
	var table strings.Builder
	bySection := map[string]*entry{}
	for _, f := range failures() {
		if f.offPage {
			continue
		}
		e := readEntry(t, f)
		// Failures of the same section have most of the advice in common.
		first := bySection[e.section]
		if first == nil {
			first = e
			bySection[e.section], entries = e, append(entries, e)
		}
		if anchor(first.title) != e.section {
			t.Errorf("the title %q has another anchor than the section %s in the log", first.title, e.section)
		}
		first.addAdvice(e.advice)
		if row := fmt.Sprintf("| %s | %s | [%s](#%s) |\n", e.said, e.cause, first.title, e.section); !strings.Contains(table.String(), row) {
			table.WriteString(row)
		}
	}
	for _, section := range sectionsOfTheStep(t) {
		if bySection[section] == nil {
			t.Errorf("no failure leads to the section %s", section)
		}
	}
	var page strings.Builder
	page.WriteString(troubleshootingIntro + table.String())
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
	page.WriteString(otherSections + iamDenial + whatIsKnown + troubleshootingExample)
	log := regexp.MustCompile(`(?m) +$`).ReplaceAllString(readExplanation(t, failures()[0]), "")
	fmt.Fprintf(&page, "```text\n%s```\n", log)
	checkGolden(t, filepath.Join(root(t), "docs", "troubleshooting.md"), page.String())
}

// sectionsOfTheStep returns the sections that the Step's source links to.
func sectionsOfTheStep(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"awsauth/*.go", "dockerlogin/*.go", "oidc/*.go", "internal/awserr/*.go"} {
		files, err := filepath.Glob(filepath.Join(root(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for _, match := range regexp.MustCompile(`Section: "([^"]+)"`).FindAllStringSubmatch(readFile(t, file), -1) {
				all = append(all, match[1])
			}
		}
	}
	if len(all) == 0 {
		t.Error("the source links to no section")
	}
	return all
}

// entry is a section of the troubleshooting page.
type entry struct {
	section, title, said, cause, meaning string
	advice                               []string
}

// readEntry reads the golden file of a failure.
func readEntry(t *testing.T, f failure) *entry {
	t.Helper()
	log := readExplanation(t, f)
	title := cmp.Or(f.title, f.name)
	e := &entry{title: strings.ToUpper(title[:1]) + title[1:], cause: general(lastLine(log))}
	meaning := regexp.MustCompile(`(?s)\nWhat this means\n(.*?)\n\n`).FindStringSubmatch(log)
	if meaning != nil {
		e.meaning = general(meaning[1])
	}
	response := regexp.MustCompile(`(?s)\n(?:AWS said (\w+) \([^)]*\)|Bitrise said the token endpoint returned (\d+))(.*?)\n\n`).FindStringSubmatch(
		regexp.MustCompile(`([^\n])\n([^\n])`).ReplaceAllString(log, "$1 $2"))
	advice := regexp.MustCompile(`(?s)\nWhat to do\n- (.*?)\n\n`).FindStringSubmatch(log)
	section := regexp.MustCompile(`docs/troubleshooting\.md#(\S+)`).FindStringSubmatch(log)
	if response == nil || advice == nil || section == nil {
		t.Fatalf("%s is not a whole explanation:\n%s", f.name, log)
	}
	e.section, e.said = section[1], "`"+response[1]+response[2]+"` "+general(response[3])
	for _, item := range strings.Split(advice[1], "\n- ") {
		e.advice = append(e.advice, general(item))
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
	cause := "\n" + lastLine(log) + "\n"
	start := strings.Index(log, cause)
	if start < 0 {
		t.Fatalf("%s has no explanation", f.name)
	}
	return log[start+1:]
}

// general returns a text of the log for every build: it has placeholders for what is different in other builds.
func general(text string) string {
	return strings.NewReplacer(
		"arn:aws:sts::123456789012:assumed-role/bitrise-deploy/bitrise-4711", "*CALLER*",
		"arn:aws:iam::210987654321:role/deploy-target", "*NEXT-ROLE-ARN*", "deploy-target", "*NEXT-ROLE*",
		"arn:aws:iam::123456789012:role/bitrise-deploy", "*ROLE-ARN*", "bitrise-deploy", "*ROLE*", "role Bitrise-Deploy", "role *ROLE*", "arn:aws:iam::123456789012:user/ci", "*CALLER*",
		"123456789012", "*ACCOUNT*", "210987654321", "*ACCOUNT*", "my-audience", "*AUDIENCE*", "Region us-east-1", "Region *REGION*", "credentials in us-east-1", "credentials in *REGION*",
		"500 bytes", "*N* bytes", "1700000000", "*TIME*", "http://127.0.0.1:PORT/build/another", "*BUILD-URL*",
		"role 1 of 1", "role *N* of *M*",
	).Replace(markdown(text))
}

// markdown turns plain text that is wrapped for the log into a paragraph of Markdown.
func markdown(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("*", `\*`, "|", `\|`, "_", `\_`, "<", "&lt;").Replace(text)
}
