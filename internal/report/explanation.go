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
	title  shown
	layout layout
	lines  []shown
}

type layout int

const (
	paragraphs layout = iota
	list
	block // a table or JSON, line by line
)

// sections returns the parts of an explanation: first what was returned and what it means, then what to do.
func (l *Log) sections(x explain.Explanation) []section {
	all := []section{
		{l.clean(x.SaidBy + " said"), paragraphs, l.lines(x.Said)},
		{"What this means", paragraphs, l.lines(x.Means...)},
		{"What to do", list, l.lines(x.Do...)},
		{"The identity token's claims, as condition keys of a trust policy", block, l.lines(table(x.ConditionKeys)...)},
		{l.clean("A trust policy that admits " + x.PolicyAdmits), block, l.lines(x.Policy)},
	}
	return slices.DeleteFunc(all, func(s section) bool { return len(s.lines) == 0 })
}

// lines returns the lines of texts, without empty ones.
func (l *Log) lines(texts ...string) []shown {
	var lines []shown
	for _, t := range texts {
		for line := range strings.SplitSeq(string(l.clean(t)), "\n") {
			if line != "" {
				lines = append(lines, shorten(shown(line)))
			}
		}
	}
	return lines
}

// shorten keeps one text, such as a server's response, from filling the log.
func shorten(s shown) shown {
	const longest = 1000

	return truncate(s, longest)
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
	l.Errorf("%s", shorten(l.clean(x.Cause)))
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
			switch s.layout {
			case paragraphs:
				l.Printf("%s", strings.Join(wrap(line, "", ""), "\n"))
			case list:
				l.Printf("%s", strings.Join(wrap(line, "- ", "  "), "\n"))
			case block:
				l.Printf("%s", line)
			}
		}
	}
}

// Problems writes a title and a list of problems, and last a line that sums them up.
func (l *Log) Problems(title string, problems []string, summary string) {
	l.Errorf("%s", title)
	for _, problem := range problems {
		for _, line := range wrap(l.clean(problem), "- ", "  ") {
			l.Errorf("%s", line)
		}
	}
	l.Errorf("%s", summary)
}

// wrap breaks a text at spaces into lines of at most 80 columns. A longer word stays in one piece, so that it can be copied.
func wrap(s shown, first, rest string) []string {
	const columns = 80

	var lines []string
	line, isEmpty := first, true
	for _, word := range strings.Fields(string(s)) {
		if !isEmpty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
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
