package awsid_test

import (
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

func TestParseRegion(t *testing.T) {
	for _, code := range []string{"us-east-1", "eu-central-2", "ap-southeast-10", "us-gov-west-1", "cn-northwest-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1"} {
		region, err := awsid.ParseRegion(code)
		if err != nil || region.String() != code {
			t.Errorf("%s: got %q, %v", code, region, err)
		}
	}
	for _, code := range []string{"", "us-east", "US-EAST-1", "us-east-1 ", "us-east-1a", "us-east-1.evil.example", "us-east-1/", "-us-east-1", "u-east-1", "us--east-1", "us-east-1\n", "us-1", "us_east_1", "ús-east-1"} {
		if region, err := awsid.ParseRegion(code); err == nil {
			t.Errorf("%q was taken as %q", code, region)
		}
	}
}

func TestPartition(t *testing.T) {
	for code, want := range map[string]string{
		"us-east-1": "aws", "eu-west-1": "aws", "mx-central-1": "aws", "cn-north-1": "aws-cn", "us-gov-east-1": "aws-us-gov", "eusc-de-east-1": "aws-eusc",
		"us-iso-west-1": "aws-iso", "us-isob-east-1": "aws-iso-b", "eu-isoe-west-1": "aws-iso-e", "us-isof-south-1": "aws-iso-f",
	} {
		region, err := awsid.ParseRegion(code)
		if err != nil || region.Partition().Name != want {
			t.Errorf("%s is in %s, %v", code, region.Partition().Name, err)
		}
	}
}

func TestParseAccountID(t *testing.T) {
	for _, id := range []string{"123456789012", "000000000001"} {
		if got, err := awsid.ParseAccountID(id); err != nil || got.String() != id {
			t.Errorf("%s: %s, %v", id, got, err)
		}
	}
	for _, id := range []string{"", "12345678901", "1234567890123", "12345678901a", "1234-5678-9012", " 123456789012"} {
		if _, err := awsid.ParseAccountID(id); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}
