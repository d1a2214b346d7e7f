package step

import (
	"time"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/awsauth"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/dockerlogin"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awsid"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/secret"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/oidc"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/profile"
)

// Config is what one run does. Only [ParseInputs] makes one, so nothing in it needs to be checked again.
type Config struct {
	// IsLogout means that the run removes what earlier runs of this build added: Profile and Registries, or everything if there are none.
	// Apart from these, only Region, Timeout, and Verbose are set.
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

// isRenewable reports whether the credentials can be obtained again for as long as the build runs.
func (c Config) isRenewable() bool {
	if key := c.AccessKey; key != nil {
		return len(c.Chain) > 0 && key.SessionToken.IsEmpty()
	}
	return c.WebIdentity.Token.Text.IsEmpty()
}
