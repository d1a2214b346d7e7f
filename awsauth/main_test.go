package awsauth_test

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	os.Clearenv() // AWS's SDK reads variables that the Step removes
	m.Run()
}
