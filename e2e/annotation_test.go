package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// What two services repeat of a secret becomes a part of the explanation itself. The secret is redacted on the build page, although
// Markdown escapes characters in it.
func TestAnnotationHoldsNoSecret(t *testing.T) {
	t.Parallel()
	cloud := startSandbox(t, sandbox.Options{})
	token, err := cloud.MintToken("sts.amazonaws.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	cloud.PlayFaults(parseFaults(t, login+` * error UnheardOf "it_is `+token+`"`))
	page := filepath.Join(t.TempDir(), "annotation.md")
	r := newRun(t, cloud, "ANNOTATION="+page)
	r.putFirst(fakePlugin(t))
	if err := os.MkdirAll(filepath.Join(r.home(), ".bitrise", "plugins", "annotations"), 0o700); err != nil {
		t.Fatal(err)
	}
	output, err := r.step(map[string]string{
		"role_arn": role, "identity_token": token, "docker_login": "true",
		"ecr_registries": "123456789012.dkr.ecr.us-east-1.amazonaws.com, 123456789012.dkr.ecr.eu-west-1.amazonaws.com",
	})
	annotation, readErr := os.ReadFile(page)
	if exitCode(err) != 1 || readErr != nil || !strings.Contains(string(annotation), `it\_is \[REDACTED]`) {
		t.Fatalf("%v, %v\n%s\n%s", err, readErr, output, annotation)
	}
	unescaped := strings.ReplaceAll(string(annotation), `\`, "")
	r.searchForSecrets("the annotation", unescaped)
	if strings.Contains(unescaped, token[len(token)-16:]) {
		t.Errorf("the annotation contains the end of the token:\n%s", annotation)
	}
}
