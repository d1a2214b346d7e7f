package profile

import (
	"context"
	"fmt"
	"os/exec"
)

// ProgramName is the file name of the Step's program in the [Folder].
const ProgramName = "authenticate-with-aws"

// Usage is shown to a person who runs the program manually.
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

// checkRuns verifies that the program can run, so that the login fails and not a later Step that needs credentials.
func checkRuns(ctx context.Context, program string) error {
	if err := exec.CommandContext(ctx, program, Subcommand, "--help").Run(); err != nil {
		return fmt.Errorf("the program can't run from there: %w", err)
	}
	return nil
}
