package step

import (
	"reflect"
	"strings"

	"github.com/bitrise-io/go-steputils/v2/stepconf"
	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// Inputs are the Step's inputs with the keys and the order of step.yml, without leading and trailing whitespace.
//
// stepconf reads those with the tag env, without constraints, because it prints a value that violates one. It doesn't read
// those with the tag secret, because a stepconf.Secret reveals its text in JSON and with some of fmt's verbs.
type Inputs struct {
	RoleARN string `env:"role_arn"`
	Region  string `env:"region"`

	Audience      string      `env:"audience"`
	SessionName   string      `env:"session_name"`
	IdentityToken secret.Text `secret:"identity_token"`

	AccessKeyID     secret.Text `secret:"access_key_id"`
	SecretAccessKey secret.Text `secret:"secret_access_key"`
	SessionToken    secret.Text `secret:"session_token"`

	SessionDuration        string `env:"session_duration"`
	InlineSessionPolicy    string `env:"inline_session_policy"`
	ManagedSessionPolicies string `env:"managed_session_policies"`
	AllowedAccountIDs      string `env:"allowed_account_ids"`

	RoleChain   string `env:"role_chain"`
	ExternalID  string `env:"external_id"`
	SessionTags string `env:"session_tags"`

	AWSProfile string `env:"aws_profile"`

	DockerLogin   string `env:"docker_login"`
	ECRRegistries string `env:"ecr_registries"`

	BuildURL      string      `env:"build_url"`
	BuildAPIToken secret.Text `secret:"build_api_token"`
	Timeout       string      `env:"timeout"`
	Verbose       string      `env:"verbose"`

	Action string `env:"action"`
}

// reader lets stepconf read a snapshot of the environment. stepconf calls only Get.
type reader struct {
	env.Repository
	environment Environment
}

func (r reader) Get(key string) string { return strings.TrimSpace(r.environment.Get(key)) }

// readInputs reads the inputs from the environment.
func readInputs(environment Environment) Inputs {
	var in Inputs
	trimmed := reader{environment: environment}
	_ = stepconf.NewInputParser(trimmed).Parse(&in) // can fail only for constraints, and for types other than string
	fields := reflect.ValueOf(&in).Elem()
	for i := range fields.NumField() {
		if field, isSecret := fields.Field(i).Addr().Interface().(*secret.Text); isSecret {
			*field = secret.New(trimmed.Get(fields.Type().Field(i).Tag.Get("secret")))
		}
	}
	return in
}

// each calls a function with the key and the value of every input, in the order of step.yml.
func (in Inputs) each(visit func(key string, value secret.Text, isSecret bool)) {
	fields := reflect.ValueOf(in)
	for i := range fields.NumField() {
		tag := fields.Type().Field(i).Tag
		value, isSecret := fields.Field(i).Interface().(secret.Text)
		if !isSecret {
			value = secret.New(fields.Field(i).String())
		}
		visit(tag.Get("env")+tag.Get("secret"), value, isSecret)
	}
}

// secrets returns the inputs that must never be shown: secrets, and those into which one was pasted.
func (in Inputs) secrets() []secret.Text {
	var all []secret.Text
	in.each(func(_ string, value secret.Text, isSecret bool) {
		if isSecret || redactPasted(value.Reveal()) != value.Reveal() {
			all = append(all, value)
		}
	})
	return all
}

// print writes the inputs that are set to the log. stepconf.Print writes to standard output.
func (in Inputs) print(log *report.Log) {
	log.Infof("Inputs:")
	in.each(func(key string, value secret.Text, isSecret bool) {
		shown := secret.Redacted
		if !isSecret {
			shown = redactPasted(value.Reveal())
		}
		if !value.IsEmpty() {
			log.Printf("- %s: %s", key, strings.ReplaceAll(shown, "\n", "\n  "))
		}
	})
}
