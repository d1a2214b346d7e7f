// Package awsid has the types of AWS identifiers that several packages need. A value of such a type is always well-formed.
package awsid

import (
	"fmt"
	"regexp"
)

var regionCode = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-\d+$`)

// Region is the code of an AWS Region, such as us-east-1, us-gov-west-1 or eusc-de-east-1.
// See https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html.
//
// The SDK builds host names from the Region. A Region contains only letters, digits, and hyphens, so it cannot lead to
// a different host.
type Region struct{ code string }

// ParseRegion parses the code of a Region. It accepts unknown codes, because AWS opens new Regions.
func ParseRegion(s string) (Region, error) {
	if !regionCode.MatchString(s) {
		return Region{}, fmt.Errorf("must be an AWS Region such as us-east-1, got %q", s)
	}
	return Region{code: s}, nil
}

// String returns the Region's code, or the empty string for the zero value.
func (r Region) String() string { return r.code }

var accountID = regexp.MustCompile(`^\d{12}$`)

// AccountID is the ID of an AWS account: 12 digits, including leading zeros.
// See https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-identifiers.html.
type AccountID struct{ digits string }

// ParseAccountID parses an account ID.
func ParseAccountID(s string) (AccountID, error) {
	if !accountID.MatchString(s) {
		return AccountID{}, fmt.Errorf("must be an AWS account ID (12 digits), got %q", s)
	}
	return AccountID{digits: s}, nil
}

// String returns the 12 digits, or the empty string for the zero value.
func (a AccountID) String() string { return a.digits }
