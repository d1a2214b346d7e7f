package awsid_test

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

func TestParseRegion(t *testing.T) {
	for _, code := range []string{
		"us-east-1", "eu-central-2", "ap-southeast-10", "us-gov-west-1", "cn-northwest-1", "eusc-de-east-1",
		"us-iso-east-1", "us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1",
	} {
		t.Run(code, func(t *testing.T) {
			if region, err := awsid.ParseRegion(code); err != nil || region.String() != code {
				t.Errorf("got %q, %v", region, err)
			}
		})
	}
}

func TestParseRegionErrors(t *testing.T) {
	for _, code := range []string{
		"", "us-east", "US-EAST-1", "us-east-1 ", "us-east-1a", "us-east-1.evil.example", "us-east-1/", "-us-east-1", "u-east-1",
		"us--east-1", "us-east-1\n", "us-1", "us_east_1", "ús-east-1",
	} {
		t.Run(code, func(t *testing.T) {
			region, err := awsid.ParseRegion(code)
			if err == nil || !strings.Contains(err.Error(), "must be an AWS Region such as us-east-1, got ") {
				t.Errorf("got %q, %v", region, err)
			}
		})
	}
}

func TestParseAccountID(t *testing.T) {
	for text, valid := range map[string]bool{
		"123456789012": true, "000000000001": true,
		"": false, "12345678901": false, "1234567890123": false, "12345678901a": false, "1234-5678-9012": false, " 123456789012": false,
	} {
		t.Run(text, func(t *testing.T) {
			id, err := awsid.ParseAccountID(text)
			switch {
			case valid && (err != nil || id.String() != text):
				t.Errorf("got %q, %v", id, err)
			case !valid && (err == nil || !strings.Contains(err.Error(), "must be an AWS account ID (12 digits), got ")):
				t.Errorf("got %q, %v", id, err)
			}
		})
	}
}
