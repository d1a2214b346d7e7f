package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// leak returns in what form a text contains one of the secrets, or "" if it contains none. The forms are those in which the Step
// promises to redact secrets, and at least the first 16 bytes of one.
func leak(text string, secrets []string) string {
	for _, secret := range secrets {
		for _, form := range forms(secret) {
			if strings.Contains(text, form.start) {
				return form.name
			}
		}
	}
	return ""
}

// form is a form of a secret, and how it begins.
type form struct{ name, start string }

// knownForms has the forms of each secret. Every output is searched for every secret of a sandbox, and without it, these tests would
// spend most of their time on encoding the same secrets again.
var knownForms sync.Map

// forms returns the forms of a secret, and those of the parts that serve to rebuild a token, because its header is public.
func forms(secret string) []form {
	const minLength, minPrefix = 8, 16 // a shorter one may occur by chance

	if known, found := knownForms.Load(secret); found {
		return known.([]form)
	}
	texts := []string{secret}
	if parts := strings.Split(secret, "."); len(parts) == 3 {
		texts = append(texts, parts[1]+"."+parts[2], parts[2])
	}
	var all []form
	for _, text := range texts {
		for name, encoded := range encodings(text) {
			if len(encoded) >= minLength {
				all = append(all, form{name: name, start: encoded[:min(len(encoded), minPrefix)]})
			}
		}
		// The second half of a long one does not occur by chance.
		if len(text) >= 2*minPrefix {
			all = append(all, form{name: "in part", start: text[len(text)/2:]})
		}
	}
	knownForms.Store(secret, all)
	return all
}

func encodings(secret string) map[string]string {
	encoded, _ := json.Marshal(secret) // cannot fail for a string
	all := map[string]string{
		"raw":                           secret,
		"encoded for a URL":             url.QueryEscape(secret),
		"encoded for a URL's path":      url.PathEscape(secret),
		"as JSON":                       strings.Trim(string(encoded), `"`),
		"as JSON, with escaped slashes": strings.ReplaceAll(strings.Trim(string(encoded), `"`), "/", `\/`),
		"as HTML":                       html.EscapeString(secret),
		"as HTML, with escaped signs":   strings.ReplaceAll(html.EscapeString(secret), "+", "&#43;"),
	}
	if len(secret) >= 16 {
		for before := range 3 {
			// The first four characters may encode bytes before the secret, and the last one bytes after it.
			text := []byte(strings.Repeat("x", before) + secret)
			std, raw := base64.StdEncoding.EncodeToString(text), base64.RawURLEncoding.EncodeToString(text)
			all[fmt.Sprintf("in base64, after %d bytes", before)] = std[4:]
			all[fmt.Sprintf("in base64url, after %d bytes", before)] = raw[4:]
		}
	}
	return all
}

func TestLeakFindsEveryForm(t *testing.T) {
	const secret = "a secret/with+signs&of=all kinds in it"
	for name, text := range map[string]string{
		"raw":                 "x" + secret + "x",
		"in base64":           base64.StdEncoding.EncodeToString([]byte(secret)),
		"in base64url":        base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"in base64, within":   base64.StdEncoding.EncodeToString([]byte("AWS:" + secret)),
		"encoded for a URL":   url.QueryEscape(secret),
		"as JSON":             `a secret\/with+signs`,
		"as HTML":             html.EscapeString(secret),
		"in part":             "x" + secret[:16] + "x",
		"in part, at the end": "x" + secret[15:],
	} {
		if got := leak(text, []string{"", secret}); got == "" {
			t.Errorf("a secret was not found: %s", name)
		}
	}
	if got := leak("x signature-of-a-token x", []string{"header.payload.signature-of-a-token"}); got == "" {
		t.Error("the signature of a token was not found")
	}
	for _, text := range []string{"nothing here", secret[:15]} {
		if got := leak(text, []string{"", secret}); got != "" {
			t.Errorf("got %q for a text without secrets", got)
		}
	}
}

// The only files that contain secrets are those that are meant to: envman's store and Docker's configuration.
func TestNoOtherFileHoldsASecret(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	folder := t.TempDir()
	r := newRun(t, cloud, "TMPDIR="+folder)
	r.mustStep(map[string]string{"role_arn": role, "role_chain": targetRole, "docker_login": "true", "verbose": "true"})
	meant := []string{r.store.Path, filepath.Join(r.docker, "config.json")}
	seen := 0
	for _, root := range []string{folder, filepath.Dir(r.docker)} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if how := leak(string(content), cloud.Secrets()); how != "" && slices.Contains(meant, path) {
				seen++
			} else if how != "" {
				t.Errorf("%s contains a secret, %s", path, how)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen != len(meant) {
		t.Errorf("got %d files with secrets, want %d", seen, len(meant))
	}
}

// The SDK writes nothing to standard error, which the log's redaction does not cover. TestFaultMatrix checks the same in a run.
func TestSDKDoesNotLogDuringRenewal(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]string{"success": " 2 trailer", "error": " 2 trailer AccessDenied"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := prepareRenewal(t, nil, parseFaults(t, assume+fault)...)
			if _, stderr, _ := r.tryCredentials(r.process()); strings.Contains(stderr, "SDK") {
				t.Errorf("the SDK wrote to standard error:\n%s", stderr)
			}
		})
	}
}
