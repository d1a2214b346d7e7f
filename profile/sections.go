package profile

import (
	"errors"
	"fmt"
	"strings"
)

// The Step's lines in the file stand between two comments, by which a later run, of a later version too, knows them for the
// Step's: they must never change.
const (
	beginMark = "# Written by Authenticate with AWS, a Bitrise Step, which replaces the lines from here on:"
	endMark   = "# End of what Authenticate with AWS wrote."
)

// block is a run of lines, from the begin mark to the end mark, both included.
type block struct{ first, last int }

// find returns where the Step's section of that name stands in the lines of a configuration file; nil: nowhere, and nothing
// else of that name either. A section of that name that the Step did not write is an error, and so is all that leaves a
// doubt which section a reader would take.
func find(lines []string, name Name) (*block, error) {
	if err := plainText(lines); err != nil {
		return nil, err
	}
	blocks, err := findBlocks(lines)
	if err != nil {
		return nil, err
	}
	var found *block
	for i, line := range lines {
		headers, err := readHeader(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if len(headers) == 0 {
			continue
		}
		ours, matches := blockOf(blocks, i), names(headers, name)
		switch {
		case matches && ours == nil:
			return nil, fmt.Errorf("line %d: there is a profile %q already, which this Step did not write", i+1, name)
		case matches && found != nil && *found != *ours:
			return nil, fmt.Errorf("line %d: the profile %q stands there twice", i+1, name)
		case matches:
			found = ours
		case found != nil && ours != nil && *found == *ours:
			return nil, fmt.Errorf("line %d: another section stands within what this Step wrote", i+1)
		}
	}
	return found, readable(lines)
}

// plainText refuses what hides sections from this Step, and at which the AWS CLI fails.
func plainText(lines []string) error {
	for i, line := range lines {
		if (i == 0 && strings.HasPrefix(line, "\ufeff")) || strings.Contains(line, "\x00") {
			return errors.New("it begins with a byte order mark, or is UTF-16, at which the AWS CLI fails; save it as UTF-8 without one")
		}
	}
	return nil
}

// readable finds what makes the AWS CLI refuse the whole file, so that no profile in it would be of use.
func readable(lines []string) error {
	seen := map[string]int{}
	for i, line := range lines {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "["):
			if first, found := seen[text]; found {
				return fmt.Errorf("line %d: the section %s stands there twice, first in line %d, which the AWS CLI refuses", i+1, text, first)
			}
			seen[text] = i + 1
		case len(seen) == 0 && text != "" && !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, ";"):
			return fmt.Errorf("line %d: there is something before the first section, which the AWS CLI refuses", i+1)
		}
	}
	return nil
}

// findBlocks pairs the marks.
func findBlocks(lines []string) ([]block, error) {
	var blocks []block
	open := -1
	for i, line := range lines {
		switch strings.TrimSpace(line) {
		case beginMark:
			if open >= 0 {
				return nil, fmt.Errorf("line %d: what this Step wrote has no end", open+1)
			}
			open = i
		case endMark:
			if open < 0 {
				return nil, fmt.Errorf("line %d: what this Step wrote has an end and no beginning", i+1)
			}
			blocks = append(blocks, block{first: open, last: i})
			open = -1
		}
	}
	if open >= 0 {
		return nil, fmt.Errorf("line %d: what this Step wrote has no end", open+1)
	}
	return blocks, nil
}

func blockOf(blocks []block, line int) *block {
	for i := range blocks {
		if blocks[i].first <= line && line <= blocks[i].last {
			return &blocks[i]
		}
	}
	return nil
}

// readHeader returns what a line says as a section's header, in each of the ways in which readers read it; nothing if it is
// no header. Where botocore and AWS's SDK for Go differ (comments behind the bracket, brackets within), both are returned:
// who looks for a section is warned by the one as by the other.
func readHeader(line string) ([]string, error) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "[") {
		return nil, nil
	}
	last := strings.LastIndexByte(line, ']')
	if last < 0 {
		return nil, fmt.Errorf("a section that is opened by [ and not closed by ], which the AWS CLI refuses")
	}
	headers := []string{line[1:last]}
	bare := line
	if comment := strings.IndexAny(line, "#;"); comment >= 0 {
		bare = strings.TrimSpace(line[:comment])
	}
	if strings.HasSuffix(bare, "]") {
		headers = append(headers, bare[1:len(bare)-1])
	}
	return headers, nil
}

// names tells whether one of the readings of a header names the profile in a configuration file.
func names(headers []string, name Name) bool {
	for _, header := range headers {
		words := plain(header)
		if rest, found := strings.CutPrefix(words, "profile "); found {
			words = rest
		} else if words != defaultName {
			continue
		}
		if words == plain(name.text) {
			return true
		}
	}
	return false
}

// plain takes away what readers differ about: quotes, backslashes, and how many blanks there are. No name has any of the
// first two.
func plain(s string) string {
	s = strings.NewReplacer(`"`, "", `'`, "", `\`, "").Replace(s)
	return strings.Join(strings.Fields(s), " ")
}
