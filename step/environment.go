package step

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bitrise-io/go-utils/v2/env"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsclient"
)

// buildTokenVariable is where a renewal reads the build's API token, which is written to no file.
const buildTokenVariable = "BITRISE_BUILD_API_TOKEN" //nolint:gosec // the variable's name

// Environment is the environment that the process was started with. It has the inputs, too. Several tools treat an empty variable
// differently from one that is not set.
type Environment map[string]string

// TakeEnvironment returns a snapshot of the process's environment, and removes AWS's variables from the process, except those
// that the Step honors (awsclient.Variables).
//
// Variables from earlier Steps must not affect this one, but AWS's SDK reads some sixty variables in several places, and an invalid
// value in some of them is an error even if the code sets the option. Only unset variables are reliably ignored. They are not
// restored, because neither this process nor the programs that it starts need them.
func TakeEnvironment(process env.Repository) (Environment, error) {
	environment := Environment{}
	for _, variable := range process.List() {
		key, value, _ := strings.Cut(variable, "=")
		environment[key] = value
	}
	for key := range environment {
		if !strings.HasPrefix(key, "AWS_") || slices.Contains(awsclient.Variables(), key) {
			continue
		}
		if err := process.Unset(key); err != nil {
			return nil, fmt.Errorf("unset %s: %w", key, err)
		}
	}
	return environment, nil
}

// Get returns a variable's value, or empty if it is not set.
func (e Environment) Get(key string) string { return e[key] }
