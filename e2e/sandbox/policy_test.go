package sandbox_test

import (
	"strings"
	"testing"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/e2e/sandbox"
)

// statement returns a policy with one statement for sts:AssumeRole and a condition.
func statement(condition string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow` +
		`","Principal":{"AWS":"arn:aws:iam::123456789012:user/ci"},"Action":"sts:Assume*","Condition":` + condition + `}}`
}

func TestConditions(t *testing.T) {
	context := map[string][]string{"idp:Aud": {"sts"}, "idp:groups": {"a", "b"}, "idp:ref": {"refs/heads/main"}}
	for condition, want := range map[string]sandbox.Decision{
		`{}`:                                               sandbox.Allowed,
		`{"StringEquals":{"idp:aud":"sts"}}`:               sandbox.Allowed, // keys are not case-sensitive
		`{"StringEquals":{"idp:aud":"STS"}}`:               sandbox.NoMatch, // values are
		`{"StringEquals":{"idp:aud":["x","sts"]}}`:         sandbox.Allowed,
		`{"StringEquals":{"idp:aud":"sts","idp:ref":"x"}}`: sandbox.NoMatch, // all keys must match
		`{"StringEquals":{"idp:aud":"sts"},"StringLike":{"idp:ref":"x"}}`: sandbox.NoMatch, // and all operators
		`{"StringEqualsIgnoreCase":{"idp:aud":"STS"}}`:                    sandbox.Allowed,
		`{"StringNotEquals":{"idp:aud":"sts"}}`:                           sandbox.NoMatch,
		`{"StringLike":{"idp:ref":"refs/heads/*"}}`:                       sandbox.Allowed,
		`{"StringLike":{"idp:ref":"refs/*/mai?"}}`:                        sandbox.Allowed,
		`{"StringLike":{"idp:ref":"heads/*"}}`:                            sandbox.NoMatch,
		`{"StringLike":{"idp:ref":"refs/heads"}}`:                         sandbox.NoMatch, // a pattern matches the whole value
		`{"StringLike":{"idp:ref":"refs/heads/main?"}}`:                   sandbox.NoMatch, // ? is exactly one character
		`{"StringLike":{"idp:ref":"refs/heads/main*"}}`:                   sandbox.Allowed, // * can be empty
		`{"StringEquals":{"idp:ref":"refs/heads/*"}}`:                     sandbox.NoMatch,
		`{"StringNotLike":{"idp:ref":"refs/tags/*"}}`:                     sandbox.Allowed,

		// A key that is missing from the request context.
		`{"StringEquals":{"idp:missing":"x"}}`:                               sandbox.NoMatch,
		`{"StringLike":{"idp:missing":"*"}}`:                                 sandbox.NoMatch,
		`{"StringNotEquals":{"idp:missing":"x"}}`:                            sandbox.Allowed,
		`{"StringNotLike":{"idp:missing":"*"}}`:                              sandbox.Allowed,
		`{"StringEqualsIfExists":{"idp:missing":"x"}}`:                       sandbox.Allowed,
		`{"StringEqualsIgnoreCaseIfExists":{"idp:missing":"x"}}`:             sandbox.Allowed,
		`{"StringLikeIfExists":{"idp:missing":"x*"}}`:                        sandbox.Allowed,
		`{"StringNotEqualsIfExists":{"idp:missing":"x"}}`:                    sandbox.Allowed,
		`{"StringEqualsIfExists":{"idp:missing":"x","idp:aud":"x"}}`:         sandbox.NoMatch,
		`{"ForAnyValue:StringEqualsIfExists":{"idp:missing":"x"}}`:           sandbox.Allowed,
		`{"ForAllValues:StringEqualsIfExists":{"idp:missing":["x", "sts"]}}`: sandbox.Allowed,

		// IfExists makes no difference if the key is there.
		`{"StringEqualsIfExists":{"idp:aud":"sts"}}`:              sandbox.Allowed,
		`{"StringEqualsIfExists":{"idp:aud":"x"}}`:                sandbox.NoMatch,
		`{"StringLikeIfExists":{"idp:ref":"refs/*"}}`:             sandbox.Allowed,
		`{"StringLikeIfExists":{"idp:ref":"refs/tags/*"}}`:        sandbox.NoMatch,
		`{"StringNotEqualsIfExists":{"idp:aud":"sts"}}`:           sandbox.NoMatch,
		`{"StringEqualsIgnoreCaseIfExists":{"idp:aud":"STS"}}`:    sandbox.Allowed,
		`{"ForAnyValue:StringLikeIfExists":{"idp:groups":"c*"}}`:  sandbox.NoMatch,
		`{"ForAllValues:StringLikeIfExists":{"idp:groups":"?"}}`:  sandbox.Allowed,
		`{"ForAllValues:StringLikeIfExists":{"idp:groups":"??"}}`: sandbox.NoMatch,

		// Keys with several values.
		`{"StringEquals":{"idp:groups":"a"}}`:                    sandbox.NoMatch, // need a set qualifier
		`{"ForAnyValue:StringEquals":{"idp:groups":"b"}}`:        sandbox.Allowed,
		`{"ForAnyValue:StringLike":{"idp:groups":"c*"}}`:         sandbox.NoMatch,
		`{"ForAnyValue:StringEquals":{"idp:missing":"b"}}`:       sandbox.NoMatch,
		`{"ForAllValues:StringEquals":{"idp:groups":["a","b"]}}`: sandbox.Allowed,
		`{"ForAllValues:StringEquals":{"idp:groups":"a"}}`:       sandbox.NoMatch,
		`{"ForAllValues:StringEquals":{"idp:missing":"a"}}`:      sandbox.Allowed,

		`{"Null":{"idp:missing":true}}`: sandbox.Allowed,
		`{"Null":{"idp:aud":"true"}}`:   sandbox.NoMatch,
		`{"Null":{"idp:aud":"false"}}`:  sandbox.Allowed,
	} {
		t.Run(condition, func(t *testing.T) {
			policy, err := sandbox.ParsePolicy([]byte(statement(condition)))
			if err != nil {
				t.Fatal(err)
			}
			request := sandbox.Request{
				Action: "sts:AssumeRole", Principals: map[string][]string{"AWS": {"arn:aws:iam::123456789012:user/ci"}}, Context: context,
			}
			if got := policy.Evaluate(request); got != want {
				t.Errorf("decision %d, want %d", got, want)
			}
		})
	}
}

func TestStatements(t *testing.T) {
	request := sandbox.Request{
		Action: "sts:AssumeRole", Resource: "arn:x:role/a", Principals: map[string][]string{"AWS": {"arn:session", "123456789012"}},
	}
	for policy, want := range map[string]sandbox.Decision{
		`[{"Effect":"Allow","Action":"*"},{"Effect":"Deny","Action":"sts:AssumeRole"}]`: sandbox.Denied,
		`[{"Effect":"Deny","Action":"s3:*"},{"Effect":"Allow","Action":"sts:*"}]`:       sandbox.Allowed,
		`{"Effect":"Allow","Action":"STS:assumerole"}`:                                  sandbox.Allowed,
		`{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity"}`:                   sandbox.NoMatch,
		`{"Effect":"Allow","Principal":"*","Action":"*"}`:                               sandbox.Allowed,
		`{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"*"}`:            sandbox.Allowed,
		`{"Effect":"Allow","Principal":{"AWS":"arn:sess*"},"Action":"*"}`:               sandbox.NoMatch, // principals have no wildcards
		`{"Effect":"Allow","Principal":{"Federated":"arn:session"},"Action":"*"}`:       sandbox.NoMatch,
		`{"Effect":"Allow","Action":"*","Resource":["arn:x:role/b","arn:x:role/*"]}`:    sandbox.Allowed,
		`{"Effect":"Allow","Action":"*","Resource":"arn:x:role/b"}`:                     sandbox.NoMatch,
	} {
		t.Run(policy, func(t *testing.T) {
			parsed, err := sandbox.ParsePolicy([]byte(`{"Version":"2012-10-17","Statement":` + policy + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := parsed.Evaluate(request); got != want {
				t.Errorf("decision %d, want %d", got, want)
			}
		})
	}
}

func TestMalformedPolicies(t *testing.T) {
	for policy, want := range map[string]string{
		`{`:                        "not valid JSON",
		`{"Version":"2012-10-17"}`: "no statement",
		`{"Statement":[]}`:         "version",
		`[]`:                       "malformed",
		`{"Version":"2012-10-17","Statement":{"Effect":"allow","Action":"*"}}`:                 "must be Allow or Deny",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow"}}`:                              "without an action",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Conditions":{}}}`: "malformed",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":7}}`:                   "malformed",
		statement(`{"StringEqual":{"a":"b"}}`):                                                 "condition operator",
		statement(`{"NullIfExists":{"a":"true"}}`):                                             "does not combine with Null",
		statement(`{"StringEquals":{"a":["b","${aws:username}"]}}`):                            "policy variables: StringEquals a",
	} {
		t.Run(policy, func(t *testing.T) {
			if _, err := sandbox.ParsePolicy([]byte(policy)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}
