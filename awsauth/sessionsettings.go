package awsauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// The limits of https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
const (
	// MinDuration and MaxDuration bound a session's duration. A role's own maximum may be lower.
	MinDuration = 900 * time.Second
	MaxDuration = 43200 * time.Second
	// MaxChainedDuration bounds the duration of a session that is obtained with temporary credentials:
	// another role's, a web identity's, or those of a temporary key.
	MaxChainedDuration = 3600 * time.Second
	// MaxManagedPolicies is how many managed policies can restrict a session.
	MaxManagedPolicies = 10
	// MaxTags is how many tags a session can have.
	MaxTags = 50

	maxPolicyCharacters = 2048
)

// SessionSettings shape the session whose credentials are exported. The zero value leaves everything to AWS.
type SessionSettings struct {
	// Duration is how long the session lasts; zero: AWS's default, an hour.
	Duration time.Duration
	// Policy and ManagedPolicies restrict what the session can do.
	Policy          SessionPolicy
	ManagedPolicies []PolicyARN
}

func (s SessionSettings) seconds() *int32 {
	if s.Duration == 0 {
		return nil
	}
	return aws.Int32(int32(s.Duration.Seconds()))
}

// optional returns a parameter of a call that is left out if it is empty.
func optional(parameter string) *string {
	if parameter == "" {
		return nil
	}
	return &parameter
}

func (s SessionSettings) managed() []types.PolicyDescriptorType {
	var all []types.PolicyDescriptorType
	for _, policy := range s.ManagedPolicies {
		all = append(all, types.PolicyDescriptorType{Arn: aws.String(policy.text)})
	}
	return all
}

// SessionPolicy is an inline session policy: a JSON object of at most 2048 characters without insignificant whitespace.
type SessionPolicy struct{ document string }

// ParseSessionPolicy compacts a policy's JSON. Only AWS can check whether the policy itself is valid.
func ParseSessionPolicy(s string) (SessionPolicy, error) {
	var document bytes.Buffer
	if err := json.Compact(&document, []byte(s)); err != nil {
		return SessionPolicy{}, fmt.Errorf("must be a policy in JSON: %w", err)
	}
	if document.Bytes()[0] != '{' {
		return SessionPolicy{}, errors.New(`must be a policy in JSON, such as {"Version":"2012-10-17","Statement":[…]}`)
	}
	if n := utf8.RuneCount(document.Bytes()); n > maxPolicyCharacters {
		return SessionPolicy{}, fmt.Errorf("must have at most %d characters without whitespace, got %d", maxPolicyCharacters, n)
	}
	return SessionPolicy{document: document.String()}, nil
}

var gapPattern = regexp.MustCompile(`[^:]//|""`)

// HasGap reports whether the policy has an empty path segment or an empty text, as a policy variable leaves that Bitrise has expanded to
// nothing. Both may be meant: the keys of S3 objects can have empty segments.
func (p SessionPolicy) HasGap() bool { return gapPattern.MatchString(p.document) }

// PolicyARN is the ARN of a managed policy, arn:PARTITION:iam::ACCOUNT:policy/NAME. ACCOUNT is "aws" for AWS's own.
type PolicyARN struct{ text string }

var policyPattern = regexp.MustCompile(`^arn:[a-z][a-z0-9-]*:iam::(\d{12}|aws|):policy/[!-~]+$`)

// ParsePolicyARN parses the ARN of a managed policy.
func ParsePolicyARN(s string) (PolicyARN, error) {
	if !policyPattern.MatchString(s) || strings.Contains(s, ",arn:") {
		return PolicyARN{}, fmt.Errorf("must be the ARN of a managed policy, such as arn:aws:iam::aws:policy/ReadOnlyAccess, got %q", s)
	}
	return PolicyARN{text: s}, nil
}

// ExternalID is a value that the owner of a role may require from those who assume it: 2 to 1224 characters.
type ExternalID struct{ text string }

var externalIDPattern = regexp.MustCompile(`^[\w+=,.@:/-]+$`)

// ParseExternalID parses an external ID.
func ParseExternalID(s string) (ExternalID, error) {
	if n := utf8.RuneCountInString(s); n < 2 || n > 1224 {
		return ExternalID{}, fmt.Errorf("must have 2 to 1224 characters, got %d", n)
	}
	if !externalIDPattern.MatchString(s) {
		return ExternalID{}, errors.New("must contain only letters, digits, and _+=,.@:/-")
	}
	return ExternalID{text: s}, nil
}

// Tag is a session tag.
type Tag struct{ key, value string }

var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// ParseTag parses a tag, KEY=VALUE. The value may be empty and may contain equals signs.
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html.
func ParseTag(s string) (Tag, error) {
	key, value, found := strings.Cut(s, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch n := utf8.RuneCountInString(key); {
	case !found:
		return Tag{}, fmt.Errorf("must be key=value, got %q", s)
	case n < 1 || n > 128:
		return Tag{}, fmt.Errorf("must have a key of 1 to 128 characters, got %d in %q", n, s)
	case utf8.RuneCountInString(value) > 256:
		return Tag{}, fmt.Errorf("must have a value of at most 256 characters, got %d for the key %q",
			utf8.RuneCountInString(value), key)
	case !tagPattern.MatchString(key) || !tagPattern.MatchString(value):
		return Tag{}, fmt.Errorf("must contain only letters, digits, spaces, and _.:/=+-@, got %q", s)
	}
	return Tag{key: key, value: value}, nil
}
