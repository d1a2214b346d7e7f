package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// operator is a condition operator with its set qualifier and its IfExists suffix.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html and, for the
// qualifiers, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html.
type operator struct {
	forAny, forAll, ifExists, negated, null bool
	matches                                 func(want, value string) bool
}

func parseOperator(name string) (operator, error) {
	var o operator
	rest := name
	if rest, o.forAny = strings.CutPrefix(rest, "ForAnyValue:"); !o.forAny {
		rest, o.forAll = strings.CutPrefix(rest, "ForAllValues:")
	}
	rest, o.ifExists = strings.CutSuffix(rest, "IfExists")
	equal := func(want, value string) bool { return want == value }
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
		return operator{}, fmt.Errorf("the sandbox does not support the condition operator %q", name)
	}
	if o.null && o.ifExists {
		return operator{}, fmt.Errorf("IAM has no condition operator %q: IfExists does not combine with Null", name)
	}
	return o, nil
}

// holds evaluates one key of a condition against the values in the policy and those in the request context. A key that is
// missing from the context fails the condition, except with IfExists, ForAllValues, or a negated operator.
func (o operator) holds(policy, context []string, found bool) bool {
	if o.null {
		return slices.Contains(policy, fmt.Sprint(!found))
	}
	if !found || len(context) == 0 {
		return o.ifExists || o.forAll || (o.negated && !o.forAny)
	}
	one := func(value string) bool {
		matched := slices.ContainsFunc(policy, func(want string) bool { return o.matches(want, value) })
		return matched != o.negated
	}
	if o.forAny {
		return slices.ContainsFunc(context, one)
	}
	if o.forAll || len(context) == 1 {
		return !slices.ContainsFunc(context, func(value string) bool { return !one(value) })
	}
	// AWS calls a multivalued key without a set qualifier a mistake. Here it never matches.
	return false
}
