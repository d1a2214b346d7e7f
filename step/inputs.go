package step

import (
	"net/url"
	"reflect"
	"strings"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
)

// Inputs are the Step's inputs as they arrive: environment variables whose names are the keys in step.yml, given by the tag
// env. Nothing is checked here; [ParseInputs] checks everything in one place.
type Inputs struct {
	Region          string      `env:"region"`
	RoleARN         string      `env:"role_arn"`
	Audience        string      `env:"audience"`
	SessionName     string      `env:"session_name"`
	IdentityToken   secret.Text `env:"identity_token"`
	AccessKeyID     secret.Text `env:"access_key_id"`
	SecretAccessKey secret.Text `env:"secret_access_key"`
	SessionToken    secret.Text `env:"session_token"`

	SessionDuration        string `env:"session_duration"`
	RoleChain              string `env:"role_chain"`
	ExternalID             string `env:"external_id"`
	SessionTags            string `env:"session_tags"`
	InlineSessionPolicy    string `env:"inline_session_policy"`
	ManagedSessionPolicies string `env:"managed_session_policies"`
	AllowedAccountIDs      string `env:"allowed_account_ids"`

	AWSProfile string `env:"aws_profile"`

	DockerLogin   string      `env:"docker_login"`
	ECRRegistries string      `env:"ecr_registries"`
	BuildURL      string      `env:"build_url"`
	BuildAPIToken secret.Text `env:"build_api_token"`
	Timeout       string      `env:"timeout"`
	Verbose       string      `env:"verbose"`
}

// readInputs takes the inputs from the environment. go-steputils' stepconf would do the same, but its secrets are strings,
// a value that fails one of its constraints is repeated in the error, and it brings a downloader and two HTTP clients into
// the build.
func readInputs(environment env.Repository) Inputs {
	var in Inputs
	fields := reflect.ValueOf(&in).Elem()
	for i := range fields.NumField() {
		value := environment.Get(fields.Type().Field(i).Tag.Get("env"))
		switch field := fields.Field(i).Addr().Interface().(type) {
		case *string:
			*field = value
		case *secret.Text:
			*field = secret.New(value)
		}
	}
	return in
}

// print writes the inputs that are given to the log, in the order of step.yml, secrets hidden.
func (in Inputs) print(log Logger) {
	log.Infof("Inputs:")
	fields := reflect.ValueOf(in)
	for i := range fields.NumField() {
		var text string
		switch value := fields.Field(i).Interface().(type) {
		case string:
			text = strings.TrimSpace(value)
		case secret.Text:
			if !trimmed(value).IsEmpty() {
				text = secret.Redacted
			}
		}
		if text == "" {
			continue
		}
		text = withoutPassword(text)
		log.Printf("- %s: %s", fields.Type().Field(i).Tag.Get("env"), strings.ReplaceAll(text, "\n", "\n  "))
	}
}

// withoutPassword hides what was pasted into the wrong field: a token, or a URL with a user's password.
func withoutPassword(text string) string {
	if _, err := oidc.ParseToken(secret.New(text)); err == nil {
		return secret.Redacted
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && u.User != nil:
		return u.Redacted()
	case err != nil && strings.Contains(text, "://") && strings.Contains(text, "@"),
		err == nil && u.Scheme != "arn" && strings.Contains(u.Opaque, "@"):
		return secret.Redacted // a URL that cannot be taken apart
	default:
		return text
	}
}

// secrets are the inputs that are secret, without the blanks around them.
func (in Inputs) secrets() []secret.Text {
	var all []secret.Text
	fields := reflect.ValueOf(in)
	for i := range fields.NumField() {
		if text, ok := fields.Field(i).Interface().(secret.Text); ok {
			all = append(all, trimmed(text))
		}
	}
	return all
}

// trimmed is a secret input without the blanks around it, which are not part of it.
func trimmed(s secret.Text) secret.Text {
	return secret.New(strings.TrimSpace(s.Reveal()))
}
