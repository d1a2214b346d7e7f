package step

import (
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/credentials"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/report"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
)

// output is a variable for the Steps that follow.
type output struct {
	key   string
	value secret.Text
	// isSensitive makes Bitrise redact the value in the logs of the Steps that follow.
	isSensitive bool
}

func plain(key, value string) output { return output{key: key, value: secret.New(value)} }

// loginOutputs are the outputs of every login. With a profile, the credentials are not exported, because AWS's tools would prefer them.
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
// combined with a value from an earlier Step. AWS_SECURITY_TOKEN is an old name of the session token, which the AWS CLI and boto3 prefer
// if it is set.
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

// emptyCredentialOutputs empty the credentials that are set. A variable that isn't set is not exported, because to some SDKs, an empty
// variable is a value.
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
