package awsauth_test

import (
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/testenv"
)

func TestMain(m *testing.M) {
	testenv.RemoveAWS()
	m.Run()
}
