package step

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"reflect"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// kept is what a profile keeps from the run that wrote it: everything that a renewal needs to obtain the session again, except for
// the build's API token, which is written to no file.
type kept struct {
	// Inputs are those that affect the session.
	Inputs Inputs
	// Environment has the variables that set AWS's endpoints and the trusted certificates. A later Step may change them for its own
	// purposes. Proxies are not kept: a renewal uses those of the process that needs the credentials.
	Environment Environment
	// Build is the build that the profile belongs to.
	Build build
	// GivenToken is the digest of identity_token, so that each token has its own session. The token itself is not kept, because it
	// is valid for minutes only.
	GivenToken string
}

// keep returns what a profile keeps from a run.
func (in Inputs) keep(environment Environment) kept {
	k := kept{Inputs: in, Environment: Environment{}, Build: buildOf(environment)}
	if !in.IdentityToken.IsEmpty() {
		digest := sha256.Sum256([]byte(in.IdentityToken.Reveal()))
		k.GivenToken = hex.EncodeToString(digest[:])
	}
	k.Inputs.IdentityToken, k.Inputs.BuildAPIToken = secret.Text{}, secret.Text{}
	// These don't affect the session. Neither does the profile's name, but each profile has its own session, so that a logout from one
	// doesn't affect the others.
	k.Inputs.Action, k.Inputs.DockerLogin, k.Inputs.ECRRegistries, k.Inputs.Timeout, k.Inputs.Verbose = "", "", "", "", ""
	for _, key := range keptVariables() {
		if value := environment.Get(key); value != "" {
			k.Environment[key] = value
		}
	}
	if bundle, err := filepath.Abs(k.Environment[caBundle]); err == nil && k.Environment[caBundle] != "" {
		k.Environment[caBundle] = bundle // a renewal may run in any folder
	}
	return k
}

const caBundle = "AWS_CA_BUNDLE"

func keptVariables() []string { return append(awsclient.Variables(), caBundle) }

// encode returns the JSON that parseKept reads. It reveals the secrets.
func (k kept) encode() secret.Text {
	inputs := map[string]string{}
	fields := reflect.ValueOf(k.Inputs)
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		switch value := fields.Field(i).Interface().(type) {
		case secret.Text:
			inputs[name] = value.Reveal()
		case string:
			inputs[name] = value
		}
	}
	maps.DeleteFunc(inputs, func(_, value string) bool { return value == "" })
	content, _ := json.MarshalIndent(map[string]any{ // cannot fail for strings
		"Inputs": inputs, "Environment": k.Environment, "Build": k.Build, "GivenToken": k.GivenToken,
	}, "", "  ")
	return secret.New(string(content) + "\n")
}

func parseKept(content secret.Text) (kept, error) {
	var k kept
	if err := json.Unmarshal([]byte(content.Reveal()), &k); err != nil {
		return kept{}, explain.Advise(errors.New("the settings of the session are damaged"), "Run the Step again.") // err may quote a secret
	}
	return k, nil
}
