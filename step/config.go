package step

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// What empty inputs mean. step.yml sets the same defaults; a user who empties a field gets them too.
const (
	// defaultAudience is what AWS asks for in tokens that its own commercial partition is to take:
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html.
	defaultAudience = "sts.amazonaws.com"
	defaultTimeout  = 180 * time.Second
)

// Config is what one run is to do. It can only be made by [ParseInputs], so nothing in it needs to be checked again.
type Config struct {
	Region awsid.Region
	// Exactly one of the two is set.
	WebIdentity *WebIdentityConfig
	AccessKeys  *awsauth.Keys

	// SessionName names every session.
	SessionName awsauth.SessionName
	// Chain are the roles to assume one after another from the first credentials; ExternalID and Tags go with each.
	Chain      []awsauth.RoleARN
	ExternalID awsauth.ExternalID
	Tags       []awsauth.Tag
	// Settings shape the session that is exported.
	Settings awsauth.SessionSettings
	// AllowedAccounts are those whose credentials may be exported; empty: all.
	AllowedAccounts []awsid.AccountID

	// Profile is the profile to write; the zero value: none.
	Profile     profile.Name
	DockerLogin bool
	// Registries are those to log in to; empty: the credentials' own account's, in Region.
	Registries []dockerlogin.Registry
	// Timeout is how long the whole run may take.
	Timeout time.Duration
	Verbose bool
}

// WebIdentityConfig is a role and the token to assume it with: a ready one, or one to be fetched.
type WebIdentityConfig struct {
	Role awsauth.RoleARN
	// Ready is the input identity_token; nil if a token is to be fetched, with the three below.
	Ready         *oidc.Token
	Audience      string
	BuildURL      oidc.BuildURL
	BuildAPIToken secret.Text
}

// InputError is everything that is wrong with the inputs.
type InputError struct{ Findings []Finding }

// Finding is one thing that is wrong: which input, or inputs, and what is right.
type Finding struct{ Input, Text string }

// Error lists all findings, one a line.
func (e *InputError) Error() string {
	lines := make([]string, 0, len(e.Findings))
	for _, finding := range e.Findings {
		lines = append(lines, finding.Input+": "+finding.Text)
	}
	return strings.Join(lines, "\n")
}

// inputParser collects findings while it turns inputs into a Config.
type inputParser struct {
	in       Inputs
	now      time.Time
	findings []Finding
}

// ParseInputs turns the inputs into a Config, or into an [*InputError] with every finding. now is for the expiry of a
// ready token. Nothing is sent.
func ParseInputs(in Inputs, now time.Time) (Config, error) {
	p := &inputParser{in: in, now: now}
	config := Config{
		Region:      p.region(),
		Profile:     p.profile(),
		DockerLogin: p.boolean("docker_login", in.DockerLogin),
		Timeout:     p.timeout(),
		Verbose:     p.boolean("verbose", in.Verbose),
	}
	p.source(&config)
	p.session(&config)
	p.docker(&config)
	if len(p.findings) > 0 {
		return Config{}, &InputError{Findings: p.findings}
	}
	return config, nil
}

func (p *inputParser) report(input, format string, args ...any) {
	p.findings = append(p.findings, Finding{Input: input, Text: fmt.Sprintf(format, args...)})
}

// parsed reports an error as the finding of an input; where there is none, value is right.
func parsed[T any](p *inputParser, input string, value T, err error) T {
	if err != nil {
		p.report(input, "%s", err)
	}
	return value
}

func (p *inputParser) region() awsid.Region {
	code := strings.TrimSpace(p.in.Region)
	if code == "" {
		p.report("region", "required, and empty; the code of an AWS Region wanted, such as us-east-1")
		return awsid.Region{}
	}
	region, err := awsid.ParseRegion(code)
	return parsed(p, "region", region, err)
}

func (p *inputParser) boolean(input, value string) bool {
	switch strings.TrimSpace(value) {
	case "true":
		return true
	case "false", "":
		return false
	default:
		p.report(input, "true or false wanted, %q found", strings.TrimSpace(value))
		return false
	}
}

func (p *inputParser) timeout() time.Duration {
	const shortest, longest = 10, 3600

	value := strings.TrimSpace(p.in.Timeout)
	if value == "" {
		return defaultTimeout
	}
	seconds, err := strconv.Atoi(value)
	if err != nil || seconds < shortest || seconds > longest {
		p.report("timeout", "a whole number of seconds from %d to %d wanted, %q found", shortest, longest, value)
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// source decides where the first credentials come from. Inputs of the one way that are given together with the other are
// findings, since they would do nothing; those with a default (audience, session_name) are not.
func (p *inputParser) source(config *Config) {
	role := strings.TrimSpace(p.in.RoleARN) != ""
	ready := !trimmed(p.in.IdentityToken).IsEmpty()
	keys := !trimmed(p.in.AccessKeyID).IsEmpty() || !trimmed(p.in.SecretAccessKey).IsEmpty() || !trimmed(p.in.SessionToken).IsEmpty()

	switch {
	case role && keys:
		p.report("role_arn and access_key_id", "both are given; give either role_arn, for the build's identity token, or access_key_id and secret_access_key, not both")
	case ready && keys:
		p.report("identity_token and access_key_id", "both are given; give either identity_token with role_arn, or access_key_id and secret_access_key, not both")
	case !role && !keys && ready:
		p.report("role_arn", "empty; the ARN of the role that identity_token is to be exchanged for wanted, such as arn:aws:iam::123456789012:role/my-role")
	case !role && !keys:
		p.report("role_arn and access_key_id", "both are empty; give either role_arn, for the build's identity token, or access_key_id and secret_access_key")
	}
	if role || ready {
		config.WebIdentity = p.webIdentity(role, ready)
	}
	if keys {
		config.AccessKeys = p.accessKeys()
	}
}

func (p *inputParser) webIdentity(role, ready bool) *WebIdentityConfig {
	var config WebIdentityConfig
	if role {
		config.Role = p.roleARN()
	}
	if ready {
		config.Ready = p.readyToken()
		return &config
	}

	config.Audience = p.audience()
	if address := strings.TrimSpace(p.in.BuildURL); address == "" {
		p.report("build_url", "empty; builds on Bitrise set it by themselves; for a local run give the URL of a token endpoint, or a ready identity_token")
	} else {
		url, err := oidc.ParseBuildURL(address)
		config.BuildURL = parsed(p, "build_url", url, err)
	}
	config.BuildAPIToken = p.secret("build_api_token", trimmed(p.in.BuildAPIToken))
	if config.BuildAPIToken.IsEmpty() {
		p.report("build_api_token", "empty; builds on Bitrise set it by themselves; for a local run give the token of the endpoint in build_url, or a ready identity_token")
	}
	return &config
}

func (p *inputParser) roleARN() awsauth.RoleARN {
	text := strings.TrimSpace(p.in.RoleARN)
	if _, err := oidc.ParseToken(secret.New(text)); err == nil {
		p.report("role_arn", "this is a token; the ARN of an IAM role wanted, such as arn:aws:iam::123456789012:role/my-role; a ready token goes into identity_token")
		return awsauth.RoleARN{}
	}
	arn, err := awsauth.ParseRoleARN(text)
	return parsed(p, "role_arn", arn, err)
}

func (p *inputParser) audience() string {
	// IAM: an audience (client ID) of an OIDC provider has 1 to 255 characters,
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html.
	const longest = 255

	audience := strings.TrimSpace(p.in.Audience)
	if audience == "" {
		return defaultAudience
	}
	if n := len([]rune(audience)); n > longest {
		p.report("audience", "at most %d characters wanted, %d found", longest, n)
	}
	if strings.ContainsFunc(audience, unicode.IsControl) {
		p.report("audience", "a single line without control characters wanted")
	}
	return audience
}

func (p *inputParser) readyToken() *oidc.Token {
	token, err := oidc.ParseToken(trimmed(p.in.IdentityToken))
	if err != nil {
		p.report("identity_token", "%s", err)
		return nil
	}
	if expires, ok := token.ExpiresAt(); ok && !p.now.Before(expires) {
		p.report("identity_token", "it has expired at %s, now it is %s; let the Step that makes it run right before this one", expires.UTC().Format(time.RFC3339), p.now.UTC().Format(time.RFC3339))
	}
	return &token
}

func (p *inputParser) accessKeys() *awsauth.Keys {
	keys := awsauth.Keys{
		AccessKeyID:     p.secret("access_key_id", trimmed(p.in.AccessKeyID)),
		SecretAccessKey: p.secret("secret_access_key", trimmed(p.in.SecretAccessKey)),
		SessionToken:    p.secret("session_token", trimmed(p.in.SessionToken)),
	}
	if keys.AccessKeyID.IsEmpty() {
		p.report("access_key_id", "empty, while the other half of the key is given; both or neither wanted")
	}
	if keys.SecretAccessKey.IsEmpty() {
		p.report("secret_access_key", "empty, while the other half of the key is given; both or neither wanted")
	}
	return &keys
}

// secret checks what every secret input has in common: it goes into a header or a signature, where only printable ASCII
// can stand, and a blank or a line's end in the midst of it is a slip of copying.
func (p *inputParser) secret(input string, text secret.Text) secret.Text {
	for _, r := range text.Reveal() {
		if r <= ' ' || r > '~' {
			p.report(input, "printable ASCII without blanks and line ends wanted; something else stands in the midst of it")
			break
		}
	}
	return text
}

// docker reads which registries to log in to.
func (p *inputParser) docker(config *Config) {
	if config.Region.String() == "" {
		return // a finding already, and where an account's registry is cannot be known
	}
	config.Registries = list(p, "ecr_registries", p.in.ECRRegistries, byCommaOrLine, func(item string) (dockerlogin.Registry, error) {
		return dockerlogin.ParseRegistry(item, config.Region)
	})
	if !config.DockerLogin {
		p.idle("ecr_registries", p.in.ECRRegistries, "docker_login is not true")
	}
}
