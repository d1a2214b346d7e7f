package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy is an IAM policy document: a trust policy with principals, or a permissions policy without.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html.
type Policy struct {
	Version   string     `json:"Version"`
	ID        string     `json:"Id,omitempty"`
	Statement statements `json:"Statement"`
}

// Statement is one statement of a policy.
type Statement struct {
	Sid       string                      `json:"Sid,omitempty"`
	Effect    string                      `json:"Effect"`
	Principal *principals                 `json:"Principal,omitempty"`
	Action    texts                       `json:"Action"`
	Resource  texts                       `json:"Resource,omitempty"`
	Condition map[string]map[string]texts `json:"Condition,omitempty"`
}

type (
	// statements is one statement or a list of them.
	statements []Statement
	// texts is a string, a boolean or a list of them.
	texts []string
	// principals is "*", or a list for each kind: Federated, AWS, Service.
	principals map[string]texts
)

func (s *statements) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return strict(data, (*[]Statement)(s))
	}
	var one Statement
	if err := strict(data, &one); err != nil {
		return err
	}
	*s = statements{one}
	return nil
}

func (t *texts) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*[]string)(t))
	}
	var one any
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	switch one.(type) {
	case string, bool:
		*t = texts{fmt.Sprint(one)}
		return nil
	default:
		return fmt.Errorf("must be a string or a list of strings, got %s", data)
	}
}

func (p *principals) UnmarshalJSON(data []byte) error {
	if string(data) == `"*"` {
		*p = principals{"*": {"*"}}
		return nil
	}
	return json.Unmarshal(data, (*map[string]texts)(p))
}

func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// ParsePolicy parses a policy document. It rejects fields, effects, and condition operators that IAM does not have, and the
// policy variables (${…}) that the sandbox does not evaluate.
func ParsePolicy(document []byte) (*Policy, error) {
	if !json.Valid(document) {
		return nil, errors.New("the policy is not valid JSON")
	}
	var policy Policy
	if err := strict(document, &policy); err != nil {
		return nil, fmt.Errorf("the policy is malformed: %w", err)
	}
	if policy.Version != "2012-10-17" && policy.Version != "2008-10-17" {
		return nil, fmt.Errorf("the policy's version must be 2012-10-17 or 2008-10-17, got %q", policy.Version)
	}
	if len(policy.Statement) == 0 {
		return nil, errors.New("the policy has no statement")
	}
	for _, statement := range policy.Statement {
		if statement.Effect != "Allow" && statement.Effect != "Deny" {
			return nil, fmt.Errorf("the policy's effect must be Allow or Deny, got %q", statement.Effect)
		}
		if len(statement.Action) == 0 {
			return nil, errors.New("the policy has a statement without an action")
		}
		for operator, keys := range statement.Condition {
			if _, err := parseOperator(operator); err != nil {
				return nil, err
			}
			for key, values := range keys {
				if slices.ContainsFunc(values, hasVariable) {
					return nil, fmt.Errorf("the sandbox does not evaluate policy variables: %s %s", operator, key)
				}
			}
		}
	}
	return &policy, nil
}

func hasVariable(value string) bool { return strings.Contains(value, "${") }

// Request is a request that a policy is evaluated against.
type Request struct {
	// Action is the action's name, such as sts:AssumeRoleWithWebIdentity.
	Action string
	// Principals are all names of the caller by kind. A web identity has the provider's ARN (kind Federated). Other callers
	// have the ARNs of the session, its role or user, and its account, and the account's ID (kind AWS).
	Principals map[string][]string
	// Resource is an ARN, or * if the action has no resource.
	Resource string
	// Context is the request context: condition keys and their values. Keys are not case-sensitive.
	Context map[string][]string
}

// Decision is the result of evaluating a policy.
type Decision int

// The decisions. A request that no statement matches is denied in the end, unless another policy allows it.
const (
	NoMatch Decision = iota
	Allowed
	Denied
)

// Evaluate returns Denied if a statement denies the request, otherwise Allowed if a statement allows it, otherwise NoMatch.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html.
func (p *Policy) Evaluate(request Request) Decision {
	decision := NoMatch
	for _, statement := range p.Statement {
		if !statement.matches(request) {
			continue
		}
		if statement.Effect == "Deny" {
			return Denied
		}
		decision = Allowed
	}
	return decision
}

func (s Statement) matches(request Request) bool {
	action := slices.ContainsFunc(s.Action, func(pattern string) bool {
		return like(strings.ToLower(pattern), strings.ToLower(request.Action))
	})
	if !action {
		return false
	}
	if s.Principal != nil && !s.Principal.include(request.Principals) {
		return false
	}
	if len(s.Resource) > 0 && !slices.ContainsFunc(s.Resource, func(pattern string) bool { return like(pattern, request.Resource) }) {
		return false
	}
	for operator, keys := range s.Condition {
		parsed, err := parseOperator(operator)
		if err != nil {
			return false
		}
		for key, want := range keys {
			values, found := lookUp(request.Context, key)
			if !parsed.holds(want, values, found) {
				return false
			}
		}
	}
	return true
}

// include compares names exactly: the only wildcard that IAM allows in a principal is * as the whole name.
func (p principals) include(names map[string][]string) bool {
	for kind, values := range p {
		for _, want := range values {
			if want == "*" || slices.Contains(names[kind], want) {
				return true
			}
		}
	}
	return false
}

func lookUp(context map[string][]string, key string) ([]string, bool) {
	for name, values := range context {
		if strings.EqualFold(name, key) {
			return values, true
		}
	}
	return nil, false
}

// like reports whether text matches a pattern, in which * is any number of characters and ? is exactly one.
func like(pattern, text string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			for i := 0; i <= len(text); i++ {
				if like(pattern[1:], text[i:]) {
					return true
				}
			}
			return false
		case '?':
			if text == "" {
				return false
			}
		default:
			if text == "" || text[0] != pattern[0] {
				return false
			}
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}
