package step

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// What empty inputs mean. step.yml has the same defaults; an input that a user empties gets them too.
const (
	// defaultAudience is the audience of AWS's commercial partition in its documentation,
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html.
	defaultAudience = "sts.amazonaws.com"
	defaultTimeout  = 180 * time.Second
)

// InputError lists everything that is wrong with the inputs.
type InputError struct{ Problems []Problem }

// Problem is one thing that is wrong: with which input, or inputs, and what is right.
type Problem struct{ Input, Text string }

func (p Problem) String() string { return p.Input + ": " + p.Text }

// Error lists all problems, one per line.
func (e *InputError) Error() string {
	var lines []string
	for _, problem := range e.Problems {
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}

// inputParser collects problems while it turns inputs into a Config.
type inputParser struct {
	in       Inputs
	now      time.Time
	problems []Problem
}

// ParseInputs turns the inputs into a Config, or returns an [*InputError] with every problem. now is the time, for the expiry of an
// existing token.
func ParseInputs(in Inputs, now time.Time) (Config, error) {
	p := &inputParser{in: in, now: now}
	p.choice("action", in.Action, "login", "logout")
	config := Config{IsLogout: in.Action == "logout", Timeout: p.timeout(), Verbose: in.Verbose == "true"}
	p.choice("verbose", in.Verbose, "true", "false")
	if config.IsLogout {
		p.logout(&config)
	} else {
		config.Region = parsed(p, "region", p.in.Region, awsid.ParseRegion)
		config.Profile = optional(p, "aws_profile", p.in.AWSProfile, profile.ParseName)
		config.DockerLogin = in.DockerLogin == "true"
		p.choice("docker_login", in.DockerLogin, "true", "false")
		p.source(&config)
		p.session(&config)
		config.Registries = p.registries(config.Region)
		if !config.DockerLogin {
			p.unused("ecr_registries", in.ECRRegistries, "docker_login is not true")
		}
		if len(config.Registries) == 0 {
			config.Registries = []dockerlogin.Registry{dockerlogin.OwnRegistry(config.Region)}
		}
	}
	if len(p.problems) > 0 {
		return Config{}, &InputError{Problems: p.problems}
	}
	return config, nil
}

func (p *inputParser) report(input, format string, args ...any) {
	p.problems = append(p.problems, Problem{Input: input, Text: redactPasted(fmt.Sprintf(format, args...))})
}

// parsed returns what an input, or an item of it, means, and reports its error.
func parsed[T any](p *inputParser, input, given string, parse func(string) (T, error)) T {
	value, err := parse(given)
	if err != nil {
		p.report(input, "%s%s", err, nearMiss(input, given))
	}
	return value
}

// optional is parsed for an input that may be empty.
func optional[T any](p *inputParser, input, given string, parse func(string) (T, error)) (none T) {
	if given == "" {
		return none
	}
	return parsed(p, input, given, parse)
}

// logout reads what to log out of, and reports the inputs that have no effect. Those with a default in step.yml are always set.
func (p *inputParser) logout(config *Config) {
	mayBeSet := []string{
		"action", "region", "audience", "session_name", "aws_profile", "docker_login", "ecr_registries", "build_url", "build_api_token",
		"timeout", "verbose",
	}
	p.in.each(func(key string, value secret.Text, _ bool) {
		if !slices.Contains(mayBeSet, key) && !value.IsEmpty() {
			p.report(key, "has no effect: action is logout")
		}
	})
	if p.in.DockerLogin == "true" {
		p.report("docker_login", "has no effect: action is logout")
	}
	config.Profile = optional(p, "aws_profile", p.in.AWSProfile, profile.ParseName)
	if p.in.ECRRegistries != "" {
		config.Region = parsed(p, "region", p.in.Region, awsid.ParseRegion)
		config.Registries = p.registries(config.Region)
	}
}

// choice reports a value that is neither of two, nor empty.
func (p *inputParser) choice(input, value, one, other string) {
	if value != "" && value != one && value != other {
		p.report(input, "must be %s or %s, got %q", one, other, value)
	}
}

func (p *inputParser) timeout() time.Duration {
	if p.in.Timeout == "" {
		return defaultTimeout
	}
	return p.seconds("timeout", p.in.Timeout, 10*time.Second, time.Hour, "")
}

// seconds parses a whole number of seconds between two bounds; why explains the upper one.
func (p *inputParser) seconds(input, value string, shortest, longest time.Duration, why string) time.Duration {
	n, err := strconv.Atoi(value)
	if err != nil || n < int(shortest.Seconds()) || n > int(longest.Seconds()) {
		p.report(input, "must be a whole number of seconds from %d to %d%s, got %q",
			int(shortest.Seconds()), int(longest.Seconds()), why, value)
	}
	return time.Duration(n) * time.Second
}

// source decides where the first credentials come from. Inputs for both ways are a problem, except those with a default.
func (p *inputParser) source(config *Config) {
	role, token := p.in.RoleARN != "", !p.in.IdentityToken.IsEmpty()
	key := !p.in.AccessKeyID.IsEmpty() || !p.in.SecretAccessKey.IsEmpty() || !p.in.SessionToken.IsEmpty()
	switch {
	case role && key:
		p.report("role_arn and access_key_id", "only one may be set: role_arn to use the build's identity token, or access_key_id "+
			"and secret_access_key")
	case token && key:
		p.report("identity_token and access_key_id", "only one may be set: identity_token with role_arn, or access_key_id and secret_access_key")
	case !role && !key && token:
		p.report("role_arn", "must be the ARN of the role to assume with identity_token, such as "+
			"arn:aws:iam::123456789012:role/my-role, got nothing"+emptyVariable)
	case !role && !key:
		p.report("role_arn and access_key_id", "one must be set: role_arn to use the build's identity token, or access_key_id and "+
			"secret_access_key"+emptyVariable)
	}
	if role || token {
		p.webIdentity(config)
	}
	if key {
		config.AccessKey = p.accessKey()
	}
}

func (p *inputParser) webIdentity(config *Config) {
	config.WebIdentity = &awsauth.WebIdentity{Role: optional(p, "role_arn", p.in.RoleARN, awsauth.ParseRoleARN)}
	if !p.in.IdentityToken.IsEmpty() {
		config.WebIdentity.Token = p.identityToken()
		return
	}
	const local = "builds on Bitrise set it automatically; for a local run, set the %s of a token endpoint, or an existing identity_token"
	config.Audience = p.audience()
	config.BuildURL = optional(p, "build_url", p.in.BuildURL, oidc.ParseBuildURL)
	if p.in.BuildURL == "" {
		p.report("build_url", "must not be empty: "+local, "URL")
	}
	config.BuildAPIToken = p.secret("build_api_token", p.in.BuildAPIToken)
	if config.BuildAPIToken.IsEmpty() {
		p.report("build_api_token", "must not be empty: "+local, "API token")
	}
}

func (p *inputParser) audience() string {
	// An audience (client ID) of an OIDC provider has 1 to 255 characters,
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html.
	const longest = 255

	audience := p.in.Audience
	if audience == "" {
		return defaultAudience
	}
	if n := len([]rune(audience)); n > longest {
		p.report("audience", "must have at most %d characters, got %d", longest, n)
	}
	if strings.ContainsFunc(audience, unicode.IsControl) {
		p.report("audience", "must be one line without control characters")
	}
	return audience
}

func (p *inputParser) identityToken() idtoken.Token {
	token, err := oidc.ParseToken(p.in.IdentityToken)
	if err == nil && !token.Expires.IsZero() && !p.now.Before(token.Expires) {
		err = fmt.Errorf("must be valid, got a token that expired at %s (it is %s); run the Step that creates it right before this one",
			clock(token.Expires), clock(p.now))
	}
	if err != nil {
		p.report("identity_token", "%s%s", err, nearMiss("identity_token", p.in.IdentityToken.Reveal()))
	}
	return token
}

func (p *inputParser) accessKey() *awsauth.AccessKey {
	key := &awsauth.AccessKey{
		AccessKeyID:     p.secret("access_key_id", p.in.AccessKeyID),
		SecretAccessKey: p.secret("secret_access_key", p.in.SecretAccessKey),
		SessionToken:    p.secret("session_token", p.in.SessionToken),
	}
	if key.AccessKeyID.IsEmpty() {
		p.report("access_key_id", "must be set together with secret_access_key, got nothing")
	}
	if key.SecretAccessKey.IsEmpty() {
		p.report("secret_access_key", "must be set together with access_key_id, got nothing")
	}
	return key
}

// secret checks what all secret inputs have in common: they become part of a header or a signature, so they are printable ASCII
// without spaces.
func (p *inputParser) secret(input string, s secret.Text) secret.Text {
	if !text.IsGraphicASCII(s.Reveal()) {
		p.report(input, "must be printable ASCII without spaces and line breaks")
	}
	return s
}

// session reads the inputs that shape the sessions. Inputs without an effect in this run are problems, because their user relies on
// them.
func (p *inputParser) session(config *Config) {
	p.chain(config)
	settings := p.settings(config)
	config.AllowedAccounts = list(p, "allowed_account_ids", p.in.AllowedAccountIDs, byCommaOrLine, awsid.ParseAccountID)
	switch last := len(config.Chain) - 1; {
	case last >= 0:
		config.Chain[last].Settings = settings
	case config.WebIdentity != nil:
		config.WebIdentity.Settings = settings
	case config.AccessKey != nil:
		const why = "it shapes a session, and an access key is exported as it is; set role_arn or role_chain"
		p.unused("session_duration", p.in.SessionDuration, why)
		p.unused("inline_session_policy", p.in.InlineSessionPolicy, why)
		p.unused("managed_session_policies", p.in.ManagedSessionPolicies, why)
	}
}

// chain reads the roles of role_chain, and what is sent with each. A web identity has the same session name.
func (p *inputParser) chain(config *Config) {
	role := awsauth.AssumedRole{
		SessionName: parsed(p, "session_name", p.in.SessionName, awsauth.ParseSessionName),
		ExternalID:  optional(p, "external_id", p.in.ExternalID, awsauth.ParseExternalID),
		Tags:        p.tags(),
	}
	if config.WebIdentity != nil {
		config.WebIdentity.SessionName = role.SessionName
	}
	arns := list(p, "role_chain", p.in.RoleChain, byLine, awsauth.ParseRoleARN)
	for i, arn := range arns {
		role.Role, role.Hop, role.Hops = arn, i+1, len(arns)
		config.Chain = append(config.Chain, role)
	}
	if len(arns) == 0 {
		p.unused("external_id", p.in.ExternalID, "it is sent with the roles of role_chain, which is empty")
		p.unused("session_tags", p.in.SessionTags, "they are sent with the roles of role_chain, which is empty; a web identity "+
			"carries its tags in the token")
	}
}

// unused reports an input that is set and has no effect.
func (p *inputParser) unused(input, value, why string) {
	if value != "" {
		p.report(input, "has no effect: %s", why)
	}
}

func (p *inputParser) tags() []awsauth.Tag {
	tags := list(p, "session_tags", p.in.SessionTags, byLine, awsauth.ParseTag)
	if n := len(tags); n > awsauth.MaxTags {
		p.report("session_tags", "must have at most %d tags, got %d", awsauth.MaxTags, n)
	}
	return tags
}

func (p *inputParser) settings(config *Config) awsauth.SessionSettings {
	var settings awsauth.SessionSettings
	if p.in.SessionDuration != "" {
		longest, why := awsauth.MaxDuration, ""
		hops := len(config.Chain)
		isLongLived := config.AccessKey != nil && config.AccessKey.SessionToken.IsEmpty()
		if hops > 1 || hops == 1 && !isLongLived {
			longest, why = awsauth.MaxChainedDuration, " (AWS limits a role that is assumed with temporary credentials to an hour)"
		}
		settings.Duration = p.seconds("session_duration", p.in.SessionDuration, awsauth.MinDuration, longest, why)
	}
	settings.Policy = optional(p, "inline_session_policy", p.in.InlineSessionPolicy, awsauth.ParseSessionPolicy)
	config.HasPolicyGap = settings.Policy.HasGap()
	settings.ManagedPolicies = list(p, "managed_session_policies", p.in.ManagedSessionPolicies, byLine, awsauth.ParsePolicyARN)
	if n := len(settings.ManagedPolicies); n > awsauth.MaxManagedPolicies {
		p.report("managed_session_policies", "must have at most %d policies, got %d", awsauth.MaxManagedPolicies, n)
	}
	return settings
}

func (p *inputParser) registries(region awsid.Region) []dockerlogin.Registry {
	if region.String() == "" {
		return nil // a problem already, and an account's registry is in the Region
	}
	return list(p, "ecr_registries", p.in.ECRRegistries, byCommaOrLine, func(item string) (dockerlogin.Registry, error) {
		return dockerlogin.ParseRegistry(item, region)
	})
}
