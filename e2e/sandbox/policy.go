package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Policy is an IAM policy document, with or without principals.
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
	// principals is "*" or lists by kind: Federated, AWS, Service.
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
		return fmt.Errorf("a string or a list of strings wanted, %s found", data)
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

// ParsePolicy reads a policy document. Fields, effects and condition operators that IAM does not have are errors.
func ParsePolicy(document []byte) (*Policy, error) {
	if !json.Valid(document) {
		return nil, errors.New("the policy is not valid JSON")
	}
	var policy Policy
	if err := strict(document, &policy); err != nil {
		return nil, fmt.Errorf("the policy is malformed: %w", err)
	}
	if policy.Version != "2012-10-17" && policy.Version != "2008-10-17" {
		return nil, fmt.Errorf("the policy's version is %q", policy.Version)
	}
	if len(policy.Statement) == 0 {
		return nil, errors.New("the policy has no statement")
	}
	for _, statement := range policy.Statement {
		if statement.Effect != "Allow" && statement.Effect != "Deny" {
			return nil, fmt.Errorf("the policy has the effect %q", statement.Effect)
		}
		if len(statement.Action) == 0 {
			return nil, errors.New("the policy has a statement without an action")
		}
		for operator := range statement.Condition {
			if _, err := parseOperator(operator); err != nil {
				return nil, err
			}
		}
	}
	return &policy, nil
}

// Request is what a policy is evaluated for.
type Request struct {
	// Action is such as sts:AssumeRoleWithWebIdentity.
	Action string
	// Principals are all names of who asks: for a web identity the provider's ARN (kind Federated), for others the ARNs of the
	// session, of its role or user, of its account, and the account's ID (kind AWS).
	Principals map[string][]string
	// Resource is an ARN; * where the action has none.
	Resource string
	// Context are the condition keys and their values. Keys are compared without regard to case.
	Context map[string][]string
}

// Decision is what a policy says to a request.
type Decision int

// The decisions. What no statement speaks of is denied in the end, but another policy may allow it.
const (
	Unspoken Decision = iota
	Allowed
	Denied
)

// Evaluate returns Denied if a statement denies the request, else Allowed if one allows it, else Unspoken.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html.
func (p *Policy) Evaluate(request Request) Decision {
	decision := Unspoken
	for _, statement := range p.Statement {
		if !statement.speaksOf(request) {
			continue
		}
		if statement.Effect == "Deny" {
			return Denied
		}
		decision = Allowed
	}
	return decision
}

func (s Statement) speaksOf(request Request) bool {
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
		for key, wanted := range keys {
			values, found := lookUp(request.Context, key)
			if !parsed.holds(wanted, values, found) {
				return false
			}
		}
	}
	return true
}

// include compares names letter by letter: IAM knows no wildcards in principals but * alone.
func (p principals) include(names map[string][]string) bool {
	for kind, wanted := range p {
		for _, want := range wanted {
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

// like matches a pattern with * and ?.
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
