package report

import (
	"fmt"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// longestAnswer is how many characters of what another side answered are shown.
const longestAnswer = 1000

// Explain writes an explanation: first what was answered and what it means, then what to do, and last the line that names the
// cause, because the build page shows the last line. Lines have at most 80 columns, which Bitrise's log shows without
// scrolling, except for JSON and values to copy.
func (l *Log) Explain(x explain.Explanation) {
	section := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		l.heading(title)
		for _, line := range lines {
			l.Printf("%s", line)
		}
	}
	section(x.SaidBy+" said", l.paragraphs(l.answer(x.Said), "", ""))
	section("What this means", l.paragraphs(x.Means, "", ""))
	section("What to do", l.paragraphs(x.Do, "- ", "  "))
	l.ConditionKeys(x.ConditionKeys)
	if x.Policy != "" {
		section("A trust policy that admits "+x.PolicyAdmits, strings.Split(x.Policy, "\n"))
	}
	l.Printf("")
	l.Errorf("%s", truncate(l.clean(x.Cause), longestAnswer))
}

func (l *Log) heading(title string) {
	l.Printf("")
	l.Infof("%s", title)
}

// ConditionKeys writes the claims of an identity token as condition keys of a trust policy.
func (l *Log) ConditionKeys(keys []explain.ConditionKey) {
	if len(keys) == 0 {
		return
	}
	l.heading("The identity token's claims, as condition keys of a trust policy")
	width := 0
	for _, key := range keys {
		width = max(width, len(key.Key))
	}
	for _, key := range keys {
		mark := " "
		if key.IsDocumented {
			mark = "*"
		}
		l.Printf("%s", strings.TrimRight(fmt.Sprintf("%s %-*s  %s", mark, width, key.Key, key.Value), " "))
	}
	l.Printf("* AWS documents that IAM evaluates this key.")
}

// answer returns the lines of an answer, fit to be shown.
func (l *Log) answer(said string) []string {
	if said == "" {
		return nil
	}
	var lines []string
	for line := range strings.SplitSeq(l.clean(said), "\n") {
		lines = append(lines, truncate(line, longestAnswer))
	}
	return lines
}

// paragraphs wraps texts. Secrets are removed first: wrapped, they would not be recognized.
func (l *Log) paragraphs(texts []string, first, rest string) []string {
	var lines []string
	for _, t := range texts {
		lines = append(lines, wrap(l.clean(t), first, rest)...)
	}
	return lines
}

// Problems writes a title and a list of problems, and last a line that sums them up.
func (l *Log) Problems(title string, problems []string, summary string) {
	l.Errorf("%s", title)
	for _, line := range l.paragraphs(problems, "- ", "  ") {
		l.Errorf("%s", line)
	}
	l.Errorf("%s", summary)
}

// wrap breaks a text at spaces into lines of at most 80 columns. A longer word stays in one piece, so that it can be copied.
func wrap(s, first, rest string) []string {
	const columns = 80

	var lines []string
	line, isEmpty := first, true
	for _, word := range strings.Fields(s) {
		if !isEmpty && len([]rune(line))+1+len([]rune(word)) > columns {
			lines = append(lines, line)
			line, isEmpty = rest, true
		}
		if !isEmpty {
			line += " "
		}
		line, isEmpty = line+word, false
	}
	return append(lines, line)
}

// markdown renders an explanation for the build page.
func (l *Log) markdown(x explain.Explanation) string {
	var page strings.Builder
	fmt.Fprintf(&page, "**Authenticate with AWS: %s**\n", escape(truncate(l.clean(x.Cause), longestAnswer)))
	if answer := l.answer(x.Said); answer != nil {
		fmt.Fprintf(&page, "\n> %s\n", escape(strings.Join(answer, "\n>\n> ")))
	}
	for _, paragraph := range x.Means {
		fmt.Fprintf(&page, "\n%s\n", escape(paragraph))
	}
	if len(x.Do) > 0 {
		page.WriteString("\n")
	}
	for _, item := range x.Do {
		fmt.Fprintf(&page, "- %s\n", escape(item))
	}
	if len(x.ConditionKeys) > 0 {
		page.WriteString("\n| condition key | value | documented by AWS |\n| --- | --- | --- |\n")
	}
	for _, key := range x.ConditionKeys {
		documented := "no"
		if key.IsDocumented {
			documented = "yes"
		}
		fmt.Fprintf(&page, "| %s | %s | %s |\n", escape(key.Key), escape(key.Value), documented)
	}
	if x.Policy != "" {
		fmt.Fprintf(&page, "\nA trust policy that admits %s:\n\n```json\n%s\n```\n", x.PolicyAdmits, x.Policy)
	}
	return l.clean(page.String())
}

// escape keeps foreign text from being read as Markdown or HTML.
func escape(s string) string {
	return strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "<", "&lt;", "|", "\\|").Replace(s)
}
