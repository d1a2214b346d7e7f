package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"html"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// minLength is the length, in bytes, from which on a secret is redacted. A shorter one protects nothing, and may be part of words
// that must remain readable.
const minLength = 8

// minPrefix is the length, in bytes, from which on the beginning of a longer secret is redacted: the rest may have been cut off.
const minPrefix = 16

// maxNesting is the number of encodings around a secret that are removed to find it, such as percent-encoding in a JSON string.
const maxNesting = 3

// Redactor replaces secrets in texts by [Redacted]. The zero value is ready to use. Its methods may be called from several
// goroutines.
type Redactor struct {
	mu    sync.Mutex
	known []Text
	forms forms
}

// Add adds secrets to those that Redact replaces. Secrets with fewer than 8 bytes are ignored.
func (r *Redactor) Add(secrets ...Text) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		if !slices.ContainsFunc(r.known, func(known Text) bool { return known.Reveal() == s.Reveal() }) {
			r.known = append(r.known, s)
			r.forms.add(s)
		}
	}
}

// Redact replaces every secret in text, however it is encoded:
//
//   - as it is
//   - in base64 and base64url, with and without padding, also as a part of a longer encoded text
//   - in hexadecimal
//   - with percent-encoding, JSON escapes (\/, \u002f) or HTML entities (&#47;, &#x2f;, &amp;), for any of its characters, and
//     up to three of them inside one another
//   - folded: with white space between any of its characters
//   - cut off: at least the first 16 bytes of any of these forms
//
// Characters that do not show (see internal/text) must be removed before that; otherwise, they could hide a secret.
func (r *Redactor) Redact(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var redacted strings.Builder
	end := 0
	for _, found := range r.forms.find(text) {
		redacted.WriteString(text[end:found.start])
		redacted.WriteString(Redacted)
		end = found.end
	}
	return redacted.String() + text[end:]
}

// forms are what is searched for: each way to write a secret that cannot be decoded character by character.
type forms struct {
	exact [][]byte
	// hex is in lower case.
	hex [][]byte
}

func (f *forms) add(t Text) {
	plain := []byte(t.Reveal())
	// The text that is searched is without white space. A secret that contains an escape itself is decoded together with the text.
	views := newView(string(plain)).levels()
	if len(views[0].text) < minLength {
		return
	}
	for _, v := range views {
		f.exact = append(f.exact, v.text)
	}
	// Form encoding turns spaces into plus signs.
	f.exact = append(f.exact, newView(strings.ReplaceAll(string(plain), " ", "+")).text)
	f.hex = append(f.hex, []byte(hex.EncodeToString(plain)))
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		f.exact = append(f.exact, []byte(encoding.EncodeToString(plain)))
		// Within a longer text, a secret can begin at any of the three bytes that four characters encode. Only the characters that
		// do not depend on the bytes before and after the secret are searched for.
		for before := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, before), plain...))
			bits := 8 * (before + len(plain))
			f.exact = append(f.exact, []byte(encoded[(8*before+5)/6:bits/6]))
		}
	}
}

// span is a part of a text, in bytes.
type span struct{ start, end int }

// find returns where the forms are in a text, in order and without overlaps.
func (f *forms) find(text string) []span {
	var found []span
	for _, v := range newView(text).levels() {
		found = append(found, v.findAll(v.text, f.exact)...)
		found = append(found, v.findAll(lower(v.text), f.hex)...)
	}
	return merge(found)
}

// lower changes hexadecimal digits only, so that the length stays the same.
func lower(s []byte) []byte {
	result := slices.Clone(s)
	for i, c := range result {
		if 'A' <= c && c <= 'F' {
			result[i] += 'a' - 'A'
		}
	}
	return result
}

// merge sorts spans and joins those that overlap, so that the longer one of two secrets with the same beginning is covered.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	var merged []span
	for _, s := range spans {
		if last := len(merged) - 1; last >= 0 && s.start < merged[last].end {
			merged[last].end = max(merged[last].end, s.end)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// view is a text without white space, and possibly decoded.
type view struct {
	text []byte
	// origins says where each byte of text comes from.
	origins []span
}

func newView(text string) view {
	var v view
	for i, r := range text {
		if !unicode.IsSpace(r) {
			_, size := utf8.DecodeRuneInString(text[i:])
			v.add(text[i:i+size], span{i, i + size})
		}
	}
	return v
}

func (v *view) add(s string, origin span) {
	for i := range len(s) {
		v.text = append(v.text, s[i])
		v.origins = append(v.origins, origin)
	}
}

func (v view) findAll(text []byte, forms [][]byte) []span {
	var found []span
	for _, form := range forms {
		prefix := form[:min(len(form), minPrefix)]
		for from := 0; ; {
			i := bytes.Index(text[from:], prefix)
			if i < 0 {
				break
			}
			first := from + i
			from = first + commonPrefix(text[first:], form)
			found = append(found, span{v.origins[first].start, v.origins[from-1].end})
		}
	}
	return found
}

// commonPrefix returns the length of what a and b begin with.
func commonPrefix(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// levels returns the view, and what it becomes when it is decoded, as long as that changes something.
func (v view) levels() []view {
	levels := []view{v}
	for range maxNesting {
		decoded := v.decode()
		if len(decoded.text) == len(v.text) {
			break
		}
		levels, v = append(levels, decoded), decoded
	}
	return levels
}

// decode replaces each percent-encoded byte, JSON escape and HTML entity by what it stands for.
func (v view) decode() view {
	var decoded view
	for i := 0; i < len(v.text); {
		s, size := decodeFirst(v.text[i:])
		origin := span{v.origins[i].start, v.origins[i+size-1].end}
		if r, _ := utf8.DecodeRuneInString(s); !unicode.IsSpace(r) {
			decoded.add(s, origin)
		}
		i += size
	}
	return decoded
}

// decodeFirst returns what the beginning of s stands for, and its size in bytes.
func decodeFirst(s []byte) (string, int) {
	switch {
	case s[0] == '%' && len(s) >= 3:
		if c, err := strconv.ParseUint(string(s[1:3]), 16, 8); err == nil {
			return string([]byte{byte(c)}), 3
		}
	case s[0] == '\\' && len(s) >= 6 && s[1] == 'u':
		if c, err := strconv.ParseUint(string(s[2:6]), 16, 16); err == nil {
			return string(rune(c)), 6
		}
	case s[0] == '\\' && len(s) >= 2:
		if i := strings.IndexByte("\"\\/bfnrt", s[1]); i >= 0 {
			return "\"\\/\b\f\n\r\t"[i : i+1], 2
		}
	case s[0] == '&':
		const longest = 33 // bytes of the longest entity's name

		if end := bytes.IndexByte(s[:min(len(s), longest)], ';'); end > 0 {
			entity := string(s[:end+1])
			if c := html.UnescapeString(entity); c != entity {
				return c, len(entity)
			}
		}
	}
	return string(s[:1]), 1
}
