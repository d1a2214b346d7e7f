package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// All that a failing run says stands in this file. First what was said and what it means, then what to do, and last the
// line that names the cause: it is what the build's page shows, and has to do alone. Lines are at most 80 columns wide,
// which is what Bitrise's log shows without scrolling, but for JSON that is to be pasted.

// TimeoutError is the end of a run by its own timeout.
type TimeoutError struct{ After time.Duration }

// Error names the input that sets the timeout.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the Step took longer than the %d seconds of its input timeout", int(e.After.Seconds()))
}

// errInterrupted is the end of a run by a signal.
var errInterrupted = errors.New("interrupted by a signal")

// interruption replaces the error of a call that was broken off by why it was broken off.
func interruption(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	var timeout *TimeoutError
	if !errors.As(context.Cause(ctx), &timeout) {
		return errInterrupted
	}
	if err == nil || errors.Is(timeout, err) {
		return timeout
	}
	return fmt.Errorf("%w; at the end: %w", timeout, err)
}

// explain writes an error to the log, and to the build's page where that can be.
func (s Step) explain(ctx context.Context, err error) {
	var inputs *InputError
	switch {
	case errors.As(err, &inputs):
		s.explainInputs(inputs)
	case errors.Is(err, errInterrupted):
		s.explainInterruption(err)
	default:
		s.explainLeftBehind(err)
		explanation := explanationOf(err)
		s.logExplanation(explanation)
		s.Log.Errorf("%s", explanation.Cause)
		s.annotate(ctx, presentable(s.secrets, markdown(explanation)))
	}
}

// explainInterruption says no more than that, because whoever sent the signal knows why.
func (s Step) explainInterruption(err error) {
	if s.explainLeftBehind(err) {
		s.Log.Errorf("%s; not all exports could be taken back", errInterrupted)
		return
	}
	s.Log.Errorf("%s; nothing was exported", errInterrupted)
}

// explainLeftBehind tells of exports that could not be taken back, if there are any.
func (s Step) explainLeftBehind(err error) bool {
	var left *leftBehindError
	if !errors.As(err, &left) {
		return false
	}
	s.Log.Errorf("%s", left.leftovers())
	return true
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func (s Step) explainInputs(err *InputError) {
	s.Log.Errorf("The inputs are not right; nothing was sent:")
	var names []string
	for _, finding := range err.Findings {
		for _, line := range wrap(finding.Input+": "+finding.Text, "- ", "  ") {
			s.Log.Errorf("%s", line)
		}
		if !slices.Contains(names, finding.Input) {
			names = append(names, finding.Input)
		}
	}
	s.Log.Errorf("wrong inputs: %s", strings.Join(names, ", "))
}

func (s Step) logExplanation(x explain.Explanation) {
	section := func(title string) {
		s.Log.Println()
		s.Log.Infof("%s", title)
	}
	print := func(text, first, rest string) {
		for _, line := range wrap(text, first, rest) {
			s.Log.Printf("%s", line)
		}
	}
	if x.Said != "" {
		section("What was said")
		for line := range strings.SplitSeq(x.Said, "\n") {
			print(line, "", "")
		}
	}
	if len(x.Means) > 0 {
		section("What it means")
		for _, text := range x.Means {
			print(text, "", "")
		}
	}
	if len(x.Do) > 0 {
		section("What to do")
		for _, text := range x.Do {
			print(text, "- ", "  ")
		}
	}
	if len(x.ConditionKeys) > 0 {
		section("What the identity token says, as condition keys of a trust policy")
		width := 0
		for _, claim := range x.ConditionKeys {
			width = max(width, len(claim.Key))
		}
		for _, claim := range x.ConditionKeys {
			s.Log.Printf("%-*s  %s", width, claim.Key, claim.Value)
		}
	}
	if x.Policy != "" {
		section("A trust policy that admits " + x.PolicyAdmits)
		for line := range strings.SplitSeq(x.Policy, "\n") {
			s.Log.Printf("%s", line)
		}
	}
	s.Log.Println()
}

// wrap breaks a text at blanks into lines of at most 80 columns. A word that is longer stays whole, so that it can be
// copied.
func wrap(text, first, rest string) []string {
	const columns = 80

	var lines []string
	line := first
	empty := true
	for _, word := range strings.Fields(text) {
		if !empty && len([]rune(line))+1+len([]rune(word)) > columns {
			lines = append(lines, line)
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	return append(lines, line)
}

// markdown is an explanation for the build's page.
func markdown(x explain.Explanation) string {
	var page strings.Builder
	fmt.Fprintf(&page, "**Authenticate with AWS: %s**\n", escape(x.Cause))
	if x.Said != "" {
		fmt.Fprintf(&page, "\n> %s\n", strings.ReplaceAll(escape(x.Said), "\n", "\n>\n> "))
	}
	for _, text := range x.Means {
		fmt.Fprintf(&page, "\n%s\n", escape(text))
	}
	if len(x.Do) > 0 {
		page.WriteString("\n")
	}
	for _, text := range x.Do {
		fmt.Fprintf(&page, "- %s\n", escape(text))
	}
	if len(x.ConditionKeys) > 0 {
		page.WriteString("\n| condition key | value |\n| --- | --- |\n")
	}
	for _, claim := range x.ConditionKeys {
		fmt.Fprintf(&page, "| %s | %s |\n", escape(claim.Key), escape(claim.Value))
	}
	if x.Policy != "" {
		fmt.Fprintf(&page, "\nA trust policy that admits %s:\n\n```json\n%s\n```\n", x.PolicyAdmits, x.Policy)
	}
	return page.String()
}

// escape keeps what came from outside from being read as Markdown or HTML.
func escape(text string) string {
	return strings.NewReplacer("\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "<", "&lt;", "|", "\\|").Replace(text)
}
