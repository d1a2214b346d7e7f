package step

import (
	"errors"
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
		p.checkLogout()
	} else {
		config.Region = p.region()
		config.Profile = p.profile()
		config.DockerLogin = in.DockerLogin == "true"
		p.choice("docker_login", in.DockerLogin, "true", "false")
		p.source(&config)
		p.session(&config)
		p.registries(&config)
	}
	if len(p.problems) > 0 {
		return Config{}, &InputError{Problems: p.problems}
	}
	return config, nil
}

func (p *inputParser) report(input, format string, args ...any) {
	p.problems = append(p.problems, Problem{Input: input, Text: redactPasted(fmt.Sprintf(format, args...))})
}

// parsed returns a value, and reports its error.
func parsed[T any](p *inputParser, input string, value T, err error) T {
	if err != nil {
		p.report(input, "%s", err)
	}
	return value
}

// withHint adds what YAML may have done to a value.
func withHint(err error, input, value string) error {
	if hint := yamlHint(input, value); err != nil && hint != "" {
		return fmt.Errorf("%w (%s)", err, hint)
	}
	return err
}

// checkLogout reports the inputs that have no effect on a logout. Those with a default in step.yml are always set.
func (p *inputParser) checkLogout() {
	withDefault := []string{
		"action", "region", "audience", "session_name", "docker_login", "build_url", "build_api_token", "timeout", "verbose",
	}
	p.in.each(func(key string, value secret.Text, _ bool) {
		if !slices.Contains(withDefault, key) && !value.IsEmpty() {
			p.report(key, "has no effect: action is logout")
		}
	})
}

func (p *inputParser) region() awsid.Region {
	if p.in.Region == "" {
		p.report("region", "must be an AWS Region such as us-east-1, got nothing")
		return awsid.Region{}
	}
	region, err := awsid.ParseRegion(p.in.Region)
	return parsed(p, "region", region, err)
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
		err := fmt.Errorf("must be a whole number of seconds from %d to %d%s, got %q",
			int(shortest.Seconds()), int(longest.Seconds()), why, value)
		p.report(input, "%s", withHint(err, input, value))
		return 0
	}
	return time.Duration(n) * time.Second
}

func (p *inputParser) profile() profile.Name {
	if p.in.AWSProfile == "" {
		return profile.Name{}
	}
	name, err := profile.ParseName(p.in.AWSProfile)
	return parsed(p, "aws_profile", name, err)
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
			"arn:aws:iam::123456789012:role/my-role, got nothing")
	case !role && !key:
		p.report("role_arn and access_key_id", "one must be set: role_arn to use the build's identity token, or access_key_id and "+
			"secret_access_key")
	}
	if role || token {
		p.webIdentity(config)
	}
	if key {
		config.AccessKey = p.accessKey()
	}
}

func (p *inputParser) webIdentity(config *Config) {
	config.WebIdentity = &awsauth.WebIdentity{}
	if p.in.RoleARN != "" {
		role, err := awsauth.ParseRoleARN(p.in.RoleARN)
		if tokenPattern.MatchString(p.in.RoleARN) {
			err = errors.New("must be the ARN of an IAM role, such as arn:aws:iam::123456789012:role/my-role, got a token; set " +
				"identity_token for that")
		}
		config.WebIdentity.Role = parsed(p, "role_arn", role, err)
	}
	if !p.in.IdentityToken.IsEmpty() {
		config.WebIdentity.Token = p.identityToken()
		return
	}
	const local = "builds on Bitrise set it automatically; for a local run, set the %s of a token endpoint, or an existing identity_token"
	config.Audience = p.audience()
	if p.in.BuildURL == "" {
		p.report("build_url", "must not be empty: "+local, "URL")
	} else {
		url, err := oidc.ParseBuildURL(p.in.BuildURL)
		config.BuildURL = parsed(p, "build_url", url, err)
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
	return parsed(p, "identity_token", token, err)
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
// without spaces. It also recognizes common mistakes of copying.
func (p *inputParser) secret(input string, s secret.Text) secret.Text {
	if problem := pastedKey(input, s.Reveal()); problem != "" {
		p.report(input, "%s", problem)
	} else if !text.IsGraphicASCII(s.Reveal()) {
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
	p.partitions(config, settings)
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
	name, err := awsauth.ParseSessionName(p.in.SessionName)
	role := awsauth.AssumedRole{SessionName: parsed(p, "session_name", name, err)}
	if config.WebIdentity != nil {
		config.WebIdentity.SessionName = role.SessionName
	}
	arns := list(p, "role_chain", p.in.RoleChain, byLine, awsauth.ParseRoleARN)
	if p.in.ExternalID != "" {
		id, err := awsauth.ParseExternalID(p.in.ExternalID)
		role.ExternalID = parsed(p, "external_id", id, withHint(err, "external_id", p.in.ExternalID))
	}
	role.Tags = p.tags()
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
	if n := len(items(p.in.SessionTags, byLine)); n > awsauth.MaxTags {
		p.report("session_tags", "must have at most %d tags, got %d", awsauth.MaxTags, n)
	}
	seen := map[string]bool{}
	for _, tag := range tags {
		key := strings.ToLower(tag.Key())
		if seen[key] {
			p.report("session_tags", "must have each key once (upper and lower case are the same), got %q more than once", tag.Key())
		}
		seen[key] = true
	}
	return tags
}

func (p *inputParser) settings(config *Config) awsauth.SessionSettings {
	var settings awsauth.SessionSettings
	if p.in.SessionDuration != "" {
		longest, why := awsauth.MaxDuration, ""
		hops := len(items(p.in.RoleChain, byLine))
		isLongLived := config.AccessKey != nil && config.AccessKey.SessionToken.IsEmpty()
		if hops > 1 || hops == 1 && !isLongLived {
			longest, why = awsauth.MaxChainedDuration, " (AWS limits a role that is assumed with temporary credentials to an hour)"
		}
		settings.Duration = p.seconds("session_duration", p.in.SessionDuration, awsauth.MinDuration, longest, why)
	}
	if p.in.InlineSessionPolicy != "" {
		policy, err := awsauth.ParseSessionPolicy(p.in.InlineSessionPolicy)
		settings.Policy = parsed(p, "inline_session_policy", policy, withHint(err, "inline_session_policy", p.in.InlineSessionPolicy))
	}
	settings.ManagedPolicies = list(p, "managed_session_policies", p.in.ManagedSessionPolicies, byLine, awsauth.ParsePolicyARN)
	if n := len(items(p.in.ManagedSessionPolicies, byLine)); n > awsauth.MaxManagedPolicies {
		p.report("managed_session_policies", "must have at most %d policies, got %d", awsauth.MaxManagedPolicies, n)
	}
	return settings
}

// partitions checks that everything is in the partition of the Region: credentials of one partition are not valid in another.
// STS-compatible services have their own partitions, in any Region.
func (p *inputParser) partitions(config *Config, settings awsauth.SessionSettings) {
	if config.Region.String() == "" {
		return
	}
	home := config.Region.Partition().Name
	check := func(input, arn, partition string) {
		if awsauth.IsAWSPartition(partition) && partition != home {
			p.report(input, "must be in the partition of region (%s is in %s), got %s in %s", config.Region, home, arn, partition)
		}
	}
	if config.WebIdentity != nil {
		check("role_arn", config.WebIdentity.Role.String(), config.WebIdentity.Role.Partition())
	}
	for _, role := range config.Chain {
		check("role_chain", role.Role.String(), role.Role.Partition())
	}
	for _, policy := range settings.ManagedPolicies {
		check("managed_session_policies", policy.String(), policy.Partition())
	}
}

func (p *inputParser) registries(config *Config) {
	if config.Region.String() == "" {
		return // a problem already, and an account's registry is in the Region
	}
	config.Registries = list(p, "ecr_registries", p.in.ECRRegistries, byCommaOrLine, func(item string) (dockerlogin.Registry, error) {
		return dockerlogin.ParseRegistry(item, config.Region)
	})
	if !config.DockerLogin {
		p.unused("ecr_registries", p.in.ECRRegistries, "docker_login is not true")
	}
	if len(config.Registries) == 0 {
		config.Registries = []dockerlogin.Registry{dockerlogin.OwnRegistry(config.Region)}
	}
}
