// Package testenv is for tests only: it gives them the environment that the Step gives its packages.
package testenv

import (
	"os"
	"strings"
	"testing"
)

// WithoutAWS removes AWS's variables from the environment, as the Step does, and runs the tests of a package. It is what a
// TestMain calls.
func WithoutAWS(m *testing.M) {
	for _, variable := range os.Environ() {
		if key, _, _ := strings.Cut(variable, "="); strings.HasPrefix(key, "AWS_") {
			_ = os.Unsetenv(key)
		}
	}
	os.Exit(m.Run())
}
