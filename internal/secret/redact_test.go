package secret_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

func redact(text string, secrets ...string) string {
	var r secret.Redactor
	for _, s := range secrets {
		r.Add(secret.New(s))
	}
	return r.Redact(text)
}

// escapeAll writes every byte of s in a format.
func escapeAll(format, s string) string {
	var all strings.Builder
	for _, c := range []byte(s) {
		_, _ = fmt.Fprintf(&all, format, c)
	}
	return all.String()
}

func fold(s string, width int, separator string) string {
	var lines []string
	for ; len(s) > width; s = s[width:] {
		lines = append(lines, s[:width])
	}
	return strings.Join(append(lines, s), separator)
}

func encodeJSON(s string) string {
	encoded, _ := json.Marshal(s)
	return strings.Trim(string(encoded), `"`)
}

// A secret is redacted in every form in which a service may repeat it (issue 16, item 13).
func TestRedactKnowsEveryForm(t *testing.T) {
	for _, plain := range []string{
		"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL3Rva2VuIn0.c2lnbmF0dXJl-_canary",  // an identity token
		"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",                                   // a secret access key
		`a secret/with+signs & "quotes" \of= <all> %41kinds`, "ключ-из-букв/+&<>\"'", // anything else
	} {
		std, raw := base64.StdEncoding.EncodeToString([]byte(plain)), base64.RawURLEncoding.EncodeToString([]byte(plain))
		for name, form := range map[string]string{
			"plain":                        plain,
			"base64":                       std,
			"base64url without padding":    raw,
			"base64url":                    base64.URLEncoding.EncodeToString([]byte(plain)),
			"base64 without padding":       base64.RawStdEncoding.EncodeToString([]byte(plain)),
			"hex":                          hex.EncodeToString([]byte(plain)),
			"upper-case hex":               strings.ToUpper(hex.EncodeToString([]byte(plain))),
			"query escape":                 url.QueryEscape(plain),
			"lower-case query escape":      lowerEscapes(url.QueryEscape(plain)),
			"path escape":                  url.PathEscape(plain),
			"percent-encoded throughout":   escapeAll("%%%02X", plain),
			"lower case throughout":        escapeAll("%%%02x", plain),
			"JSON":                         encodeJSON(plain),
			"JSON with escaped slashes":    strings.ReplaceAll(encodeJSON(plain), "/", `\/`),
			"JSON with numbers":            strings.ReplaceAll(encodeJSON(plain), "/", `\u002f`),
			"JSON with upper-case numbers": strings.ReplaceAll(encodeJSON(plain), "/", `\u002F`),
			"JSON in JSON":                 encodeJSON(strings.ReplaceAll(encodeJSON(plain), "/", `\u002f`)),
			"HTML":                         html.EscapeString(plain),
			"HTML with decimal numbers":    strings.ReplaceAll(html.EscapeString(plain), "/", "&#47;"),
			"HTML with hexadecimal":        strings.ReplaceAll(html.EscapeString(plain), "/", "&#x2f;"),
			"HTML with upper-case":         strings.ReplaceAll(html.EscapeString(plain), "/", "&#X2F;"),
			"HTML with names":              strings.NewReplacer("/", "&sol;", "+", "&plus;").Replace(html.EscapeString(plain)),
			"percent-encoded base64":       url.QueryEscape(std),
			"three encodings":              html.EscapeString(encodeJSON(url.QueryEscape(plain))),
			"folded":                       fold(plain, 20, "\r\n "),
			"folded base64":                fold(std, 16, "\n"),
			"folded base64 in JSON":        fold(std, 16, `\n`),
			"folded hex":                   fold(hex.EncodeToString([]byte(plain)), 16, "\n\t"),
			"folded percent-encoding":      fold(url.QueryEscape(plain), 7, "\n"),
			"one character per line":       fold(plain[:20], 1, "\n") + "\n" + plain[20:],
		} {
			t.Run(name, func(t *testing.T) {
				got := redact("before <"+form+"> after", plain)
				start, end, _ := strings.Cut(got, secret.Redacted)
				// The padding of base64 may remain.
				if start != "before <" || strings.NewReplacer("=", "", "%3D", "").Replace(end) != "> after" {
					t.Errorf("%s was redacted to %s", form, got)
				}
			})
		}
	}
}

func lowerEscapes(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			s = s[:i] + strings.ToLower(s[i:i+3]) + s[i+3:]
		}
	}
	return s
}

// Docker's configuration contains the password after a user name, in base64. At most the characters next to the secret, which
// also encode some of its bits, remain.
func TestRedactKnowsASecretWithinBase64(t *testing.T) {
	const plain = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	for before := range 7 {
		for after := range 4 {
			for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
				text := encoding.EncodeToString([]byte("AWS:xyz"[:before] + plain + ">>>"[:after]))
				got := redact(text, plain)
				start, end, found := strings.Cut(got, secret.Redacted)
				if !found || len(start) > 4*before/3+1 || len(end) > 4*(after+1)/3+3 {
					t.Errorf("%s was redacted to %s", text, got)
				}
			}
		}
	}
}

// If one secret is a part of another, or they overlap, no part of the longer one remains (issue 16, item 12).
func TestRedactLongerSecrets(t *testing.T) {
	for name, secrets := range map[string][]string{
		"shorter first": {"prefix-canary", "prefix-canary-and-more"},
		"longer first":  {"prefix-canary-and-more", "prefix-canary"},
		"inside":        {"canary-and", "prefix-canary-and-more"},
		"overlapping":   {"prefix-canary-and", "canary-and-more"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := redact("a prefix-canary-and-more b", secrets...); got != "a [REDACTED] b" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// Truncated secrets are redacted too (issue 16, item 12).
func TestRedactCutSecrets(t *testing.T) {
	const plain = "0123456789abcdefghij"
	for text, want := range map[string]string{
		"0123456789abcdefghi…":      "[REDACTED]…",
		"0123456789abcdef":          "[REDACTED]",
		"0123456789abcde":           "0123456789abcde",
		"0123456789abcdefgxyz":      "[REDACTED]xyz",
		"0123456789abcdefghijk":     "[REDACTED]k",
		"MDEyMzQ1Njc4OWFiY2Rl and":  "[REDACTED] and",
		"30313233343536373839 and":  "[REDACTED] and",
		"01234567%38%39abcdef, etc": "[REDACTED], etc",
	} {
		t.Run(text, func(t *testing.T) {
			if got := redact(text, plain); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestRedactChangesNothingElse(t *testing.T) {
	for name, text := range map[string]string{
		"no secret":        "100% of \\n &amp; \\u00zz %zz & %2 \\ &unknown; \\u12 \\q; the end %4",
		"invalid UTF-8":    "a\xff\xfeb",
		"empty":            "",
		"spaces":           "  a \n\n b  ",
		"escape at an end": "%2\\",
	} {
		t.Run(name, func(t *testing.T) {
			if got := redact(text, "first-canary"); got != text {
				t.Errorf("got %q, want %q", got, text)
			}
		})
	}
}

func TestRedactKeepsTheSurroundingText(t *testing.T) {
	for text, want := range map[string]string{
		"first-canary":                        "[REDACTED]",
		" first-canary \n":                    " [REDACTED] \n",
		"first-canary and second-canary, abc": "[REDACTED] and [REDACTED], abc",
		"first-canaryfirst-canary":            "[REDACTED][REDACTED]",
		"\xfffirst-canary\xff":                "\xff[REDACTED]\xff",
		"%41first%2Dcanary%41 %zz":            "%41[REDACTED]%41 %zz",
		"&lt;first&#45;canary&gt;":            "&lt;[REDACTED]&gt;",
		"seven77 eight888":                    "seven77 [REDACTED]",
		"\\ufirst-canary":                     "\\u[REDACTED]",
		"fi%zzrst-canary":                     "fi%zzrst-canary",
	} {
		t.Run(text, func(t *testing.T) {
			if got := redact(text, "first-canary", "", "abc", "seven77", "eight888", "second-canary", "first-canary", "         "); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestRedactsSecretsThatAreNotUTF8(t *testing.T) {
	for _, text := range []string{"\xff\xfe\xfd\xfc12345", "%FF%fe%FD%FC12345", "fffefdfc3132333435"} {
		if got := redact(text, "\xff\xfe\xfd\xfc12345"); got != secret.Redacted {
			t.Errorf("%q was redacted to %q", text, got)
		}
	}
}

func TestRedactorMayBeShared(t *testing.T) {
	var r secret.Redactor
	var done sync.WaitGroup
	for i := range 10 {
		done.Add(1)
		go func() {
			defer done.Done()
			r.Add(secret.New(fmt.Sprintf("canary-number-%d", i)))
			_ = r.Redact("text")
		}()
	}
	done.Wait()
	if got := r.Redact("canary-number-0 canary-number-9"); got != "[REDACTED] [REDACTED]" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkRedact(b *testing.B) {
	var r secret.Redactor
	for i := range 40 {
		r.Add(secret.New(strings.Repeat(fmt.Sprint("secret", i), 200)))
	}
	line := strings.Repeat("an ordinary line of the log, ", 5)
	for b.Loop() {
		r.Redact(line)
	}
}
