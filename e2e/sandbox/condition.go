package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// operator is a condition operator with its prefix and suffix.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html and, for the
// prefixes, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html.
type operator struct {
	forAny, forAll, ifExists, negated, null bool
	matches                                 func(wanted, value string) bool
}

func parseOperator(name string) (operator, error) {
	var o operator
	rest := name
	if rest, o.forAny = strings.CutPrefix(rest, "ForAnyValue:"); !o.forAny {
		rest, o.forAll = strings.CutPrefix(rest, "ForAllValues:")
	}
	rest, o.ifExists = strings.CutSuffix(rest, "IfExists")
	equal := func(wanted, value string) bool { return wanted == value }
	switch rest {
	case "StringEquals", "Bool":
		o.matches = equal
	case "StringNotEquals":
		o.matches, o.negated = equal, true
	case "StringEqualsIgnoreCase":
		o.matches = strings.EqualFold
	case "StringNotEqualsIgnoreCase":
		o.matches, o.negated = strings.EqualFold, true
	case "StringLike", "ArnLike", "ArnEquals":
		o.matches = like
	case "StringNotLike", "ArnNotLike", "ArnNotEquals":
		o.matches, o.negated = like, true
	case "Null":
		o.null = true
	default:
		return operator{}, fmt.Errorf("the policy has the condition operator %q, which the sandbox does not know", name)
	}
	return o, nil
}

// holds evaluates one key of a condition: wanted is what the policy lists, values what the request has.
func (o operator) holds(wanted, values []string, found bool) bool {
	if o.null {
		return slices.Contains(wanted, fmt.Sprint(!found))
	}
	if !found || len(values) == 0 {
		// A key that is not there fails, but for the operators that are said to hold then.
		return o.ifExists || o.forAll || (o.negated && !o.forAny)
	}
	one := func(value string) bool {
		matched := slices.ContainsFunc(wanted, func(want string) bool { return o.matches(want, value) })
		return matched != o.negated
	}
	if o.forAny {
		return slices.ContainsFunc(values, one)
	}
	if o.forAll || len(values) == 1 {
		return !slices.ContainsFunc(values, func(value string) bool { return !one(value) })
	}
	// A key of several values without a prefix: AWS says that such policies are wrong, and matches none.
	return false
}
