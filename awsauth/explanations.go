package awsauth

import (
	"fmt"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// The tables say what STS's refusals mean here. AWS lists the codes at
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors.

const (
	// exchange is the action of a call with an identity token.
	exchange = "sts:AssumeRoleWithWebIdentity"
	// nextRole is the section about roles of a chain that the role before may not assume.
	nextRole = "role-may-not-assume-the-next-role"
)

// companion says why a call that assumes a role requires more than its own action; empty if that is not known.
func companion(action string) string {
	return map[string]string{
		"sts:TagSession": "The session has tags: from the identity token, from session_tags, or from an earlier session that passes " +
			"its tags on.",
		"sts:SetSourceIdentity": "The session has a source identity: from the identity token, or from an earlier session, which passes it on.",
	}[action]
}

// webIdentityTable explains refusals of AssumeRoleWithWebIdentity.
func webIdentityTable() explain.Table {
	unfetched := explain.Row{
		Section: "providers-keys-cannot-be-fetched", Codes: []string{"InvalidIdentityToken"}, Message: "retrieve verification key",
		Cause: "AWS could not fetch the keys of the provider {provider}",
		Means: []string{"AWS could not fetch the issuer's public keys, which it needs to verify the token's signature. This is " +
			"usually temporary. The Step retried until its timeout."},
		Do: []string{
			"Run the build again later, and check https://status.bitrise.io.",
			"If the issuer is not Bitrise: AWS must be able to fetch {issuer}/.well-known/openid-configuration from the public " +
				"internet over https.",
		},
	}
	silent := unfetched
	silent.Codes, silent.Message = []string{"IDPCommunicationError"}, ""
	return append(explain.Table{
		{
			Section: "no-provider-in-the-account", Codes: []string{"InvalidIdentityToken"}, Message: "no openidconnect provider",
			Cause: "{owner} has no OIDC provider for {issuer}",
			Means: []string{"AWS did not check the token any further: the account of role_arn does not know its issuer."},
			Do: []string{
				"Add the provider to {owner}: IAM console, Identity providers, Add provider, OpenID Connect, with the provider URL " +
					"{issuer} and the audience {audience}.",
				"If the provider is in another account, use a role of that account: providers do not work across accounts.",
			},
		},
		{
			Section: "audience-unknown-to-the-provider", Codes: []string{"InvalidIdentityToken"}, Message: "audience",
			Cause: "the OIDC provider in {owner} does not list the audience {audience}",
			Means: []string{"The provider exists, but the token's audience is not one of its audiences."},
			Do: []string{
				"Set audience to one of the provider's: IAM console, Identity providers, {provider}, Audiences. It is usually {usual audience}.",
				"Or add {audience} to that list.",
			},
		},
		{
			Section: "thumbprint-of-the-provider", Codes: []string{"InvalidIdentityToken"}, Message: "thumbprint",
			Cause: "the certificate of {provider} does not match the thumbprints of the provider in IAM",
			Means: []string{"A thumbprint is the fingerprint of a certificate that the provider in IAM accepts for its URL. It is out of date " +
				"if the issuer has a new certificate authority."},
			Do: []string{"Update the provider in {owner}: IAM console, Identity providers, {provider}, Thumbprints."},
		},
		unfetched,
		{
			Section: "token-that-is-not-an-identity-token", Codes: []string{"InvalidIdentityToken"}, Message: "valid jwt",
			Cause: "AWS does not accept the token as an identity token",
			Means: []string{"The token has the form of a JSON Web Token, or the Step would not have sent it. Most likely it is an " +
				"access token, or it is signed with an algorithm that AWS does not support."},
			Do: []string{"Check where identity_token comes from. It must be an OpenID Connect identity token, signed with RS256 or " +
				"another asymmetric algorithm."},
		},
		{
			Section: "signature-that-does-not-match", Codes: []string{"InvalidIdentityToken"}, Message: "signature",
			Cause: "the token's signature does not match the keys of {provider}",
			Means: []string{"AWS verified the token with the keys that the issuer publishes. The token was most likely altered, or " +
				"was not issued by {provider}."},
			Do: []string{
				"If identity_token is set, check that nothing truncates or changes it on the way.",
				"Otherwise run the build again. If it fails again, contact Bitrise's support.",
			},
		},
		{
			Section: "identity-token-not-accepted", Codes: []string{"InvalidIdentityToken"},
			Cause: "AWS does not accept the identity token",
			Means: []string{"The provider in {owner} and the token do not match in some way that AWS names above."},
			Do:    []string{"Compare the provider's URL and audiences in the IAM console with the token: issuer {issuer}, audience {audience}."},
		},
		{
			Section: "token-expired-before-it-was-exchanged", Codes: []string{"ExpiredTokenException"},
			Cause: "the identity token had expired when AWS received it",
			Means: []string{"The Step checks a token before it sends it. So most likely this machine's clock is wrong, or the clock " +
				"of the machine that issued the token."},
			Do: []string{
				"If identity_token is set: run the Step that creates it right before this one, or leave identity_token empty, so that " +
					"this Step fetches a new token.",
				"Check this machine's clock.",
			},
		},
		{
			Section: "claim-rejected-by-the-provider", Codes: []string{"IDPRejectedClaim"},
			Cause: "the identity provider rejected the token, or AWS rejected its claims",
			Means: []string{"AWS returns this if the provider reports the claim as invalid: the token may have been revoked, or may " +
				"be of another kind than AWS expects."},
			Do: []string{
				"Run the build again: it gets a new token.",
				"If identity_token is set, check that it is an OpenID Connect identity token and not an access token.",
			},
		},
		silent,
	}, roleRows()...)
}

// table explains refusals of AssumeRole.
func (r AssumedRole) table() explain.Table {
	codes := []string{"AccessDenied"}
	return append(explain.Table{
		{
			Section: "role-requires-mfa", Codes: codes, Message: "multifactorauthentication",
			Cause: "{role} requires multi-factor authentication (MFA), which a build cannot provide",
			Do: []string{
				"Remove the condition on MFA from the trust policy of {arn}, at least for {caller}.",
				"Or let the role trust the build's identity token instead, and set role_arn to it. That requires no access key.",
			},
		},
		{
			Section: nextRole, Codes: codes, Cause: "{denied}",
			Means: []string{"Both sides must allow {action}, except that the trust policy can be enough within one account. AWS does not say " +
				"which side is missing, nor whether the role exists."},
			Do: []string{
				"Allow {action} in the trust policy of {arn}, with {caller} or its account as the principal.",
				"Allow {action} on {arn} in the policies of {caller}.",
			},
		},
	}, roleRows()...)
}

// accessKeyTable explains refusals of GetCallerIdentity.
func accessKeyTable() explain.Table {
	return explain.Table{
		{
			Section: "unknown-access-key", Codes: []string{"InvalidClientTokenId", "InvalidAccessKeyId"},
			Cause: "AWS does not recognize the access key",
			Means: []string{"The key was deleted or deactivated, belongs to another AWS partition, or is temporary (its ID starts " +
				"with ASIA) and its session_token is missing or belongs to another key."},
			Do: []string{
				"Check the key: IAM console, Users, the user, Security credentials, Access keys.",
				"For a temporary key, set session_token too.",
				"Better: use role_arn, which needs no stored key.",
			},
		},
		{
			Section: "secret-of-another-access-key", Codes: []string{"SignatureDoesNotMatch"},
			Cause: "secret_access_key does not belong to access_key_id, or the clock is wrong",
			Means: []string{"AWS recognizes the access key ID, but the request was not signed with its secret. If the clock is the " +
				"reason, AWS says above that the signature expired."},
			Do: []string{
				"Copy the whole secret again. If it is lost, create a new key: AWS shows a secret only once.",
				"Check this machine's clock if AWS mentions it.",
			},
		},
	}
}

// roleRows explain what both calls that assume a role can return.
func roleRows() explain.Table {
	return explain.Table{
		{
			Section: "session-longer-than-the-role-allows", Codes: []string{"ValidationError"}, Message: "maxsessionduration",
			Cause: "the session would be longer than role {role} allows",
			Means: []string{"The Step requested {requested} (session_duration). Every role has a maximum session duration, which " +
				"AWS's message does not include. By default it is 3600 seconds."},
			Do: []string{
				"Lower session_duration, or leave it empty.",
				"Or raise the role's maximum: IAM console, Roles, {role}, Edit, Maximum session duration.",
			},
		},
		{
			Section: "sts-not-active-in-the-region", Codes: []string{"RegionDisabledException"},
			Cause: "STS is not activated in this Region for the role's account",
			Means: []string{"An account must activate STS in a Region before it can be called there."},
			Do: []string{
				"Activate STS for the Region in {owner}: IAM console, Account settings, Security Token Service.",
				"Or set region to one that is active. In AWS's commercial partition, us-east-1 always is.",
			},
		},
		{
			Section: "session-policy-malformed", Codes: []string{"MalformedPolicyDocument"},
			Cause: "AWS cannot parse the session policy",
			Do:    []string{"Check the policy in the IAM console: Policies, Create policy, JSON."},
		},
		{
			Section: "session-policy-too-large", Codes: []string{"PackedPolicyTooLarge"},
			Cause: "the session policies and session tags are too large for a session token",
			Means: []string{"A session token has at most 4,096 bytes, and contains the session policies and the session tags, including tags " +
				"that an earlier session passes on. A policy within its own limit can still be too large."},
			Do: []string{
				"Shorten the session policy, or move a part of it into the role's policies.",
				"Use fewer or shorter session tags.",
			},
		},
	}
}

// placeholders are the values that every table of a role needs.
func placeholders(role RoleARN, settings SessionSettings) map[string]string {
	requested := "AWS's default, 3600 seconds"
	if settings.Duration > 0 {
		requested = fmt.Sprintf("%d seconds", int(settings.Duration.Seconds()))
	}
	return map[string]string{
		"role": role.name, "arn": role.String(), "owner": role.owner(), "requested": requested, "usual audience": role.usualAudience(),
	}
}

// providerHost returns an issuer as IAM names its provider: without the scheme. IAM keeps a trailing slash.
func providerHost(issuer string) string {
	if _, host, found := strings.Cut(issuer, "://"); found {
		return host
	}
	return issuer
}
