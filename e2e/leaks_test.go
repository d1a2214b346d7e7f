package e2e

import (
	"encoding/base64"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// leak returns in what form a text contains one of the secrets, or "" if it contains none.
func leak(text string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) < 8 {
			continue // may occur by chance
		}
		for name, form := range map[string]string{
			"raw":               secret,
			"in base64":         strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
			"in base64url":      strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(secret)), "="),
			"encoded for a URL": url.QueryEscape(secret),
		} {
			if strings.Contains(text, form) {
				return name
			}
		}
		// A part of a secret is a leak too. Half of a long one does not occur by chance.
		if len(secret) >= 32 && (strings.Contains(text, secret[:len(secret)/2]) || strings.Contains(text, secret[len(secret)/2:])) {
			return "in part"
		}
	}
	return ""
}

func TestLeakFindsEveryForm(t *testing.T) {
	const secret = "a secret/with+signs&of=all kinds in it"
	for name, text := range map[string]string{
		"raw":               "x" + secret + "x",
		"in base64":         base64.StdEncoding.EncodeToString([]byte(secret)),
		"in base64url":      base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"encoded for a URL": url.QueryEscape(secret),
		"in part":           "x" + secret[:25] + "x",
	} {
		if got := leak(text, []string{"", secret}); got == "" {
			t.Errorf("a secret was not found: %s", name)
		}
	}
	if got := leak("nothing here", []string{"", secret}); got != "" {
		t.Errorf("got %q for a text without secrets", got)
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
