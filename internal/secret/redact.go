package secret

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// minLength is the minimum length, in bytes, of a secret that is redacted. A shorter one protects
// nothing, and may be part of words that must remain readable.
const minLength = 8

// minPrefix is the minimum length, in bytes, of the beginning of a longer form that is redacted, because the rest may be cut off.
const minPrefix = 16

// Redactor replaces secrets in texts with [Redacted]. The zero value is ready to use. Its methods
// may be called from several goroutines.
type Redactor struct {
	mu    sync.Mutex
	forms []string
}

// Add adds secrets to those that Redact replaces. Secrets with fewer than 8 bytes are ignored. For a JSON Web Token, the signature,
// alone and with the payload, is a secret, too: the header is public, and the claims may be known.
func (r *Redactor) Add(secrets ...Text) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		parts := []string{s.Reveal()}
		if token := strings.Split(s.Reveal(), "."); len(token) == 3 {
			parts = append(parts, token[1]+"."+token[2], token[2])
		}
		for _, part := range parts {
			if len(part) >= minLength {
				r.forms = append(r.forms, forms(part)...)
			}
		}
	}
	slices.Sort(r.forms)
	r.forms = slices.Compact(r.forms)
}

// Redact replaces every secret in text, in the forms in which a service or a program may repeat it:
//
//   - unchanged
//   - in base64 and base64url, with and without padding, also as a part of a longer encoded text
//   - percent-encoded, as url.QueryEscape, url.PathEscape, and Python's quote do it, in upper and lower case
//   - with the escapes of JSON, as the encoders of Go, JavaScript, Python, PHP, Gson, and .NET write them
//   - with the entities of HTML and XML, as those of Go, html/template, Python, and mustache write them
//   - cut off: at least the first 16 bytes of any of these forms
//
// All secrets of the Step are printable ASCII, so the forms of other characters are not searched for. Escape sequences must have
// been removed from the text (see internal/text) because they could hide a secret.
func (r *Redactor) Redact(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	isSecret := make([]bool, len(text))
	for _, form := range r.forms {
		prefix := form[:min(len(form), minPrefix)]
		for end := 0; ; {
			i := strings.Index(text[end:], prefix)
			if i < 0 {
				break
			}
			start := end + i
			for end = start; end < len(text) && end-start < len(form) && text[end] == form[end-start]; end++ {
				isSecret[end] = true
			}
		}
	}
	var redacted strings.Builder
	for i := range len(text) {
		if !isSecret[i] {
			redacted.WriteByte(text[i])
		} else if i == 0 || !isSecret[i-1] {
			redacted.WriteString(Redacted)
		}
	}
	return redacted.String()
}

// forms returns the forms of a secret, some of them more than once.
func forms(plain string) []string {
	all := []string{plain}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		all = append(all, encoding.EncodeToString([]byte(plain)))
		// Within a longer text, a secret can begin at any of the three bytes that four characters encode. Only the characters that
		// do not depend on the bytes before and after the secret are searched for.
		for before := range 3 {
			encoded := encoding.EncodeToString(append(make([]byte, before), plain...))
			bits := 8 * (before + len(plain))
			all = append(all, encoded[(8*before+5)/6:bits/6])
		}
	}
	query := url.QueryEscape(plain)
	for _, escaped := range []string{query, strings.ReplaceAll(query, "%2F", "/"), url.PathEscape(plain)} {
		all = append(all, escaped, percentEncoded.ReplaceAllStringFunc(escaped, strings.ToLower))
	}
	for _, escapes := range [][]string{
		// JSON: Go without HTML, JavaScript, and Python; PHP; Go; Gson; .NET
		{`\`, `\\`, `"`, `\"`},
		{`\`, `\\`, `"`, `\"`, `/`, `\/`},
		{`\`, `\\`, `"`, `\"`, `<`, `\u003c`, `>`, `\u003e`, `&`, `\u0026`},
		{`\`, `\\`, `"`, `\"`, `<`, `\u003c`, `>`, `\u003e`, `&`, `\u0026`, `=`, `\u003d`, `'`, `\u0027`},
		{`\`, `\\`, `"`, `\u0022`, `<`, `\u003C`, `>`, `\u003E`, `&`, `\u0026`, `+`, `\u002B`, `'`, `\u0027`, "`", `\u0060`},
		// HTML and XML: Go; Go's html/template; Python; mustache
		{`&`, `&amp;`, `<`, `&lt;`, `>`, `&gt;`, `"`, `&#34;`, `'`, `&#39;`},
		{`&`, `&amp;`, `<`, `&lt;`, `>`, `&gt;`, `"`, `&#34;`, `'`, `&#39;`, `+`, `&#43;`},
		{`&`, `&amp;`, `<`, `&lt;`, `>`, `&gt;`, `"`, `&quot;`, `'`, `&#x27;`},
		{`&`, `&amp;`, `<`, `&lt;`, `>`, `&gt;`, `"`, `&quot;`, `'`, `&#39;`, `/`, `&#x2F;`, "`", `&#x60;`, `=`, `&#x3D;`},
	} {
		all = append(all, strings.NewReplacer(escapes...).Replace(plain))
	}
	return all
}

var percentEncoded = regexp.MustCompile(`%[0-9A-F]{2}`)
