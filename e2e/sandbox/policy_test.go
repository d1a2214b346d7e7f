package sandbox_test

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// statement makes a policy of one statement for sts:AssumeRole with a condition.
func statement(effect, condition string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Principal":{"AWS":"arn:aws:iam::123456789012:user/ci"},"Action":"sts:Assume*","Condition":` + condition + `}}`
}

func TestConditions(t *testing.T) {
	context := map[string][]string{"idp:Aud": {"sts"}, "idp:groups": {"a", "b"}, "idp:ref": {"refs/heads/main"}}
	for condition, want := range map[string]sandbox.Decision{
		`{}`:                                               sandbox.Allowed,
		`{"StringEquals":{"idp:aud":"sts"}}`:               sandbox.Allowed, // keys are compared without regard to case
		`{"StringEquals":{"idp:aud":"STS"}}`:               sandbox.Unspoken,
		`{"StringEquals":{"idp:aud":["x","sts"]}}`:         sandbox.Allowed,
		`{"StringEquals":{"idp:aud":"sts","idp:ref":"x"}}`: sandbox.Unspoken, // all keys have to hold
		`{"StringEquals":{"idp:aud":"sts"},"StringLike":{"idp:ref":"x"}}`: sandbox.Unspoken, // and all operators
		`{"StringEquals":{"idp:missing":"x"}}`:                            sandbox.Unspoken,
		`{"StringEqualsIfExists":{"idp:missing":"x"}}`:                    sandbox.Allowed,
		`{"StringNotEquals":{"idp:missing":"x"}}`:                         sandbox.Allowed,
		`{"StringNotEquals":{"idp:aud":"sts"}}`:                           sandbox.Unspoken,
		`{"StringEqualsIgnoreCase":{"idp:aud":"STS"}}`:                    sandbox.Allowed,
		`{"StringLike":{"idp:ref":"refs/heads/*"}}`:                       sandbox.Allowed,
		`{"StringLike":{"idp:ref":"refs/*/mai?"}}`:                        sandbox.Allowed,
		`{"StringLike":{"idp:ref":"heads/*"}}`:                            sandbox.Unspoken,
		`{"StringEquals":{"idp:ref":"refs/heads/*"}}`:                     sandbox.Unspoken,
		`{"StringNotLike":{"idp:ref":"refs/tags/*"}}`:                     sandbox.Allowed,
		`{"StringEquals":{"idp:groups":"a"}}`:                             sandbox.Unspoken, // several values need a prefix
		`{"ForAnyValue:StringEquals":{"idp:groups":"b"}}`:                 sandbox.Allowed,
		`{"ForAnyValue:StringLike":{"idp:groups":"c*"}}`:                  sandbox.Unspoken,
		`{"ForAnyValue:StringEquals":{"idp:missing":"b"}}`:                sandbox.Unspoken,
		`{"ForAllValues:StringEquals":{"idp:groups":["a","b"]}}`:          sandbox.Allowed,
		`{"ForAllValues:StringEquals":{"idp:groups":"a"}}`:                sandbox.Unspoken,
		`{"ForAllValues:StringEquals":{"idp:missing":"a"}}`:               sandbox.Allowed,
		`{"Null":{"idp:missing":true}}`:                                   sandbox.Allowed,
		`{"Null":{"idp:aud":"true"}}`:                                     sandbox.Unspoken,
	} {
		policy, err := sandbox.ParsePolicy([]byte(statement("Allow", condition)))
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		request := sandbox.Request{Action: "sts:AssumeRole", Principals: map[string][]string{"AWS": {"arn:aws:iam::123456789012:user/ci"}}, Context: context}
		if got := policy.Evaluate(request); got != want {
			t.Errorf("%s: decision %d, want %d", condition, got, want)
		}
	}
}

func TestDenyPrincipalsActionsAndResources(t *testing.T) {
	request := sandbox.Request{Action: "sts:AssumeRole", Resource: "arn:x:role/a", Principals: map[string][]string{"AWS": {"arn:session", "123456789012"}}}
	for policy, want := range map[string]sandbox.Decision{
		`[{"Effect":"Allow","Action":"*"},{"Effect":"Deny","Action":"sts:AssumeRole"}]`: sandbox.Denied,
		`[{"Effect":"Deny","Action":"s3:*"},{"Effect":"Allow","Action":"sts:*"}]`:       sandbox.Allowed,
		`{"Effect":"Allow","Action":"STS:assumerole"}`:                                  sandbox.Allowed,
		`{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity"}`:                   sandbox.Unspoken,
		`{"Effect":"Allow","Principal":"*","Action":"*"}`:                               sandbox.Allowed,
		`{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"*"}`:            sandbox.Allowed,
		`{"Effect":"Allow","Principal":{"AWS":"arn:sess*"},"Action":"*"}`:               sandbox.Unspoken, // no wildcards in principals
		`{"Effect":"Allow","Principal":{"Federated":"arn:session"},"Action":"*"}`:       sandbox.Unspoken,
		`{"Effect":"Allow","Action":"*","Resource":["arn:x:role/b","arn:x:role/*"]}`:    sandbox.Allowed,
		`{"Effect":"Allow","Action":"*","Resource":"arn:x:role/b"}`:                     sandbox.Unspoken,
	} {
		parsed, err := sandbox.ParsePolicy([]byte(`{"Version":"2012-10-17","Statement":` + policy + `}`))
		if err != nil {
			t.Errorf("%s: %v", policy, err)
			continue
		}
		if got := parsed.Evaluate(request); got != want {
			t.Errorf("%s: decision %d, want %d", policy, got, want)
		}
	}
}

func TestMalformedPolicies(t *testing.T) {
	for policy, want := range map[string]string{
		`{`: "not valid JSON", `{"Version":"2012-10-17"}`: "no statement", `{"Statement":[]}`: "version", `[]`: "malformed",
		`{"Version":"2012-10-17","Statement":{"Effect":"allow","Action":"*"}}`:                                       "effect",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow"}}`:                                                    "without an action",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Conditions":{}}}`:                       "malformed",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Condition":{"StringEqual":{"a":"b"}}}}`: "condition operator",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":7}}`:                                         "malformed",
	} {
		if _, err := sandbox.ParsePolicy([]byte(policy)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", policy, err, want)
		}
	}
}
