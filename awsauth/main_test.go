package awsauth_test

import (
	"os"
	"strings"
	"testing"
)

// TestMain removes AWS's variables from the environment, as the Step does.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if key, _, _ := strings.Cut(variable, "="); strings.HasPrefix(key, "AWS_") {
			_ = os.Unsetenv(key)
		}
	}
	os.Exit(m.Run())
}
