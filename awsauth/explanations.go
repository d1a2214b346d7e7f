package awsauth

import (
	"fmt"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// The tables say what STS's refusals mean here. AWS lists the codes at
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors.

// explicitDeny is a part of AWS's message if a statement with the effect Deny applies.
const explicitDeny = "explicit deny"

// webIdentityTable explains refusals of AssumeRoleWithWebIdentity.
func webIdentityTable() explain.Table {
	return append(explain.Table{
		{
			Codes: []string{"AccessDenied"}, Message: explicitDeny,
			Cause: "a policy explicitly denies role {role} to this build",
			Means: []string{"AWS names the kind of policy above. A Deny overrides everything that the role's trust policy allows."},
			Do:    []string{"Compare the conditions of the statement with the effect Deny with the claims below."},
		},
		{
			Codes: []string{"AccessDenied"},
			Cause: "role {role} does not trust this build, or does not exist",
			Means: []string{
				"AWS returns the same error if role {role} does not exist in {owner}, if its trust policy names a different provider, or " +
					"if this build does not meet one of its conditions. AWS did not call the token invalid, so the provider and the audience " +
					"are probably set up correctly.",
				"AWS documents the condition keys marked * below for every OIDC provider. A condition on any other claim may never be met, " +
					"even if its value is correct. (AWS documents more keys for GitHub, Google, CircleCI, and Oracle only. STS-compatible " +
					"services such as MinIO evaluate every claim.)",
			},
		},
		{
			Codes: []string{"InvalidIdentityToken"}, Message: "no openidconnect provider",
			Cause: "{owner} has no OIDC provider for {issuer}",
			Means: []string{"AWS did not check the token any further: the account of role_arn does not know its issuer."},
			Do: []string{
				"Add the provider to {owner}: IAM console, Identity providers, Add provider, OpenID Connect, with the provider URL " +
					"{issuer} and the audience {audience}.",
				"If the provider is in another account, use a role of that account: providers do not work across accounts.",
			},
		},
		{
			Codes: []string{"InvalidIdentityToken"}, Message: "audience",
			Cause: "the OIDC provider in {owner} does not list the audience {audience}",
			Means: []string{"The provider exists, but the token's audience is not one of its audiences."},
			Do: []string{
				"Set audience to one of the provider's: IAM console, Identity providers, {provider}, Audiences. It is usually {usual audience}.",
				"Or add {audience} to that list.",
			},
		},
		{
			Codes: []string{"InvalidIdentityToken"}, Message: "retrieve verification key",
			Cause: "AWS could not fetch the keys of the provider {provider}",
			Means: []string{"AWS could not fetch the issuer's public keys, which it needs to verify the token's signature. This is " +
				"usually temporary. The Step retried until its timeout."},
			Do: []string{
				"Run the build again later, and check https://status.bitrise.io.",
				"If the issuer is not Bitrise: AWS must be able to fetch {issuer}/.well-known/openid-configuration from the public " +
					"internet over https.",
			},
		},
		{
			Codes: []string{"InvalidIdentityToken"}, Message: "valid jwt",
			Cause: "AWS does not accept the token as an identity token",
			Means: []string{"The token has the form of a JSON Web Token, or the Step would not have sent it. Most likely it is an " +
				"access token, or it is signed with an algorithm that AWS does not support."},
			Do: []string{"Check where identity_token comes from. It must be an OpenID Connect identity token, signed with RS256 or " +
				"another asymmetric algorithm."},
		},
		{
			Codes: []string{"InvalidIdentityToken"}, Message: "signature",
			Cause: "the token's signature does not match the keys of {provider}",
			Means: []string{"AWS verified the token with the keys that the issuer publishes. The token was most likely altered, or " +
				"was not issued by {provider}."},
			Do: []string{
				"If identity_token is set, check that nothing truncates or changes it on the way.",
				"Otherwise run the build again. If it fails again, contact Bitrise's support.",
			},
		},
		{
			Codes: []string{"InvalidIdentityToken"},
			Cause: "AWS does not accept the identity token",
			Means: []string{"The provider in {owner} and the token do not match in some way that AWS names above."},
			Do:    []string{"Compare the provider's URL and audiences in the IAM console with the token: issuer {issuer}, audience {audience}."},
		},
		{
			Codes: []string{"ExpiredTokenException"},
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
			Codes: []string{"IDPRejectedClaim"},
			Cause: "the identity provider rejected the token, or AWS rejected its claims",
			Means: []string{"AWS answers this if the provider reports the claim as invalid: the token may have been revoked, or may " +
				"be of another kind than AWS expects."},
			Do: []string{
				"Run the build again: it gets a new token.",
				"If identity_token is set, check that it is an OpenID Connect identity token and not an access token.",
			},
		},
		{
			Codes: []string{"IDPCommunicationError"},
			Cause: "AWS could not reach the identity provider {provider}",
			Means: []string{"AWS asked the token's issuer for its public keys and got no answer. The Step retried until its timeout."},
			Do: []string{
				"Run the build again later, and check https://status.bitrise.io.",
				"If it happens only occasionally, raise timeout.",
			},
		},
	}, roleRows()...)
}

// table explains refusals of AssumeRole.
func (r AssumedRole) table() explain.Table {
	const bothSides = "Both sides must allow it: the caller's policies and the role's trust policy."
	const said = "AWS names the kind of policy above. " + bothSides + " Nothing may deny it."
	const unsaid = bothSides + " Within one account the trust policy can be enough. AWS does not say which of them is missing, " +
		"nor whether the role exists."
	advice := []string{
		"Check that the trust policy of {arn} has a statement with the action sts:AssumeRole whose principal is the caller's role " +
			"or user, or its account.",
		"Check that the caller's policies allow sts:AssumeRole on {arn}.",
	}
	if len(r.Tags) > 0 {
		advice = append(advice,
			"session_tags are sent: both sides must also allow sts:TagSession, and conditions on aws:RequestTag must hold.")
	}
	if r.ExternalID.text != "" {
		advice = append(advice, "external_id is sent: a condition on sts:ExternalId must name exactly this value.")
	} else {
		advice = append(advice, "If the trust policy has a condition on sts:ExternalId, set external_id to its value.")
	}
	denied := func(message, means string) explain.Row {
		return explain.Row{
			Codes: []string{"AccessDenied"}, Message: message,
			Cause: "hop {hop} of role_chain: the caller is not allowed to assume role {role}",
			Means: []string{means}, Do: advice,
		}
	}
	return append(explain.Table{
		denied("sts:tagsession", said),
		denied(explicitDeny, said),
		denied("because no ", said),
		denied("", unsaid),
		{
			Codes: []string{"InvalidClientTokenId", "UnrecognizedClientException"},
			Cause: "STS does not recognize the credentials of the previous hop",
			Means: []string{"It issued them a moment ago. New credentials can take seconds to be known everywhere; the Step waited for that."},
			Do: []string{"Run the build again. If it fails again, check that the role of the previous hop still exists and that " +
				"its sessions were not revoked."},
		},
		{
			Codes: []string{"ExpiredToken", "ExpiredTokenException"},
			Cause: "the credentials of the previous hop have expired",
			Do:    []string{"Use fewer hops in role_chain, or a longer duration for the session before."},
		},
	}, roleRows()...)
}

// accessKeyTable explains refusals of GetCallerIdentity.
func accessKeyTable() explain.Table {
	return explain.Table{
		{
			Codes: []string{"InvalidClientTokenId", "InvalidAccessKeyId"},
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
			Codes: []string{"SignatureDoesNotMatch"},
			Cause: "secret_access_key does not belong to access_key_id, or the clock is wrong",
			Means: []string{"AWS recognizes the access key ID, but the request was not signed with its secret. If the clock is the " +
				"reason, AWS says above that the signature expired."},
			Do: []string{
				"Copy the whole secret again. If it is lost, create a new key: AWS shows a secret only once.",
				"Check this machine's clock if AWS mentions it.",
			},
		},
		{
			Codes: []string{"ExpiredToken", "ExpiredTokenException"},
			Cause: "the temporary access key has expired",
			Do:    []string{"Use a new one, or use role_arn, which gets every build its own."},
		},
	}
}

// roleRows explain what both calls that assume a role can answer.
func roleRows() explain.Table {
	return explain.Table{
		{
			Codes: []string{"ValidationError"}, Message: "maxsessionduration",
			Cause: "the session would be longer than role {role} allows",
			Means: []string{"The Step requested {requested} (session_duration). Every role has a maximum session duration, which " +
				"AWS's answer does not include. By default it is 3600 seconds."},
			Do: []string{
				"Lower session_duration, or leave it empty.",
				"Or raise the role's maximum: IAM console, Roles, {role}, Edit, Maximum session duration.",
			},
		},
		{
			Codes: []string{"ValidationError"},
			Cause: "AWS rejected a parameter of the call",
			Do:    []string{"AWS's answer above names the parameter and its constraint."},
		},
		{
			Codes: []string{"RegionDisabledException"},
			Cause: "STS is not activated in this Region for the role's account",
			Means: []string{"An account must activate STS in a Region before it can be called there."},
			Do: []string{
				"Activate STS for the Region in {owner}: IAM console, Account settings, Security Token Service.",
				"Or set region to one that is active. In AWS's commercial partition, us-east-1 always is.",
			},
		},
		{
			Codes: []string{"MalformedPolicyDocument"},
			Cause: "AWS cannot parse the session policy",
			Do:    []string{"Check the policy in the IAM console: Policies, Create policy, JSON. AWS's answer above may say where the error is."},
		},
		{
			Codes: []string{"PackedPolicyTooLarge"},
			Cause: "the session policies and session tags together are too large",
			Means: []string{"AWS packs session policies and session tags into the session, where space is limited; its answer above " +
				"says how much of it they take. A policy within the character limit can still be too large."},
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
