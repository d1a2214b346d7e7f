// Package awsid holds the names in AWS that more than one room of the Step needs, as types that cannot hold a wrong
// one. It imports the standard library alone and knows neither inputs nor AWS's SDK.
package awsid

import (
	"fmt"
	"regexp"
)

// Region is the code of an AWS Region, such as us-east-1, us-gov-west-1 or eusc-de-east-1.
// See https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html.
//
// The SDK builds the host that it calls from the Region, hence a Region holds letters, digits and hyphens in the shape of
// a code only, and can never turn the host into another one.
type Region struct{ code string }

// ParseRegion takes the code of any Region, also of one that this program has never heard of: AWS opens new ones.
func ParseRegion(s string) (Region, error) {
	// Compiled here, not at package level, where it would cost every start of the program, also a failing one.
	if !regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d+$`).MatchString(s) {
		return Region{}, fmt.Errorf("%q is not the code of an AWS Region, such as us-east-1", s)
	}
	return Region{code: s}, nil
}

// String returns the Region's code; it is empty for the zero value only.
func (r Region) String() string { return r.code }
