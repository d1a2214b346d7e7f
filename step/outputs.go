package step

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/bitrise-io/envman/v2/envman"
	"github.com/bitrise-io/envman/v2/models"
	"gopkg.in/yaml.v2"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/sharedfile"
)

// output is a variable for the Steps that follow.
type output struct {
	key   string
	value secret.Text
	// isSensitive makes Bitrise redact the value in the logs of the Steps that follow.
	isSensitive bool
}

func plain(key, value string) output { return output{key: key, value: secret.New(value)} }

// loginOutputs are the outputs of every login. With a profile, there are no credentials, because AWS's tools would prefer them.
func loginOutputs(environment Environment, config Config, session awsauth.Session) []output {
	outputs := credentialOutputs(environment, session.Credentials)
	if config.hasProfile() {
		outputs = emptyCredentialOutputs(environment)
	}
	return append(outputs,
		plain("AWS_REGION", config.Region.String()),
		plain("AWS_DEFAULT_REGION", config.Region.String()),
		plain("AWS_ACCOUNT_ID", session.AccountID),
		plain("AWS_CALLER_ARN", session.CallerARN),
	)
}

// credentialOutputs are the credentials and their expiry. An unknown value is exported empty, so that these credentials are never
// combined with a value from an earlier Step. If AWS_SECURITY_TOKEN is set, the AWS CLI and boto3 prefer this old name.
func credentialOutputs(environment Environment, c credentials.Credentials) []output {
	var expiration string
	if !c.Expires.IsZero() {
		expiration = clock(c.Expires)
	}
	outputs := []output{
		{key: "AWS_ACCESS_KEY_ID", value: c.AccessKeyID, isSensitive: true},
		{key: "AWS_SECRET_ACCESS_KEY", value: c.SecretAccessKey, isSensitive: true},
		{key: "AWS_SESSION_TOKEN", value: c.SessionToken, isSensitive: true},
		plain("AWS_CREDENTIAL_EXPIRATION", expiration),
	}
	if environment.Get("AWS_SECURITY_TOKEN") != "" {
		outputs = append(outputs, output{key: "AWS_SECURITY_TOKEN", value: c.SessionToken, isSensitive: true})
	}
	return outputs
}

// emptyCredentialOutputs empty the credentials that are set. To some SDKs, an empty variable differs from one that isn't set.
func emptyCredentialOutputs(environment Environment) []output {
	outputs := credentialOutputs(environment, credentials.Credentials{})
	return slices.DeleteFunc(outputs, func(o output) bool { return environment.Get(o.key) == "" })
}

// printOutputs lists what was exported.
func printOutputs(log *report.Log, outputs []output) {
	for _, out := range outputs {
		value := out.value.Reveal()
		switch {
		case value == "":
			value = "(empty)"
		case out.isSensitive:
			value = secret.Redacted
		}
		log.Printf("- %s: %s", out.key, strings.ReplaceAll(value, "\n", "\n  "))
	}
}

// envstore is the path of envman's store, a YAML file from which the Bitrise CLI reads a Step's outputs after the Step.
type envstore string

// findEnvstore returns the store that the Bitrise CLI has created for this run.
func findEnvstore(environment Environment) (envstore, error) {
	path := environment.Get("ENVMAN_ENVSTORE_PATH")
	err := errors.New("the variable ENVMAN_ENVSTORE_PATH is not set, so the outputs can't be exported")
	if path != "" {
		_, err = os.Stat(path)
	}
	return envstore(path), explain.Advise(err, "Run this Step in a build on Bitrise, or locally with \"bitrise run\". Both create the file "+
		"for a Step's outputs.")
}

// prepare adds outputs to a copy of the store, as "envman add --no-expand" would, with "--sensitive" for those that are.
func (s envstore) prepare(outputs []output) (*sharedfile.Change, error) {
	change, err := sharedfile.File{Path: string(s), KeepMode: true, InPlace: true}.Prepare(func(content []byte) ([]byte, error) {
		return addOutputs(content, outputs)
	})
	if err != nil {
		return nil, fmt.Errorf("add the outputs to envman's store: %w", err)
	}
	return change, nil
}

// addOutputs returns the content of a store with the outputs added. They replace earlier values.
func addOutputs(content []byte, outputs []output) ([]byte, error) {
	if len(outputs) == 0 {
		return content, nil
	}
	limits, err := envman.GetConfigs()
	if err != nil {
		return nil, fmt.Errorf("read envman's configuration: %w", err)
	}
	var store models.EnvsSerializeModel
	if err := yaml.Unmarshal(content, &store); err != nil {
		return nil, errors.New("the store is not valid") // the cause may quote a secret of another Step
	}
	for _, out := range outputs {
		if err := checkLimit("the value of "+out.key, len(out.value.Reveal()), limits.EnvBytesLimitInKB); err != nil {
			return nil, err
		}
		isTrue, isFalse := true, false
		options := models.EnvironmentItemOptionsModel{IsExpand: &isFalse}
		if out.isSensitive {
			options.IsSensitive = &isTrue
		}
		added := models.EnvironmentItemModel{out.key: out.value.Reveal(), models.OptionsKey: options}
		isReplaced := false
		for i, item := range store.Envs {
			if _, found := item[out.key]; found {
				store.Envs[i], isReplaced = added, true
			}
		}
		if !isReplaced {
			store.Envs = append(store.Envs, added)
		}
	}
	total := 0
	for _, item := range store.Envs {
		_, value, err := item.GetKeyValuePair()
		if err != nil {
			return nil, errors.New("the store is not valid: a variable has no key, or a value that is not a string")
		}
		total += len(value)
	}
	if err := checkLimit("all outputs together", total, limits.EnvListBytesLimitInKB); err != nil {
		return nil, err
	}
	return yaml.Marshal(store)
}

// checkLimit applies a limit in KB. 0 means no limit.
func checkLimit(what string, got, most int) error {
	if most <= 0 || got <= most<<10 {
		return nil
	}
	return explain.Advise(fmt.Errorf("%s must have at most %d KB, got %d KB, which exceeds envman's limit", what, most, (got+1023)>>10),
		"Shorten the value, or raise envman's limits in ~/.envman/configs.json: "+
			"https://support.bitrise.io/en/articles/9676692-env-var-value-too-large-env-var-list-too-large")
}
