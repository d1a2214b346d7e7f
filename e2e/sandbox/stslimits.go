package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// constraint is a limit on a parameter, from
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html and API_AssumeRoleWithWebIdentity.html.
type constraint struct {
	parameter, member string
	min, max          int
	pattern           string
	required          bool
}

func constraints(action string) []constraint {
	list := []constraint{
		{"RoleArn", "roleArn", 20, 2048, `[\x{9}\x{A}\x{D}\x{20}-\x{7E}\x{85}\x{A0}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]+`, true},
		{"RoleSessionName", "roleSessionName", 2, 64, `[\w+=,.@-]*`, true},
		{"Policy", "policy", 1, 2048, "", false},
	}
	if action == "AssumeRoleWithWebIdentity" {
		return append(list, constraint{"WebIdentityToken", "webIdentityToken", 4, 20000, "", true})
	}
	return append(list, constraint{"ExternalId", "externalId", 2, 1224, `[\w+=,.@:\/-]*`, false})
}

// validate checks the parameters of a call against STS's limits and reports all violations in one error, as STS does.
func validate(form url.Values) *apiError {
	var findings []string
	report := func(value, member, rule string) {
		findings = append(findings, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", value, member, rule))
	}
	for _, c := range constraints(form.Get("Action")) {
		value := form.Get(c.parameter)
		if !form.Has(c.parameter) {
			if c.required {
				findings = append(findings, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", c.member))
			}
			continue
		}
		shown := value
		if c.parameter == "WebIdentityToken" {
			shown = "***"
		}
		switch n := utf8.RuneCountInString(value); {
		case n < c.min:
			report(shown, c.member, fmt.Sprintf("Member must have length greater than or equal to %d", c.min))
		case n > c.max:
			report(shown, c.member, fmt.Sprintf("Member must have length less than or equal to %d", c.max))
		}
		if c.pattern != "" && !regexp.MustCompile("^("+c.pattern+")$").MatchString(value) {
			report(shown, c.member, "Member must satisfy regular expression pattern: "+c.pattern)
		}
	}
	findings = append(findings, validateDuration(form)...)
	findings = append(findings, validateMembers(form)...)
	switch n := len(findings); n {
	case 0:
		return nil
	case 1:
		return newError(http.StatusBadRequest, "ValidationError", "1 validation error detected: %s", findings[0])
	default:
		return newError(http.StatusBadRequest, "ValidationError", "%d validation errors detected: %s", n, strings.Join(findings, "; "))
	}
}

func validateDuration(form url.Values) []string {
	if !form.Has("DurationSeconds") {
		return nil
	}
	value := form.Get("DurationSeconds")
	const format = "Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value %s"
	switch seconds, err := strconv.Atoi(value); {
	case err != nil || seconds < 900:
		return []string{fmt.Sprintf(format, value, "greater than or equal to 900")}
	case seconds > 43200:
		return []string{fmt.Sprintf(format, value, "less than or equal to 43200")}
	}
	return nil
}

// validateMembers checks the lists: at most 10 policy ARNs, at most 50 tags, and the limits on tags.
func validateMembers(form url.Values) []string {
	var findings []string
	arns, tagCount := 0, 0
	for _, field := range sortedKeys(form) {
		value := form.Get(field)
		switch {
		case strings.HasPrefix(field, "PolicyArns.member.") && strings.HasSuffix(field, ".arn"):
			arns++
		case strings.HasPrefix(field, "Tags.member.") && strings.HasSuffix(field, ".Key"):
			tagCount++
			if n := utf8.RuneCountInString(value); n < 1 || n > 128 {
				findings = append(findings, fmt.Sprintf(
					"Value '%s' at 'tags.%d.member.key' failed to satisfy constraint: Member must have length less than or equal to 128",
					value, tagCount))
			}
		case strings.HasPrefix(field, "Tags.member.") && strings.HasSuffix(field, ".Value"):
			if utf8.RuneCountInString(value) > 256 {
				findings = append(findings, fmt.Sprintf(
					"Value '%s' at 'tags.member.value' failed to satisfy constraint: Member must have length less than or equal to 256", value))
			}
		}
	}
	if arns > 10 {
		findings = append(findings, "Value at 'policyArns' failed to satisfy constraint: Member must have length less than or equal to 10")
	}
	if tagCount > 50 {
		findings = append(findings, "Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50")
	}
	return findings
}

// duration returns the duration of the session: the requested one, or one hour, within the role's maximum. With role chaining,
// the limit is one hour.
func duration(form url.Values, role *Role, chained bool) (time.Duration, *apiError) {
	const hour = 3600

	seconds := hour
	if form.Has("DurationSeconds") {
		seconds, _ = strconv.Atoi(form.Get("DurationSeconds"))
	}
	if chained && seconds > hour {
		return 0, newError(http.StatusBadRequest, "ValidationError",
			"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	longest := role.MaxSessionDuration
	if longest == 0 {
		longest = hour
	}
	if seconds > longest {
		return 0, newError(http.StatusBadRequest, "ValidationError",
			"The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return time.Duration(seconds) * time.Second, nil
}
