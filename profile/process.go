package profile

import (
	"encoding/json"
	"io"
	"time"
)

// Usage says what the program is to a person who runs it.
const Usage = `This is the program of the Bitrise Step "Authenticate with AWS", kept as a credential process.

AWS's CLI and SDKs run it by themselves when they need credentials: a profile in
AWS's configuration file names it, as

    credential_process = "…/` + ProgramName + `" KEY

KEY stands for the session whose credentials it prints, in JSON, on standard
output. It takes them from its cache until shortly before they end, and then
gets new ones, for which it reads the build's API token from the variable
BITRISE_BUILD_API_TOKEN.

To see whether it works:    aws sts get-caller-identity --profile NAME
To set up such a profile:   give the Step the input aws_profile
`

// Print writes credentials as a credential process has to:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html.
func Print(w io.Writer, answer Answer) error {
	output := struct {
		Version         int
		AccessKeyId     string //nolint:revive // as AWS spells it
		SecretAccessKey string
		SessionToken    string `json:",omitempty"`
		Expiration      string `json:",omitempty"`
	}{Version: 1, AccessKeyId: answer.AccessKeyID.Reveal(), SecretAccessKey: answer.SecretAccessKey.Reveal(), SessionToken: answer.SessionToken.Reveal()}
	if !answer.Told.IsZero() {
		output.Expiration = answer.Told.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
	}
	return json.NewEncoder(w).Encode(output)
}
