package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// IssuerHost is a placeholder for the issuer without its scheme, which is how IAM names providers and condition keys. Use it
// in the provider URLs and policies of a Config, because the issuer's port is unknown until the sandbox starts.
const IssuerHost = "${ISSUER_HOST}"

// DefaultSubject is the default form of the sub claim. Bitrise does not document its own.
const DefaultSubject = "app:{app_slug}:workflow:{workflow}"

// RequestedSubject states what the token endpoint does with a sub that the caller sends next to aud. Bitrise's Step Get OIDC
// Identity Token once sent one. What the endpoint does with it is unknown.
type RequestedSubject string

const (
	// IgnoreSubject issues the same token as without the request.
	IgnoreSubject RequestedSubject = ""
	// UseSubject issues a token with the requested sub.
	UseSubject RequestedSubject = "use"
	// ReplaceSubject issues a token with a random sub.
	ReplaceSubject RequestedSubject = "replace"
	// RejectSubject responds with 400. For another status, inject a fault.
	RejectSubject RequestedSubject = "reject"
)

// Config describes the cloud that a sandbox simulates. It has a JSON form.
type Config struct {
	// Build holds the claims of identity tokens other than the registered ones.
	Build map[string]any `json:"build"`
	// Subject is the form of the sub claim, in which {NAME} is replaced by the claim with this name. Defaults to
	// [DefaultSubject].
	Subject          string           `json:"subject,omitempty"`
	RequestedSubject RequestedSubject `json:"requested_subject,omitempty"`
	// EveryClaim makes every claim of a token a condition key, as STS-compatible services do. By default, only the claims
	// that AWS documents for any OIDC provider are: aud, sub, amr, email, and oaud.
	EveryClaim bool `json:"every_claim,omitempty"`
	// TokenLifetime is the lifetime of identity tokens in seconds.
	TokenLifetime int `json:"token_lifetime"`
	// SessionLifetime overrides the lifetime that STS states for its sessions, in seconds; 0 means the requested duration. The
	// sandbox accepts them for the requested duration in any case, since a call may take long on a slow machine.
	SessionLifetime int `json:"session_lifetime,omitempty"`
	// DisabledRegions lists the Regions in which STS is not activated.
	DisabledRegions []string `json:"disabled_regions,omitempty"`
	// UnreachableIssuer makes STS fail to fetch the issuer's keys.
	UnreachableIssuer bool `json:"unreachable_issuer,omitempty"`
	// SessionTokenLimit is the size of the longest session token in bytes. 0 means MaxSessionToken.
	SessionTokenLimit int       `json:"session_token_limit,omitempty"`
	Accounts          []Account `json:"accounts"`
}

// Account is an AWS account.
type Account struct {
	// ID is the account ID, 12 digits.
	ID string `json:"id"`
	// Partition is the AWS partition. Defaults to aws.
	Partition string     `json:"partition,omitempty"`
	Providers []Provider `json:"oidc_providers,omitempty"`
	Roles     []Role     `json:"roles,omitempty"`
	Users     []User     `json:"users,omitempty"`
}

// Provider is an IAM OIDC provider.
// See https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html.
type Provider struct {
	// URL is the issuer's URL, with or without https://.
	URL string `json:"url"`
	// ClientIDs are the audiences.
	ClientIDs []string `json:"client_ids"`
	// ContextProvider turns claims into context keys of the sessions. Nil means none.
	ContextProvider *ContextProvider `json:"context_provider,omitempty"`
}

// ContextProvider is a provider's trusted identity propagation. Its JSON form is that of the IAM API.
// See https://docs.aws.amazon.com/IAM/latest/APIReference/API_ContextProvider.html.
type ContextProvider struct {
	// SubjectSourceKey is the claim that becomes aws:OriginIdentity/Subject.
	SubjectSourceKey string
	// SubjectTypeValue becomes aws:OriginIdentity/SubjectType.
	SubjectTypeValue string `json:",omitempty"`
	// KeyDefinitionList has the claims that become aws:TransactionContext/IdentityProvider/TARGETKEY, at most 10.
	KeyDefinitionList []KeyDefinition `json:",omitempty"`
}

// KeyDefinition maps a claim to a context key. An empty TargetKey means the claim's name.
type KeyDefinition struct {
	SourceKey string
	TargetKey string `json:",omitempty"`
}

// Role is an IAM role. See https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html.
type Role struct {
	Name string `json:"name"`
	// Path starts and ends with a slash. Defaults to /.
	Path string `json:"path,omitempty"`
	// MaxSessionDuration is in seconds. 0 means 3600.
	MaxSessionDuration int `json:"max_session_duration,omitempty"`
	// TrustPolicy states who can assume the role.
	TrustPolicy json.RawMessage `json:"trust_policy"`
	// Policies are the role's permissions policies.
	Policies []json.RawMessage `json:"policies,omitempty"`
}

// User is an IAM user. The sandbox creates one access key for each user.
type User struct {
	Name     string            `json:"name"`
	Path     string            `json:"path,omitempty"`
	Policies []json.RawMessage `json:"policies,omitempty"`
}

// ParseConfig parses a Config in JSON. It rejects unknown fields.
func ParseConfig(data []byte) (Config, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var config Config
	if err := decoder.Decode(&config); err != nil {
		return Config{}, fmt.Errorf("parse the sandbox configuration: %w", err)
	}
	return config, nil
}

// DefaultAppSlug is the app_slug claim of the default build.
const DefaultAppSlug = "0123456789abcdef"

// DefaultConfig returns a configuration with two accounts. Account 123456789012 has the issuer as an OIDC provider, the role
// bitrise-deploy, and the user ci. The builds of the default app can assume the role. Role and user can log in to ECR and
// assume other roles. Account 210987654321 has the role deploy-target, which trusts both.
func DefaultConfig() Config {
	const allowed = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Resource":"*","Action":[
		"ecr:GetAuthorizationToken","ecr-public:GetAuthorizationToken","sts:GetServiceBearerToken","sts:AssumeRole","sts:TagSession"]}}`
	return Config{
		Build: map[string]any{
			"app_slug": DefaultAppSlug, "build_slug": "fedcba98-7654-3210-fedc-ba9876543210", "build_number": "4711",
			"workflow": "deploy", "pipeline": "", "branch": "main", "build_trigger": "webhook",
			"repository_owner": "example", "repository_slug": "app", "repository_url": "https://github.com/example/app.git",
			"workspace_slug": "89abcdef01234567",
		},
		TokenLifetime: int((10 * time.Minute).Seconds()),
		Accounts: []Account{
			{
				ID:        "123456789012",
				Providers: []Provider{{URL: IssuerHost, ClientIDs: []string{"sts.amazonaws.com"}}},
				Roles: []Role{{
					Name: "bitrise-deploy",
					TrustPolicy: json.RawMessage(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
						"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/` + IssuerHost + `"},
						"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{
							"` + IssuerHost + `:aud":"sts.amazonaws.com"},
							"StringLike":{"` + IssuerHost + `:sub":"app:` + DefaultAppSlug + `:*"},
							"StringEqualsIfExists":{"` + IssuerHost + `:app_slug":"` + DefaultAppSlug + `"}}}]}`),
					Policies: []json.RawMessage{json.RawMessage(allowed)},
				}},
				Users: []User{{Name: "ci", Policies: []json.RawMessage{json.RawMessage(allowed)}}},
			},
			{
				ID: "210987654321",
				Roles: []Role{{
					Name: "deploy-target",
					TrustPolicy: json.RawMessage(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":[
						"arn:aws:iam::123456789012:role/bitrise-deploy","arn:aws:iam::123456789012:user/ci"]},
						"Action":["sts:AssumeRole","sts:TagSession"]}}`),
					Policies: []json.RawMessage{json.RawMessage(allowed)},
				}},
			},
		},
	}
}

func (a *Account) partition() string {
	if a.Partition == "" {
		return "aws"
	}
	return a.Partition
}

func (r *Role) arn(account *Account) string {
	return "arn:" + account.partition() + ":iam::" + account.ID + ":role" + path(r.Path) + r.Name
}

func (u *User) arn(account *Account) string {
	return "arn:" + account.partition() + ":iam::" + account.ID + ":user" + path(u.Path) + u.Name
}

func path(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

// resolve replaces [IssuerHost] everywhere and checks the configuration, so that a mistake in it is reported at once.
func (c *Config) resolve(issuer string) error {
	if !slices.Contains([]RequestedSubject{IgnoreSubject, UseSubject, ReplaceSubject, RejectSubject}, c.RequestedSubject) {
		return fmt.Errorf("the requested subject must be %q, %q, or %q, got %q", UseSubject, ReplaceSubject, RejectSubject, c.RequestedSubject)
	}
	host := issuerHost(issuer)
	policy := func(raw *json.RawMessage, of string) error {
		*raw = bytes.ReplaceAll(*raw, []byte(IssuerHost), []byte(host))
		if _, err := ParsePolicy(*raw); err != nil {
			return fmt.Errorf("the policy of %s: %w", of, err)
		}
		return nil
	}
	for i := range c.Accounts {
		account := &c.Accounts[i]
		for j := range account.Providers {
			account.Providers[j].URL = issuerHost(strings.ReplaceAll(account.Providers[j].URL, IssuerHost, host))
		}
		for j := range account.Roles {
			role := &account.Roles[j]
			if err := policy(&role.TrustPolicy, role.Name); err != nil {
				return err
			}
			for k := range role.Policies {
				if err := policy(&role.Policies[k], role.Name); err != nil {
					return err
				}
			}
		}
		for j := range account.Users {
			for k := range account.Users[j].Policies {
				if err := policy(&account.Users[j].Policies[k], account.Users[j].Name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// issuerHost returns an issuer as IAM names it: without the scheme. IAM keeps a trailing slash, as this policy shows:
// https://gist.github.com/gene1wood/54611c45a3298504f8e33d95e317ae5c.
func issuerHost(issuer string) string {
	if _, host, found := strings.Cut(issuer, "://"); found {
		return host
	}
	return issuer
}
