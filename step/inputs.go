package step

import (
	"net/url"
	"reflect"
	"strings"

	"github.com/bitrise-io/go-steputils/v2/stepconf"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Inputs are the Step's inputs as they arrive: environment variables whose names are the keys in step.yml. They carry no
// stepconf constraints: those would stop at their own kind of finding and repeat a value that fails, secret or not.
// [ParseInputs] checks everything in one place.
type Inputs struct {
	Region          string          `env:"region"`
	RoleARN         string          `env:"role_arn"`
	Audience        string          `env:"audience"`
	SessionName     string          `env:"session_name"`
	IdentityToken   stepconf.Secret `env:"identity_token"`
	AccessKeyID     stepconf.Secret `env:"access_key_id"`
	SecretAccessKey stepconf.Secret `env:"secret_access_key"`
	SessionToken    stepconf.Secret `env:"session_token"`

	SessionDuration        string `env:"session_duration"`
	RoleChain              string `env:"role_chain"`
	ExternalID             string `env:"external_id"`
	SessionTags            string `env:"session_tags"`
	InlineSessionPolicy    string `env:"inline_session_policy"`
	ManagedSessionPolicies string `env:"managed_session_policies"`
	AllowedAccountIDs      string `env:"allowed_account_ids"`

	DockerLogin   string          `env:"docker_login"`
	ECRRegistries string          `env:"ecr_registries"`
	BuildURL      string          `env:"build_url"`
	BuildAPIToken stepconf.Secret `env:"build_api_token"`
	Timeout       string          `env:"timeout"`
	Verbose       string          `env:"verbose"`
}

// print writes the inputs that are given to the log, in the order of step.yml, secrets hidden.
func (in Inputs) print(log Logger) {
	log.Infof("Inputs:")
	value := reflect.ValueOf(in)
	for i := range value.NumField() {
		key := value.Type().Field(i).Tag.Get("env")
		text := strings.TrimSpace(value.Field(i).String())
		if text == "" {
			continue
		}
		if value.Field(i).Type() == reflect.TypeFor[stepconf.Secret]() {
			text = secret.Redacted
		}
		if u, err := url.Parse(text); err == nil && u.User != nil {
			text = u.Redacted()
		}
		log.Printf("- %s: %s", key, strings.ReplaceAll(text, "\n", "\n  "))
	}
}

// sealed makes the type that stays closed up to the wire of a secret input. Blanks around it are not part of it.
func sealed(s stepconf.Secret) secret.Text {
	return secret.New(strings.TrimSpace(string(s)))
}
