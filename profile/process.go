package profile

import (
	"encoding/json"
	"io"
	"time"
)

// Usage explains the program to a person who runs it by hand.
const Usage = `This is the program of the Bitrise Step "Authenticate with AWS", kept as a
credential process for a profile in AWS's configuration file:

    credential_process = .../` + ProgramName + ` ` + Subcommand + ` KEY

The AWS CLI and AWS's SDKs run it when they need credentials. It prints those of
the session KEY, in JSON, on standard output. It takes them from a cache until
shortly before they expire, and then obtains new ones with the build's API
token, which it reads from the variable BITRISE_BUILD_API_TOKEN.

To test the profile:          aws sts get-caller-identity --profile NAME
To set up such a profile:     set the Step's input aws_profile to NAME
`

// Print writes credentials in the format that AWS defines for credential processes:
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html.
func Print(w io.Writer, answer Answer) error {
	output := struct {
		Version         int
		AccessKeyId     string //nolint:revive // as AWS spells it
		SecretAccessKey string
		SessionToken    string    `json:",omitempty"`
		Expiration      time.Time `json:",omitzero"`
	}{
		Version: 1, AccessKeyId: answer.AccessKeyID.Reveal(), SecretAccessKey: answer.SecretAccessKey.Reveal(),
		SessionToken: answer.SessionToken.Reveal(), Expiration: answer.Expiration.UTC().Truncate(time.Millisecond),
	}
	return json.NewEncoder(w).Encode(output)
}
