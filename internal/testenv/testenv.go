// Package testenv is for tests only: it gives them the environment that the Step gives its packages.
package testenv

import (
	"os"
	"strings"
)

// RemoveAWS removes AWS's variables from the environment, as the Step does. A TestMain calls it.
func RemoveAWS() {
	for _, variable := range os.Environ() {
		if key, _, _ := strings.Cut(variable, "="); strings.HasPrefix(key, "AWS_") {
			_ = os.Unsetenv(key)
		}
	}
}
