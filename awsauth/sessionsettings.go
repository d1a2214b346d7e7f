package awsauth

import (
	"bytes"
	"encoding/json"
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
	// MinDuration and MaxDuration limit a session's duration. A role's own maximum may be lower.
	MinDuration = 900 * time.Second
	MaxDuration = 43200 * time.Second
	// MaxChainedDuration limits sessions that are obtained with temporary credentials, those of a
	// role, a web identity, or a temporary access key.
	MaxChainedDuration = 3600 * time.Second
	// MaxManagedPolicies is how many managed policies can restrict a session.
	MaxManagedPolicies = 10
	// MaxTags is how many tags a session can have.
	MaxTags = 50
)

// SessionSettings are the settings of the session whose credentials are exported. The zero value means AWS's defaults.
type SessionSettings struct {
	// Duration is the session's duration. If zero, AWS's default applies, which is one hour.
	Duration time.Duration
	// Policy and ManagedPolicies restrict what the session can do.
	Policy          SessionPolicy
	ManagedPolicies []PolicyARN
}

// seconds returns the duration as a parameter of a call.
func (s SessionSettings) seconds() *int32 { return optional(int32(s.Duration.Seconds())) }

// optional returns a parameter of a call, which is omitted if it is the zero value.
func optional[T comparable](parameter T) *T {
	if parameter == *new(T) {
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

// SessionPolicy is an inline session policy: JSON of at most 2048 characters, not counting insignificant whitespace.
type SessionPolicy struct{ document string }

// ParseSessionPolicy compacts a policy's JSON. Only AWS can check whether the policy is valid.
func ParseSessionPolicy(s string) (SessionPolicy, error) {
	var document bytes.Buffer
	if err := json.Compact(&document, []byte(s)); err != nil {
		return SessionPolicy{}, fmt.Errorf("must be a policy in JSON: %w", err)
	}
	if n := utf8.RuneCount(document.Bytes()); n > 2048 {
		return SessionPolicy{}, fmt.Errorf("must have at most 2048 characters without whitespace, got %d", n)
	}
	return SessionPolicy{document: document.String()}, nil
}

var gapPattern = regexp.MustCompile(`[^:]//|""`)

// HasGap reports whether the policy has an empty path segment or an empty string. Either can be the result of a policy variable that
// Bitrise has replaced with nothing, but can also be intended because keys of S3 objects can have empty segments.
func (p SessionPolicy) HasGap() bool { return gapPattern.MatchString(p.document) }

// PolicyARN is the ARN of a managed policy, arn:PARTITION:iam::ACCOUNT:policy/NAME. ACCOUNT is "aws" for AWS's own.
type PolicyARN struct{ text string }

var policyPattern = regexp.MustCompile(`^arn:[a-z][a-z0-9-]*:iam::(\d{12}|aws|):policy/[!-~]+$`)

// ParsePolicyARN parses the ARN of a managed policy.
func ParsePolicyARN(s string) (PolicyARN, error) {
	if !policyPattern.MatchString(s) {
		return PolicyARN{}, fmt.Errorf("must be the ARN of a managed policy, such as arn:aws:iam::aws:policy/ReadOnlyAccess, got %q", s)
	}
	return PolicyARN{text: s}, nil
}

// ExternalID is a value that a role can require from its callers. It has 2 to 1224 characters.
type ExternalID struct{ text string }

// ParseExternalID parses an external ID.
func ParseExternalID(s string) (ExternalID, error) {
	if n := utf8.RuneCountInString(s); n < 2 || n > 1224 {
		return ExternalID{}, fmt.Errorf("must have 2 to 1224 characters, got %d", n)
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
	switch inKey, inValue := utf8.RuneCountInString(key), utf8.RuneCountInString(value); {
	case !found:
		return Tag{}, fmt.Errorf("must be key=value, got %q", s)
	case inKey < 1 || inKey > 128:
		return Tag{}, fmt.Errorf("must have a key of 1 to 128 characters, got %d in %q", inKey, s)
	case inValue > 256:
		return Tag{}, fmt.Errorf("must have a value of at most 256 characters, got %d for the key %q", inValue, key)
	case !tagPattern.MatchString(s):
		return Tag{}, fmt.Errorf("must contain only letters, digits, spaces, and _.:/=+-@, got %q", s)
	}
	return Tag{key: key, value: value}, nil
}
