package profile

import (
	"errors"
	"fmt"
	"slices"
)

// The Step's lines in the configuration file are between two comments, by which every later version recognizes them: never
// change them.
const (
	beginMark = "# Written by Authenticate with AWS, a Bitrise Step, which replaces the lines from here on:"
	endMark   = "# End of what Authenticate with AWS wrote."
)

// ErrForeign is the error for a profile that the Step did not write.
var ErrForeign = errors.New("this Step did not write it")

// block is where the Step's lines for a profile are in a file, with their comments, in bytes.
type block struct{ begin, end int }

// find returns the Step's lines for a profile in the configuration file, or nil if the file has no profile of that name. A
// profile that the Step did not write is an [ErrForeign]. Anything else that leaves in doubt what belongs to the profile is an
// error too, as is a file that the AWS CLI cannot read.
func find(content []byte, name Name) (*block, error) {
	lines, err := parse(content)
	if err != nil {
		return nil, err
	}
	blocks := findBlocks(lines)
	var found *block
	for i, l := range lines {
		if !name.isSection(l.section) {
			continue
		}
		at := slices.IndexFunc(blocks, func(b block) bool { return b.begin <= l.begin && l.end <= b.end })
		switch {
		case at < 0:
			return nil, fmt.Errorf("line %d: the profile %q exists, and %w", i+1, name, ErrForeign)
		case found != nil:
			return nil, fmt.Errorf("line %d: the profile %q appears twice", i+1, name)
		}
		found = &blocks[at]
	}
	if found == nil {
		return nil, nil
	}
	return found, found.check(lines, name)
}

// findBlocks returns the lines between each pair of marks. A mark without its counterpart is an ordinary comment.
func findBlocks(lines []line) []block {
	var blocks []block
	begin := -1
	for _, l := range lines {
		switch {
		case l.text == beginMark:
			begin = l.begin
		case l.text == endMark && begin >= 0:
			blocks = append(blocks, block{begin: begin, end: l.end})
			begin = -1
		}
	}
	return blocks
}

// check finds what is not the Step's, but would be lost with its lines, or go to another section without them.
func (b block) check(lines []line, name Name) error {
	for i, l := range lines {
		isBelow := l.begin >= b.end
		switch {
		case l.begin < b.begin, l.isComment(), name.isSection(l.section):
		case l.section != "" && isBelow:
			return nil
		case l.section != "":
			return fmt.Errorf("line %d: another section is among the lines of this Step", i+1)
		case isBelow:
			return fmt.Errorf("line %d: a setting below the lines of this Step belongs to their section; move it to another one", i+1)
		}
	}
	return nil
}
