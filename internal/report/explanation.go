package report

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// section is a part of an explanation. The log and the build page render the same sections.
type section struct {
	title shown
	lines []shown
	// bullet is in front of each line.
	bullet string
	// isBlock reports whether the lines are a table or JSON, which must keep its form.
	isBlock bool
}

// sections returns the parts of an explanation: first what was returned and what it means, then what to do.
func (l *Log) sections(x explain.Explanation) []section {
	all := []section{
		{title: l.clean(x.SaidBy + " said"), lines: l.lines(x.Said)},
		{title: "What this means", lines: l.lines(x.Means...)},
		{title: "What to do", lines: l.lines(x.Do...), bullet: "- "},
		{
			title:   "The identity token's claims, as condition keys of a trust policy",
			lines:   l.lines(table(x.ConditionKeys)...),
			isBlock: true,
		},
		{title: l.clean("A trust policy that lets in " + x.PolicyLetsIn), lines: l.lines(x.Policy), isBlock: true},
	}
	return slices.DeleteFunc(all, func(s section) bool { return len(s.lines) == 0 })
}

// lines returns the lines of texts, without empty ones.
func (l *Log) lines(texts ...string) []shown {
	var lines []shown
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" {
				lines = append(lines, l.clean(line))
			}
		}
	}
	return lines
}

// table returns one line for each claim.
func table(keys []explain.ConditionKey) []string {
	if len(keys) == 0 {
		return nil
	}
	width := 0
	for _, key := range keys {
		width = max(width, len(key.Key))
	}
	var rows []string
	for _, key := range keys {
		mark := " "
		if key.IsDocumented {
			mark = "*"
		}
		rows = append(rows, strings.TrimRight(fmt.Sprintf("%s %-*s  %s", mark, width, key.Key, key.Value), " "))
	}
	return append(rows, "* AWS documents that IAM evaluates this key.")
}

// Explain writes an explanation, and last the line with the cause, because the build page shows the last line. Lines have at most
// 80 columns, which Bitrise's log shows without scrolling, except for tables, JSON, and values to copy.
func (l *Log) Explain(x explain.Explanation) {
	l.write(l.sections(x))
	l.Printf("")
	l.Errorf("%s", x.Cause)
}

// ConditionKeys writes the claims of an identity token as condition keys of a trust policy.
func (l *Log) ConditionKeys(keys []explain.ConditionKey) {
	l.write(l.sections(explain.Explanation{ConditionKeys: keys}))
}

func (l *Log) write(sections []section) {
	for _, s := range sections {
		l.Printf("")
		l.Infof("%s", s.title)
		for _, line := range s.lines {
			if s.isBlock {
				l.Printf("%s", line)
			} else {
				l.Printf("%s", strings.Join(wrap(line, s.bullet), "\n"))
			}
		}
	}
}

// Problems writes a title and a list of problems, and last a line that sums them up.
func (l *Log) Problems(title string, problems []string, summary string) {
	l.Errorf("%s", title)
	for _, problem := range problems {
		for _, line := range wrap(l.clean(problem), "- ") {
			l.Errorf("%s", line)
		}
	}
	l.Errorf("%s", summary)
}

// wrap breaks a text at spaces into lines of at most 80 columns. A longer word stays in one piece, so that it can be copied.
func wrap(s shown, bullet string) []string {
	const columns = 80

	lines := []string{bullet}
	for i, word := range strings.Fields(string(s)) {
		last := len(lines) - 1
		switch {
		case i == 0:
			lines[0] += word
		case utf8.RuneCountInString(lines[last]+" "+word) <= columns:
			lines[last] += " " + word
		default:
			lines = append(lines, strings.Repeat(" ", len(bullet))+word)
		}
	}
	return lines
}
