// Package awsid holds the types of AWS identifiers that several packages need. A value of such a type is always well-formed.
package awsid

import (
	"fmt"
	"regexp"
	"slices"
)

var regionCode = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d+$`)

// Region is the code of an AWS Region, such as us-east-1, us-gov-west-1 or eusc-de-east-1.
// See https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html.
//
// The SDK builds host names from the Region. A Region contains only letters, digits, and hyphens, so it cannot lead to
// another host.
type Region struct{ code string }

// ParseRegion parses the code of a Region. It accepts unknown ones, because AWS opens new Regions.
func ParseRegion(s string) (Region, error) {
	if !regionCode.MatchString(s) {
		return Region{}, fmt.Errorf("must be an AWS Region such as us-east-1, got %q", s)
	}
	return Region{code: s}, nil
}

// String returns the Region's code; it is empty only for the zero value.
func (r Region) String() string { return r.code }

// IsKnown reports whether the Region is one that AWS's SDK knew when this list was copied from it, in September 2026
// (https://github.com/aws/aws-sdk-go-v2/blob/main/internal/endpoints/awsrulesfn/partitions.json). Others may exist.
func (r Region) IsKnown() bool { return slices.Contains(knownRegions(), r.code) }

func knownRegions() []string {
	return []string{
		"af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2",
		"ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7",
		"ca-central-1", "ca-west-1", "cn-north-1", "cn-northwest-1", "eu-central-1", "eu-central-2", "eu-isoe-west-1", "eu-north-1",
		"eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "eusc-de-east-1", "il-central-1", "me-central-1", "me-south-1",
		"mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-gov-east-1", "us-gov-west-1", "us-iso-east-1", "us-iso-west-1",
		"us-isob-east-1", "us-isob-west-1", "us-isof-east-1", "us-isof-south-1", "us-west-1", "us-west-2",
	}
}
