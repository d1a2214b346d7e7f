package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// IssuerHost stands for the issuer without its scheme, the way IAM names providers and condition keys, wherever a Config
// holds a provider's URL or a policy: the issuer's port is not known before the start.
const IssuerHost = "${ISSUER_HOST}"

// Config is the world that a sandbox plays. It can be written as JSON.
type Config struct {
	// Build is what identity tokens say beside the registered claims.
	Build map[string]any `json:"build"`
	// TokenLifetime is how long identity tokens live, in seconds.
	TokenLifetime int `json:"token_lifetime"`
	// SessionLifetime overrides how long STS's sessions live, in seconds; 0: as long as was asked for.
	SessionLifetime int `json:"session_lifetime,omitempty"`
	// DisabledRegions are those in which STS is switched off.
	DisabledRegions []string `json:"disabled_regions,omitempty"`
	// UnreachableIssuer makes STS fail to fetch the issuer's keys.
	UnreachableIssuer bool `json:"unreachable_issuer,omitempty"`
	// PackedPolicyCharacters is how many characters of session policies and tags fit into a session; 0: 2048. What the real
	// limit is AWS does not say: the packing is its own.
	PackedPolicyCharacters int       `json:"packed_policy_characters,omitempty"`
	Accounts               []Account `json:"accounts"`
}

// Account is an AWS account.
type Account struct {
	// ID has 12 digits.
	ID string `json:"id"`
	// Partition is aws where it is empty.
	Partition string     `json:"partition,omitempty"`
	Providers []Provider `json:"oidc_providers,omitempty"`
	Roles     []Role     `json:"roles,omitempty"`
	Users     []User     `json:"users,omitempty"`
}

// Provider is an OIDC provider of IAM.
// See https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html.
type Provider struct {
	// URL is the issuer, with or without https://.
	URL string `json:"url"`
	// ClientIDs are the audiences.
	ClientIDs []string `json:"client_ids"`
}

// Role is an IAM role. See https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html.
type Role struct {
	Name string `json:"name"`
	// Path starts and ends with a slash; / where it is empty.
	Path string `json:"path,omitempty"`
	// MaxSessionDuration is in seconds; 3600 where it is 0.
	MaxSessionDuration int `json:"max_session_duration,omitempty"`
	// TrustPolicy is the document that says who may assume the role.
	TrustPolicy json.RawMessage `json:"trust_policy"`
	// Policies are the documents that say what the role may do.
	Policies []json.RawMessage `json:"policies,omitempty"`
}

// User is an IAM user with one access key, which is made at the start.
type User struct {
	Name     string            `json:"name"`
	Path     string            `json:"path,omitempty"`
	Policies []json.RawMessage `json:"policies,omitempty"`
}

// ParseConfig reads a Config from JSON. Fields that it does not have are errors.
func ParseConfig(data []byte) (Config, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var config Config
	if err := decoder.Decode(&config); err != nil {
		return Config{}, fmt.Errorf("parse the sandbox's configuration: %w", err)
	}
	return config, nil
}

// DefaultAppSlug is the app_slug of the default build.
const DefaultAppSlug = "0123456789abcdef"

// DefaultConfig is two accounts. 123456789012 has the issuer as a provider, the role bitrise-deploy, which the default
// build may assume and which may log in to ECR and assume other roles, and the user ci, who may do the same. 210987654321
// has the role deploy-target, which trusts them.
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
							"` + IssuerHost + `:aud":"sts.amazonaws.com","` + IssuerHost + `:app_slug":"` + DefaultAppSlug + `"}}}]}`),
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

// resolve puts the issuer into everything that names it, and parses all policies, so that a wrong one is an error now.
func (c *Config) resolve(issuer string) error {
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

// issuerHost is an issuer as IAM names it: without scheme and without a slash at the end.
func issuerHost(issuer string) string {
	_, host, found := strings.Cut(issuer, "://")
	if !found {
		host = issuer
	}
	return strings.TrimSuffix(host, "/")
}
