package step

import "strings"

const (
	byLine        = "\r\n"
	byCommaOrLine = ",\r\n"
)

// items splits a list at the separators. Whitespace around an item and empty items are ignored.
func items(joined, separators string) []string {
	var all []string
	for _, item := range strings.FieldsFunc(joined, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}

// list parses the items of a list, and reports those that are wrong, up to a number.
func list[T any](p *inputParser, input, joined, separators string, parse func(string) (T, error)) []T {
	const mostReported = 10

	var values []T
	wrong := 0
	for _, item := range items(joined, separators) {
		value, err := parse(item)
		if err == nil {
			values = append(values, value)
			continue
		}
		if wrong++; wrong <= mostReported {
			p.report(input, "%s", withHint(err, input, item))
		}
	}
	if wrong > mostReported {
		p.report(input, "and %d more that are wrong", wrong-mostReported)
	}
	return values
}
