package step

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/idtoken"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/text"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// Config is what one run does. Only [ParseInputs] makes one, so it needs no further checks.
type Config struct {
	// IsLogout means that the run removes what earlier runs of this build added: Profile and Registries, or everything if there
	// are none. Apart from these, only Region, Timeout, and Verbose are set.
	IsLogout bool
	Region   awsid.Region
	// Exactly one of these two is set.
	WebIdentity *awsauth.WebIdentity
	AccessKey   *awsauth.AccessKey
	// With these three, an identity token is fetched if WebIdentity has none.
	Audience      string
	BuildURL      oidc.BuildURL
	BuildAPIToken secret.Text
	// Chain has the roles to assume next, each with the session of the one before.
	Chain []awsauth.AssumedRole
	// HasPolicyGap means that a variable in inline_session_policy may have been expanded to nothing.
	HasPolicyGap bool
	// AllowedAccounts are the accounts whose credentials may be exported. If empty, all are allowed.
	AllowedAccounts []awsid.AccountID

	// Profile is the profile to write or to remove. The zero value means none.
	Profile     profile.Name
	DockerLogin bool
	// Registries are those to log in to, or out of.
	Registries []dockerlogin.Registry
	// Timeout is how long the whole run may take.
	Timeout time.Duration
	Verbose bool
}

func (c Config) hasProfile() bool { return c.Profile.String() != "" }

// The defaults for empty inputs, which are the same as in step.yml.
const (
	defaultAudience = "sts.amazonaws.com"
	defaultTimeout  = 180 * time.Second
)

// InputError lists all problems with the inputs.
type InputError struct{ Problems []Problem }

// Problem is a problem with an input, and what the input must be.
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

// explainProblems returns an [*InputError] with its explanation.
func explainProblems(problems []Problem) error {
	var names, all []string
	for _, problem := range problems {
		all = append(all, problem.String())
		if !slices.Contains(names, problem.Input) {
			names = append(names, problem.Input)
		}
	}
	return &explain.Error{Err: &InputError{Problems: problems}, Explanation: explain.Explanation{
		Section: "invalid-inputs", Cause: "invalid inputs: " + strings.Join(names, ", "), Means: []string{"Nothing was sent."}, Do: all,
	}}
}

// inputParser collects problems while it converts inputs to a Config.
type inputParser struct {
	in       Inputs
	now      time.Time
	problems []Problem
}

// ParseInputs converts the inputs to a Config, or returns an [*InputError] with all problems. A token must not have expired now.
func ParseInputs(in Inputs, now time.Time) (Config, error) {
	p := &inputParser{in: in, now: now}
	p.choice("action", in.Action, "login", "logout")
	config := Config{IsLogout: in.Action == "logout", Timeout: defaultTimeout, Verbose: in.Verbose == "true"}
	if in.Timeout != "" {
		config.Timeout = p.seconds("timeout", in.Timeout, 10*time.Second, time.Hour, "")
	}
	p.choice("verbose", in.Verbose, "true", "false")
	config.Profile = optional(p, "aws_profile", in.AWSProfile, profile.ParseName)
	if config.IsLogout {
		p.logout(&config)
	} else {
		config.Region = parsed(p, "region", p.in.Region, awsid.ParseRegion)
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
		return Config{}, explainProblems(p.problems)
	}
	return config, nil
}

func (p *inputParser) report(input, format string, args ...any) {
	p.problems = append(p.problems, Problem{Input: input, Text: redactPasted(fmt.Sprintf(format, args...))})
}

// parsed parses an input, or an item of a list, and reports an error.
func parsed[T any](p *inputParser, input, given string, parse func(string) (T, error)) T {
	value, err := parse(given)
	if err != nil {
		p.report(input, "%s%s", err, nearMiss(input, given))
	}
	return value
}

// optional parses an input that can be empty.
func optional[T any](p *inputParser, input, given string, parse func(string) (T, error)) (none T) {
	if given == "" {
		return none
	}
	return parsed(p, input, given, parse)
}

// The separators of lists.
const (
	byLine        = "\r\n"
	byCommaOrLine = ",\r\n"
)

// list parses the items of a list. Whitespace around an item and empty items are ignored.
func list[T any](p *inputParser, input, joined, separators string, parse func(string) (T, error)) []T {
	var values []T
	for _, item := range strings.FieldsFunc(joined, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if item = strings.TrimSpace(item); item != "" {
			values = append(values, parsed(p, input, item, parse))
		}
	}
	return values
}

// logout reads what to log out of, and reports inputs that have no effect, except those with a default in step.yml.
func (p *inputParser) logout(config *Config) {
	mayBeSet := []string{
		"action", "region", "audience", "session_name", "aws_profile", "docker_login", "ecr_registries", "build_url", "build_api_token",
		"timeout", "verbose",
	}
	p.in.each(func(key string, value secret.Text, _ bool) {
		if !slices.Contains(mayBeSet, key) && !value.IsEmpty() {
			p.report(key, "has no effect because action is logout")
		}
	})
	if p.in.DockerLogin == "true" {
		p.report("docker_login", "has no effect because action is logout")
	}
	if p.in.ECRRegistries != "" {
		config.Region = parsed(p, "region", p.in.Region, awsid.ParseRegion)
		config.Registries = p.registries(config.Region)
	}
}

// choice reports a value that is neither empty nor one of two.
func (p *inputParser) choice(input, value, one, other string) {
	if value != "" && value != one && value != other {
		p.report(input, "must be %s or %s, got %q", one, other, value)
	}
}

// seconds parses a whole number of seconds between two limits. why explains the upper one.
func (p *inputParser) seconds(input, value string, shortest, longest time.Duration, why string) time.Duration {
	n, err := strconv.Atoi(value)
	if err != nil || n < int(shortest.Seconds()) || n > int(longest.Seconds()) {
		p.report(input, "must be a whole number of seconds from %d to %d%s, got %q",
			int(shortest.Seconds()), int(longest.Seconds()), why, value)
	}
	return time.Duration(n) * time.Second
}

// source reads the source of the first credentials, an identity token or an access key, and reports both or neither.
func (p *inputParser) source(config *Config) {
	role, token := p.in.RoleARN != "", !p.in.IdentityToken.IsEmpty()
	key := !p.in.AccessKeyID.IsEmpty() || !p.in.SecretAccessKey.IsEmpty() || !p.in.SessionToken.IsEmpty()
	switch {
	case key && (role || token):
		p.report("access_key_id", "can't be combined with role_arn or identity_token; set either an access key or a role to assume with the "+
			"build's identity token")
	case !key && !role:
		p.report("role_arn or access_key_id", "must be set: role_arn to use an identity token, or access_key_id and secret_access_key"+
			emptyVariable)
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
	config.Audience = cmp.Or(p.in.Audience, defaultAudience)
	config.BuildURL = optional(p, "build_url", p.in.BuildURL, oidc.ParseBuildURL)
	config.BuildAPIToken = p.secret("build_api_token", p.in.BuildAPIToken)
	if p.in.BuildURL == "" || config.BuildAPIToken.IsEmpty() {
		p.report("build_url and build_api_token", "must not be empty; builds on Bitrise set them automatically, and a local run needs those "+
			"of a token endpoint, or identity_token")
	}
}

func (p *inputParser) identityToken() idtoken.Token {
	return parsed(p, "identity_token", p.in.IdentityToken.Reveal(), func(given string) (idtoken.Token, error) {
		token, err := oidc.ParseToken(secret.New(given))
		if err == nil && !token.Expires.IsZero() && !p.now.Before(token.Expires) {
			err = fmt.Errorf("must be valid, got a token that expired at %s (it is now %s); run the Step that creates it right before "+
				"this one", clock(token.Expires), clock(p.now))
		}
		return token, err
	})
}

func (p *inputParser) accessKey() *awsauth.AccessKey {
	key := &awsauth.AccessKey{
		AccessKeyID:     p.secret("access_key_id", p.in.AccessKeyID),
		SecretAccessKey: p.secret("secret_access_key", p.in.SecretAccessKey),
		SessionToken:    p.secret("session_token", p.in.SessionToken),
	}
	if key.AccessKeyID.IsEmpty() || key.SecretAccessKey.IsEmpty() {
		p.report("access_key_id and secret_access_key", "must be set together")
	}
	return key
}

// secret checks that a secret input is printable ASCII without spaces, because it becomes part of a header or a signature.
func (p *inputParser) secret(input string, s secret.Text) secret.Text {
	if !text.IsGraphicASCII(s.Reveal()) {
		p.report(input, "must be printable ASCII without spaces or line breaks")
	}
	return s
}

// session reads the settings of the sessions. It reports those that have no effect, because the user relies on them.
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
		const why = "access keys are exported unchanged; to use it, set role_arn or role_chain"
		p.unused("session_duration", p.in.SessionDuration, why)
		p.unused("inline_session_policy", p.in.InlineSessionPolicy, why)
		p.unused("managed_session_policies", p.in.ManagedSessionPolicies, why)
	}
}

// chain reads the roles of role_chain and their settings. A web identity has the same session name.
func (p *inputParser) chain(config *Config) {
	role := awsauth.AssumedRole{
		SessionName: parsed(p, "session_name", p.in.SessionName, awsauth.ParseSessionName),
		ExternalID:  optional(p, "external_id", p.in.ExternalID, awsauth.ParseExternalID),
		Tags:        list(p, "session_tags", p.in.SessionTags, byLine, awsauth.ParseTag),
	}
	if n := len(role.Tags); n > awsauth.MaxTags {
		p.report("session_tags", "must have at most %d tags, got %d", awsauth.MaxTags, n)
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
		p.unused("external_id", p.in.ExternalID, "it applies only to role_chain, which is empty")
		p.unused("session_tags", p.in.SessionTags, "it applies only to role_chain, which is empty; identity tokens contain their own tags")
	}
}

// unused reports an input that is set but has no effect.
func (p *inputParser) unused(input, value, why string) {
	if value != "" {
		p.report(input, "has no effect because %s", why)
	}
}

func (p *inputParser) settings(config *Config) awsauth.SessionSettings {
	var settings awsauth.SessionSettings
	if p.in.SessionDuration != "" {
		longest, why := awsauth.MaxDuration, ""
		hops := len(config.Chain)
		isLongLived := config.AccessKey != nil && config.AccessKey.SessionToken.IsEmpty()
		if hops > 1 || hops == 1 && !isLongLived {
			longest, why = awsauth.MaxChainedDuration, " (AWS limits roles that are assumed with temporary credentials to one hour)"
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
	return list(p, "ecr_registries", p.in.ECRRegistries, byCommaOrLine, func(item string) (dockerlogin.Registry, error) {
		return dockerlogin.ParseRegistry(item, region)
	})
}
