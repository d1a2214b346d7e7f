package secret_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"html/template"
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

func encodeJSON(s string, escapeHTML bool) string {
	var encoded strings.Builder
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(escapeHTML)
	_ = encoder.Encode(s)
	return strings.Trim(encoded.String(), "\"\n")
}

func escapeXML(s string) string {
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(s))
	return escaped.String()
}

func executeTemplate(s string) string {
	var page strings.Builder
	_ = template.Must(template.New("page").Parse("{{.}}")).Execute(&page, s)
	return page.String()
}

// A secret is redacted in the forms in which a service may repeat it.
func TestRedactKnowsEveryForm(t *testing.T) {
	for _, plain := range []string{
		"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL3Rva2VuIn0.c2lnbmF0dXJl-_canary", // an identity token
		"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY=",                                 // a secret access key
		`a'secret/with+signs&"quotes"\of=<all>%41kinds`,                             // anything else
	} {
		for name, form := range map[string]string{
			"plain":                   plain,
			"base64":                  base64.StdEncoding.EncodeToString([]byte(plain)),
			"base64url":               base64.URLEncoding.EncodeToString([]byte(plain)),
			"base64 without padding":  base64.RawStdEncoding.EncodeToString([]byte(plain)),
			"base64url, no padding":   base64.RawURLEncoding.EncodeToString([]byte(plain)),
			"query":                   url.QueryEscape(plain),
			"lower-case query":        lowerEscapes(url.QueryEscape(plain)),
			"form":                    strings.TrimPrefix(url.Values{"k": {plain}}.Encode(), "k="),
			"part of a path":          url.PathEscape(plain),
			"lower-case part of path": lowerEscapes(url.PathEscape(plain)),
			"JSON":                    encodeJSON(plain, true),
			"JSON without HTML":       encodeJSON(plain, false),
			"HTML":                    html.EscapeString(plain),
			"HTML template":           executeTemplate(plain),
			"XML":                     escapeXML(plain),
		} {
			t.Run(name, func(t *testing.T) { checkRedacted(t, form, plain) })
		}
	}
}

// What encoders of other languages make of a secret.
func TestRedactKnowsOtherLanguages(t *testing.T) {
	const plain = "a'secret/with+signs&\"quotes\"\\of=<all>`kinds"

	for name, form := range map[string]string{
		"Python, quote":       "a%27secret/with%2Bsigns%26%22quotes%22%5Cof%3D%3Call%3E%60kinds",
		"Python, html.escape": `a&#x27;secret/with+signs&amp;&quot;quotes&quot;\of=&lt;all&gt;` + "`kinds",
		"mustache":            `a&#39;secret&#x2F;with+signs&amp;&quot;quotes&quot;\of&#x3D;&lt;all&gt;&#x60;kinds`,
		"PHP, json_encode":    `a'secret\/with+signs&\"quotes\"\\of=<all>` + "`kinds",
		"Gson":                `a\u0027secret/with+signs\u0026\"quotes\"\\of\u003d\u003call\u003e` + "`kinds",
		".NET":                `a\u0027secret/with\u002Bsigns\u0026\u0022quotes\u0022\\of=\u003Call\u003E\u0060kinds`,
	} {
		t.Run(name, func(t *testing.T) { checkRedacted(t, form, plain) })
	}
}

func checkRedacted(t *testing.T, form, plain string) {
	t.Helper()
	got := redact("before <"+form+"> after", plain)
	start, end, _ := strings.Cut(got, secret.Redacted)
	// The padding of base64 may remain.
	if start != "before <" || strings.ReplaceAll(end, "=", "") != "> after" {
		t.Errorf("%s was redacted to %s", form, got)
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

// If one secret is a part of another, or they overlap, no part of the longer one remains.
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

// Truncated secrets are redacted too.
func TestRedactCutSecrets(t *testing.T) {
	const plain = "0123456789abcdefghij"
	for text, want := range map[string]string{
		"0123456789abcdefghi…":     "[REDACTED]…",
		"0123456789abcdef":         "[REDACTED]",
		"0123456789abcde":          "0123456789abcde",
		"0123456789abcdefgxyz":     "[REDACTED]xyz",
		"0123456789abcdefghijk":    "[REDACTED]k",
		"MDEyMzQ1Njc4OWFiY2Rl and": "[REDACTED] and",
	} {
		t.Run(text, func(t *testing.T) {
			if got := redact(text, plain); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// The header of a JSON Web Token is public, so the rest of the token is as good as all of it.
func TestRedactTheEndOfAToken(t *testing.T) {
	const header, payload, signature = "eyJhbGciOiJSUzI1NiJ9", "eyJpc3MiOiJodHRwczovL3Rva2VuIn0", "c2lnbmF0dXJl-_canary"

	for text, want := range map[string]string{
		"got " + header + "." + payload + "." + signature + ", no":                            "got [REDACTED], no",
		"got " + payload + "." + signature + ", no":                                           "got [REDACTED], no",
		"got " + signature + ", no":                                                           "got [REDACTED], no",
		"got …" + payload[20:] + "." + signature + ", no":                                     "got …" + payload[20:] + ".[REDACTED], no",
		"got " + base64.RawURLEncoding.EncodeToString([]byte(payload+"."+signature)) + ", no": "got [REDACTED], no",
	} {
		t.Run(text, func(t *testing.T) {
			if got := redact(text, header+"."+payload+"."+signature); got != want {
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
		"first-canaryfirst-canary":            "[REDACTED]",
		"\xfffirst-canary\xff":                "\xff[REDACTED]\xff",
		"%41first-canary%41 %zz":              "%41[REDACTED]%41 %zz",
		"&lt;first-canary&gt;":                "&lt;[REDACTED]&gt;",
		"seven77 eight888":                    "seven77 [REDACTED]",
		"\\ufirst-canary":                     "\\u[REDACTED]",
		"fi%zzrst-canary":                     "fi%zzrst-canary",
	} {
		t.Run(text, func(t *testing.T) {
			if got := redact(text, "first-canary", "", "abc", "seven77", "eight888", "second-canary", "first-canary"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
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
