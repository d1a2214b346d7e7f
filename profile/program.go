package profile

import (
	"context"
	"fmt"
	"os/exec"
)

// ProgramName is the name of the Step's program where it is kept.
const ProgramName = "authenticate-with-aws"

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

// checkRuns runs the program, since the first to find out that it cannot run should not be the Step that needs credentials.
func checkRuns(ctx context.Context, program string) error {
	if err := exec.CommandContext(ctx, program, Subcommand, "--help").Run(); err != nil {
		return fmt.Errorf("the program cannot run from there: %w", err)
	}
	return nil
}
