package profile

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// line is a line of one of AWS's files.
type line struct {
	// begin and end are where the line is in the file, in bytes. Its number starts at 1.
	begin, end, number int
	// raw is the line without its end, and text without the whitespace around it.
	raw, text string
	// section is the text in brackets at the beginning of the line, even if it is indented, because some readers see a section where
	// others see a part of the setting above. It ends at the first closing bracket, as it does for most readers.
	section string
	// isContinuation reports whether the AWS CLI reads the line as a part of the setting above.
	isContinuation bool
	// setting and value are the name of the setting that begins on the line, in lower case, and its value.
	setting, value string
}

// isComment reports whether readers ignore the line.
func (l line) isComment() bool { return l.text == "" || l.text[0] == '#' || l.text[0] == ';' }

// parse splits a file into lines. It rejects every file that the AWS CLI and boto3 can't read. They use Python's RawConfigParser
// (https://docs.python.org/3/library/configparser.html) and split nested settings themselves (botocore/configloader.py). Errors
// give the line's number but never quote it, because the file may contain secrets.
func parse(content []byte) ([]line, error) {
	var lines []line
	p := parser{sections: map[string]int{}}
	begin := 0
	for raw := range strings.Lines(string(content)) {
		l := line{begin: begin, end: begin + len(raw), number: len(lines) + 1, raw: strings.TrimRight(raw, "\r\n")}
		if err := p.parseLine(&l); err != nil {
			return nil, fmt.Errorf("line %d: %w; the AWS CLI cannot read such a file", l.number, err)
		}
		begin = l.end
		lines = append(lines, l)
	}
	return lines, nil
}

// parser is the state that the lines above have led to.
type parser struct {
	// sections has the line numbers of the file's sections, and settings those of the current section's settings.
	sections, settings map[string]int
	// hasSetting reports whether the next line continues a setting if it is indented deeper than indent.
	hasSetting bool
	indent     int
	// isNested reports whether the setting consists of nested ones.
	isNested bool
}

func (p *parser) parseLine(l *line) error {
	l.text = strings.TrimSpace(l.raw)
	switch {
	case !utf8.ValidString(l.raw), l.number == 1 && strings.HasPrefix(l.raw, "\ufeff"):
		return errors.New("must be UTF-8 without a byte order mark")
	case strings.ContainsFunc(l.raw, isControl):
		return errors.New("must not contain control characters")
	case l.isComment():
		return nil
	}
	if rest, found := strings.CutPrefix(l.text, "["); found {
		if section, _, isClosed := strings.Cut(rest, "]"); isClosed {
			l.section = section
		}
	}
	indent := utf8.RuneCountInString(l.raw) - utf8.RuneCountInString(strings.TrimLeftFunc(l.raw, unicode.IsSpace))
	if p.hasSetting && indent > p.indent {
		if p.isNested && !strings.Contains(l.text, "=") {
			return errors.New("a nested setting must be NAME = VALUE")
		}
		l.isContinuation = true
		return nil
	}
	p.indent = indent
	if l.text[0] == '[' {
		return p.openSection(l)
	}
	return p.addSetting(l)
}

// isControl reports whether a character ends a line for any reader.
func isControl(r rune) bool { return r != '\t' && unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }

func (p *parser) openSection(l *line) error {
	if l.section == "" {
		return errors.New("a section must be [NAME]")
	}
	if first, found := p.sections[l.section]; found {
		return fmt.Errorf("repeats the section of line %d", first)
	}
	p.sections[l.section] = l.number
	p.settings, p.hasSetting = map[string]int{}, false
	return nil
}

func (p *parser) addSetting(l *line) error {
	separator := strings.IndexAny(l.text, "=:")
	switch {
	case p.settings == nil:
		return errors.New("a setting must be in a section, which begins with [NAME]")
	case separator <= 0:
		return errors.New("must be a section, a setting (NAME = VALUE), or a comment")
	}
	l.setting, l.value = strings.ToLower(strings.TrimSpace(l.text[:separator])), strings.TrimSpace(l.text[separator+1:])
	if first, found := p.settings[l.setting]; found {
		return fmt.Errorf("repeats the setting of line %d", first)
	}
	p.settings[l.setting] = l.number
	p.hasSetting, p.isNested = true, l.value == ""
	return nil
}
