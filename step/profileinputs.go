package step

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// profile reads aws_profile. Empty: no profile is asked for.
func (p *inputParser) profile() profile.Name {
	text := strings.TrimSpace(p.in.AWSProfile)
	if text == "" {
		return profile.Name{}
	}
	name, err := profile.ParseName(text)
	return parsed(p, "aws_profile", name, err)
}

// buildTokenVariable is where a renewal reads the build's API token, since that is written nowhere.
const buildTokenVariable = "BITRISE_BUILD_API_TOKEN" //nolint:gosec // the variable's name

// givenToken stands among the settings in place of a given identity_token: a digest, so that each token has a session of its
// own, while the token itself is not kept.
const givenToken = "identity_token_sha256"

// keptInputs are the inputs that shape the session that a profile hands out, in the order of step.yml. Two are missing:
// build_api_token, which is never written, and identity_token, which cannot be exchanged for long.
func keptInputs() []string {
	return []string{
		"region", "role_arn", "audience", "session_name", "access_key_id", "secret_access_key", "session_token",
		"session_duration", "role_chain", "external_id", "session_tags", "inline_session_policy", "managed_session_policies",
		"allowed_account_ids", "build_url",
	}
}

// keptVariables are those that move STS's endpoint, and say whose certificates are trusted; see awsauth.NewConfig. A Step in
// between may change them for its own ends, and the session would not be the same any more. Proxies are no part of the
// session: they are those of whoever asks for credentials.
func keptVariables() []string {
	return []string{
		"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
		"AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_CA_BUNDLE",
	}
}

// sessionSettings are all that a renewal needs.
func (s Step) sessionSettings() profile.Settings {
	settings := profile.Settings{}
	for _, name := range append(keptInputs(), keptVariables()...) {
		if value := secret.New(strings.TrimSpace(s.Environment.Get(name))); !value.IsEmpty() {
			settings[name] = value
		}
	}
	if token := strings.TrimSpace(s.Environment.Get("identity_token")); token != "" {
		digest := sha256.Sum256([]byte(token))
		settings[givenToken] = secret.New(hex.EncodeToString(digest[:]))
	}
	return settings
}

// renewalEnvironment is what a run would find: what was kept, and the build's API token of this moment. Nothing else of the
// process's environment shows in it.
type renewalEnvironment struct {
	settings profile.Settings
	token    string
}

// Get returns a kept input or variable, or the build's API token.
func (e renewalEnvironment) Get(key string) string {
	if key == "build_api_token" {
		return e.token
	}
	return e.settings.Get(key)
}

// Set, Unset and List are there for the interface: nothing of a renewal is for the processes that follow.
func (renewalEnvironment) Set(string, string) error { return nil }

// Unset does nothing.
func (renewalEnvironment) Unset(string) error { return nil }

// List returns nothing.
func (renewalEnvironment) List() []string { return nil }
