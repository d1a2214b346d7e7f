package step

import (
	"strconv"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
)

// session reads the inputs that shape the sessions. Those that would do nothing in this run are findings, because whoever
// set one relies on it.
func (p *inputParser) session(config *Config) {
	name, err := awsauth.ParseSessionName(strings.TrimSpace(p.in.SessionName))
	config.SessionName = parsed(p, "session_name", name, err)
	config.Chain = p.chain()
	config.ExternalID = p.externalID()
	config.Tags = p.tags()
	config.Settings = p.settings()
	config.AllowedAccounts = p.allowedAccounts()
	p.partitions(config)

	if len(config.Chain) == 0 {
		p.idle("external_id", p.in.ExternalID, "it goes with the roles of role_chain, which is empty")
		p.idle("session_tags", p.in.SessionTags, "they go with the roles of role_chain, which is empty; a web identity carries its tags in the token")
		if config.AccessKeys != nil {
			const keys = "it shapes a session, and an access key is exported as it is; give role_arn or role_chain"
			p.idle("session_duration", p.in.SessionDuration, keys)
			p.idle("inline_session_policy", p.in.InlineSessionPolicy, keys)
			p.idle("managed_session_policies", p.in.ManagedSessionPolicies, keys)
		}
	}
}

// idle reports an input that is given and would do nothing.
func (p *inputParser) idle(input, value, why string) {
	if strings.TrimSpace(value) != "" {
		p.report(input, "given, and it would do nothing: %s", why)
	}
}

// items splits a list at the separators. Blanks around an item and empty items are ignored.
func items(text, separators string) []string {
	var list []string
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

const (
	byLine        = "\r\n"
	byCommaOrLine = ",\r\n"
)

// list parses each item of a list, and reports those that are wrong. Of a list that is wrong altogether, the first ones
// tell as much as all would.
func list[T any](p *inputParser, input, text, separators string, parse func(string) (T, error)) []T {
	const mostReported = 10

	var values []T
	wrong := 0
	for _, item := range items(text, separators) {
		value, err := parse(item)
		if err == nil {
			values = append(values, value)
			continue
		}
		if wrong++; wrong <= mostReported {
			p.report(input, "%s", err)
		}
	}
	if wrong > mostReported {
		p.report(input, "and %d more that are wrong", wrong-mostReported)
	}
	return values
}

func (p *inputParser) chain() []awsauth.RoleARN {
	return list(p, "role_chain", p.in.RoleChain, byLine, awsauth.ParseRoleARN)
}

func (p *inputParser) externalID() awsauth.ExternalID {
	text := strings.TrimSpace(p.in.ExternalID)
	if text == "" {
		return awsauth.ExternalID{}
	}
	id, err := awsauth.ParseExternalID(text)
	return parsed(p, "external_id", id, err)
}

func (p *inputParser) tags() []awsauth.Tag {
	tags := list(p, "session_tags", p.in.SessionTags, byLine, awsauth.ParseTag)
	if n := len(items(p.in.SessionTags, byLine)); n > awsauth.MaxTags {
		p.report("session_tags", "at most %d tags wanted, %d found", awsauth.MaxTags, n)
	}
	seen := map[string]bool{}
	for _, tag := range tags {
		key := strings.ToLower(tag.Key())
		if seen[key] {
			p.report("session_tags", "the key %q stands there more than once; upper and lower case do not count", tag.Key())
		}
		seen[key] = true
	}
	return tags
}

func (p *inputParser) settings() awsauth.SessionSettings {
	settings := awsauth.SessionSettings{Duration: p.duration()}
	if text := strings.TrimSpace(p.in.InlineSessionPolicy); text != "" {
		policy, err := awsauth.ParseSessionPolicy(text)
		settings.Policy = parsed(p, "inline_session_policy", policy, err)
	}
	settings.ManagedPolicies = list(p, "managed_session_policies", p.in.ManagedSessionPolicies, byLine, awsauth.ParsePolicyARN)
	if n := len(items(p.in.ManagedSessionPolicies, byLine)); n > awsauth.MaxManagedPolicies {
		p.report("managed_session_policies", "at most %d policies wanted, %d found", awsauth.MaxManagedPolicies, n)
	}
	return settings
}

func (p *inputParser) duration() time.Duration {
	text := strings.TrimSpace(p.in.SessionDuration)
	if text == "" {
		return 0
	}
	seconds, err := strconv.Atoi(text)
	longest, why := awsauth.MaxDuration, ""
	if len(items(p.in.RoleChain, byLine)) > 0 {
		longest, why = awsauth.MaxChainedDuration, ", since AWS ends the sessions of a role_chain after an hour"
	}
	duration := time.Duration(seconds) * time.Second
	// The bound on seconds keeps the multiplication above from overflowing unseen.
	if err != nil || seconds < 0 || seconds > 1_000_000 || duration < awsauth.MinDuration || duration > longest {
		p.report("session_duration", "a whole number of seconds from %d to %d wanted%s, %q found", int(awsauth.MinDuration.Seconds()), int(longest.Seconds()), why, text)
		return 0
	}
	return duration
}

func (p *inputParser) allowedAccounts() []awsid.AccountID {
	return list(p, "allowed_account_ids", p.in.AllowedAccountIDs, byCommaOrLine, awsid.ParseAccountID)
}

// partitions checks that all that is named is in the partition of the Region: credentials of one partition mean nothing in
// another. Services that only speak STS's protocol have partitions of their own, and any Region.
func (p *inputParser) partitions(config *Config) {
	if config.Region.String() == "" {
		return
	}
	home := config.Region.Partition().Name
	check := func(input, arn, partition string) {
		if awsauth.IsAWSPartition(partition) && partition != home {
			p.report(input, "%s is in the partition %s, and the Region %s (input region) in %s; both have to be in the same", arn, partition, config.Region, home)
		}
	}
	if config.WebIdentity != nil && config.WebIdentity.Role.String() != "" {
		check("role_arn", config.WebIdentity.Role.String(), config.WebIdentity.Role.Partition())
	}
	for _, role := range config.Chain {
		check("role_chain", role.String(), role.Partition())
	}
	for _, policy := range config.Settings.ManagedPolicies {
		check("managed_session_policies", policy.String(), policy.Partition())
	}
}
