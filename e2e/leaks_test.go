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

// leak returns how a text shows one of the secrets: raw, in base64, or encoded for a URL; empty if it shows none.
func leak(text string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) < 8 {
			continue // too short to tell from chance
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
		// A part of a secret is a leak too. Half of it cannot stand there by chance.
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
			t.Errorf("a secret %s was not found", name)
		}
	}
	if got := leak("nothing here", []string{"", secret}); got != "" {
		t.Errorf("a secret was found %s where there is none", got)
	}
}

// No file holds a secret but those that are made for it: envman's store and Docker's configuration.
func TestNoOtherFileHoldsASecret(t *testing.T) {
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
				t.Errorf("%s holds a secret, %s", path, how)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen != len(meant) {
		t.Errorf("%d of %d files that are meant to hold secrets hold one", seen, len(meant))
	}
}
