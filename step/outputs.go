package step

import (
	"slices"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
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
	// onlyIfSet exports the variable only if it has a value now, which would override the outputs.
	onlyIfSet bool
}

func plain(key, value string) output { return output{key: key, value: secret.New(value)} }

const expirationVariable = "AWS_CREDENTIAL_EXPIRATION"

// credentialOutputs are the credentials and their expiry. An unknown value is exported empty, so that these credentials are never
// combined with a value from an earlier Step. AWS_SECURITY_TOKEN is an old name of the session
// token, which the AWS CLI and boto3 prefer.
func credentialOutputs(c credentials.Credentials) []output {
	var expiration string
	if !c.Expires.IsZero() {
		expiration = clock(c.Expires)
	}
	return []output{
		{key: "AWS_ACCESS_KEY_ID", value: c.AccessKeyID, isSensitive: true},
		{key: "AWS_SECRET_ACCESS_KEY", value: c.SecretAccessKey, isSensitive: true},
		{key: "AWS_SESSION_TOKEN", value: c.SessionToken, isSensitive: true},
		{key: "AWS_SECURITY_TOKEN", value: c.SessionToken, isSensitive: true, onlyIfSet: true},
		plain(expirationVariable, expiration),
	}
}

// emptyCredentialOutputs empty the exported credentials, for a logout, and for a profile, because AWS's tools would prefer them. A
// variable that isn't set is not exported, because to some SDKs, an empty variable is a value.
func emptyCredentialOutputs() []output {
	outputs := credentialOutputs(credentials.Credentials{})
	for i := range outputs {
		outputs[i] = output{key: outputs[i].key, onlyIfSet: true}
	}
	return outputs
}

// commonOutputs are the outputs of every login.
func commonOutputs(region awsid.Region, session awsauth.Session) []output {
	return []output{
		plain("AWS_REGION", region.String()),
		plain("AWS_DEFAULT_REGION", region.String()),
		plain("AWS_ACCOUNT_ID", session.AccountID),
		plain("AWS_CALLER_ARN", session.CallerARN),
	}
}

// forEnvironment returns the outputs that are exported in an environment.
func forEnvironment(outputs []output, environment Environment) []output {
	return slices.DeleteFunc(outputs, func(o output) bool { return o.onlyIfSet && environment.Get(o.key) == "" })
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
