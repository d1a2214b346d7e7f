package step

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// Each input shapes the session of a profile and is kept, or is one of those that do not, or must not be kept. A new input
// has to be put on one side.
func TestEveryInputIsKeptOrNotOnPurpose(t *testing.T) {
	apart := map[string]string{
		"identity_token": "a digest is kept", "build_api_token": "never written", "aws_profile": "names the profile, not the session",
		"docker_login": "happens once", "ecr_registries": "happens once", "timeout": "of the run", "verbose": "of the run",
	}
	inputs := reflect.TypeFor[Inputs]()
	for i := range inputs.NumField() {
		key := inputs.Field(i).Tag.Get("env")
		if _, found := apart[key]; found == slices.Contains(keptInputs(), key) {
			t.Errorf("%s: kept %v, apart %v", key, !found, found)
		}
	}
	if got := inputs.NumField(); got != len(keptInputs())+len(apart) {
		t.Errorf("%d inputs, and %d are named here", got, len(keptInputs())+len(apart))
	}
}

func TestSessionSettings(t *testing.T) {
	environment := variables{
		"region": " eu-west-1\n", "role_arn": "arn", "session_name": "", "build_api_token": "canary-build-token", buildTokenVariable: "canary-build-token",
		"identity_token": "canary-identity-token", "secret_access_key": "canary-key", "docker_login": "true", "AWS_ENDPOINT_URL_STS": "https://sts", "HTTPS_PROXY": "canary-proxy",
	}
	settings := Step{Environment: environment}.sessionSettings()
	want := []string{"AWS_ENDPOINT_URL_STS", "identity_token_sha256", "region", "role_arn", "secret_access_key"}
	if got := slices.Sorted(maps.Keys(settings)); !slices.Equal(got, want) || settings.Get("region") != "eu-west-1" || settings.Get("secret_access_key") != "canary-key" {
		t.Errorf("got %v", got)
	}
	if text := fmt.Sprintf("%v %+v %#v", settings, settings, renewalEnvironment{settings: settings}); strings.Contains(text, "canary") {
		t.Errorf("a secret shows in %s", text)
	}
	key := settings.Key()
	for _, name := range []string{"region", "identity_token", "secret_access_key", "AWS_ENDPOINT_URL_STS"} {
		other := maps.Clone(environment)
		other[name] = "another"
		if (Step{Environment: other}).sessionSettings().Key() == key {
			t.Errorf("another %s is the same session", name)
		}
	}
	renewal := renewalEnvironment{settings: settings, token: "of-this-moment"}
	if renewal.Get("build_api_token") != "of-this-moment" || renewal.Get("role_arn") != "arn" || renewal.Get("HTTPS_PROXY") != "" {
		t.Error("a renewal finds something else than what was kept")
	}
}

// The three variables and their end are exported empty, and the name comes last.
func TestProfileOutputs(t *testing.T) {
	name, err := profile.ParseName("my profile")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	outputs := []output{{key: "AWS_SECRET_ACCESS_KEY", value: plain("", "canary").value, sensitive: true}, plain("AWS_REGION", "r"), plain("AWS_CREDENTIAL_EXPIRATION", "soon"), plain("ECR_REGISTRY", "host")}
	for _, out := range profileOutputs(outputs, name) {
		got = append(got, out.key+"="+out.value.Reveal())
	}
	if want := []string{"AWS_SECRET_ACCESS_KEY=", "AWS_REGION=r", "AWS_CREDENTIAL_EXPIRATION=", "ECR_REGISTRY=host", "AWS_PROFILE=my profile"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
