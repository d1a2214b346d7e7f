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

// list parses the items of a list, and reports invalid ones.
func list[T any](p *inputParser, input, joined, separators string, parse func(string) (T, error)) []T {
	var values []T
	for _, item := range items(joined, separators) {
		values = append(values, parsed(p, input, item, parse))
	}
	return values
}
