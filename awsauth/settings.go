package awsauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
)

// The limits of https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
const (
	// MinDuration is the shortest that a session can be.
	MinDuration = 900 * time.Second
	// MaxDuration is the longest; what a role allows may be less.
	MaxDuration = 43200 * time.Second
	// MaxChainedDuration bounds the duration of a session that is made from another role's session.
	MaxChainedDuration = 3600 * time.Second

	maxPolicyCharacters = 2048
	// MaxManagedPolicies is how many managed policies may narrow a session.
	MaxManagedPolicies = 10
	// MaxTags is how many tags a session may have.
	MaxTags = 50
)

// SessionSettings shape one session: that which is exported. The zero value leaves everything to AWS.
type SessionSettings struct {
	// Duration is how long the session lives; zero: AWS's default, an hour.
	Duration time.Duration
	// Policy and ManagedPolicies narrow what the session may do.
	Policy          SessionPolicy
	ManagedPolicies []PolicyARN
}

func (s SessionSettings) seconds() *int32 {
	if s.Duration == 0 {
		return nil
	}
	return aws.Int32(int32(s.Duration.Seconds()))
}

func (s SessionSettings) policy() *string {
	if s.Policy.document == "" {
		return nil
	}
	return aws.String(s.Policy.document)
}

func (s SessionSettings) managed() []types.PolicyDescriptorType {
	var all []types.PolicyDescriptorType
	for _, policy := range s.ManagedPolicies {
		all = append(all, types.PolicyDescriptorType{Arn: aws.String(policy.text)})
	}
	return all
}

// SessionPolicy is an inline session policy: a JSON object of at most 2048 characters.
type SessionPolicy struct{ document string }

// ParseSessionPolicy takes a policy's JSON. Whether it is a policy is for AWS to say, which knows all elements.
func ParseSessionPolicy(s string) (SessionPolicy, error) {
	var object map[string]any
	if err := json.Unmarshal([]byte(s), &object); err != nil || object == nil {
		return SessionPolicy{}, fmt.Errorf("a policy in JSON wanted, such as {\"Version\":\"2012-10-17\",\"Statement\":[…]}; this is no JSON object%s", position(err))
	}
	if n := utf8.RuneCountInString(s); n > maxPolicyCharacters {
		return SessionPolicy{}, fmt.Errorf("at most %d characters wanted, %d found", maxPolicyCharacters, n)
	}
	return SessionPolicy{document: s}, nil
}

// position says where JSON stops being JSON, where that is known.
func position(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf(" (%s, at character %d)", syntax, syntax.Offset)
	}
	return ""
}

// PolicyARN is the ARN of a managed policy, arn:PARTITION:iam::ACCOUNT:policy/NAME, ACCOUNT being aws for AWS's own.
type PolicyARN struct{ text, partition string }

// ParsePolicyARN takes the ARN of a managed policy.
func ParsePolicyARN(s string) (PolicyARN, error) {
	match := regexp.MustCompile(`^arn:([a-z][a-z0-9-]*):iam::(\d{12}|aws|):policy/[!-~]{1,640}$`).FindStringSubmatch(s)
	if match == nil || strings.Contains(s, ",arn:") {
		return PolicyARN{}, fmt.Errorf("the ARN of a managed policy wanted, such as arn:aws:iam::aws:policy/ReadOnlyAccess, %q found", text.Shorten(s))
	}
	return PolicyARN{text: s, partition: match[1]}, nil
}

// String returns the ARN.
func (p PolicyARN) String() string { return p.text }

// Partition returns the ARN's partition.
func (p PolicyARN) Partition() string { return p.partition }

// ExternalID is what a role's trust policy may ask for, agreed between two accounts: 2 to 1224 characters.
type ExternalID struct{ text string }

// ParseExternalID takes an external ID.
func ParseExternalID(s string) (ExternalID, error) {
	if n := utf8.RuneCountInString(s); n < 2 || n > 1224 {
		return ExternalID{}, fmt.Errorf("2 to 1224 characters wanted, %d found", n)
	}
	if !regexp.MustCompile(`^[\w+=,.@:/-]+$`).MatchString(s) {
		return ExternalID{}, errors.New("letters, digits and _+=,.@:/- wanted; something else is in it")
	}
	return ExternalID{text: s}, nil
}

// Tag is a session tag.
type Tag struct{ key, value string }

// ParseTag takes a tag as KEY=VALUE. The value may be empty and may hold further signs of equality.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html.
func ParseTag(s string) (Tag, error) {
	key, value, found := strings.Cut(s, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	allowed := regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	switch n := utf8.RuneCountInString(key); {
	case !found:
		return Tag{}, fmt.Errorf("key=value wanted, %q found", text.Shorten(s))
	case n < 1 || n > 128:
		return Tag{}, fmt.Errorf("a key of 1 to 128 characters wanted, one of %d found in %q", n, text.Shorten(s))
	case utf8.RuneCountInString(value) > 256:
		return Tag{}, fmt.Errorf("a value of at most 256 characters wanted, one of %d found for the key %q", utf8.RuneCountInString(value), text.Shorten(key))
	case !allowed.MatchString(key) || !allowed.MatchString(value):
		return Tag{}, fmt.Errorf("letters, digits, blanks and _.:/=+-@ wanted; something else is in %q", text.Shorten(s))
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return Tag{}, fmt.Errorf("keys that start with aws: are AWS's own, %q found", text.Shorten(key))
	}
	return Tag{key: key, value: value}, nil
}

// Key returns the tag's key. AWS takes keys that differ in case only for the same.
func (t Tag) Key() string { return t.key }
