package awsid

import (
	"fmt"
	"regexp"
)

// AccountID is the ID of an AWS account: 12 digits, leading zeros included.
// See https://docs.aws.amazon.com/accounts/latest/reference/manage-acct-identifiers.html.
type AccountID struct{ digits string }

// ParseAccountID takes an account's ID. It is a text and not a number: as a number it would lose its leading zeros.
func ParseAccountID(s string) (AccountID, error) {
	if !regexp.MustCompile(`^\d{12}$`).MatchString(s) {
		return AccountID{}, fmt.Errorf("%q is not the ID of an AWS account, which has 12 digits", s)
	}
	return AccountID{digits: s}, nil
}

// String returns the 12 digits.
func (a AccountID) String() string { return a.digits }
