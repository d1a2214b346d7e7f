package awsid

import (
	"fmt"
	"regexp"
)

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
