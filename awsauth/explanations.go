package awsauth

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// The tables explain the errors of STS. AWS lists the codes at
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors.

// table explains errors of AssumeRoleWithWebIdentity.
func (w WebIdentity) table() []explain.Explanation {
	issuer, provider, audience, owner := w.Token.Issuer, w.Token.Provider(), w.Token.Claims["aud"].Value, w.Role.owner()
	return append(roleRows(w.Role), []explain.Explanation{
		{
			Section: "no-provider-in-the-account", Match: "InvalidIdentityToken: no openidconnect provider",
			Cause: owner + " has no OIDC provider for " + issuer,
			Means: []string{"AWS did not check the token further because the role's account has no provider for this issuer."},
			Do: []string{
				"Add the provider to " + owner + ": IAM console, Identity providers, Add provider, OpenID Connect, with the provider URL " +
					issuer + " and the audience " + audience + ".",
				"If the provider is in a different account, use a role in that account. A role can't use another account's provider.",
			},
		},
		{
			Section: "audience-unknown-to-the-provider", Match: "InvalidIdentityToken: audience",
			Cause: "the OIDC provider in " + owner + " does not list the audience " + audience,
			Means: []string{"The provider exists, but the token's audience is not one of its audiences."},
			Do: []string{
				"Set audience to one of the provider's audiences: IAM console, Identity providers, " + provider + ", Audiences. It is usually " +
					"sts.amazonaws.com, or sts.amazonaws.com.cn in China.",
				"Or add " + audience + " to the provider's audiences.",
			},
		},
		{
			Section: "thumbprint-of-the-provider", Match: "InvalidIdentityToken: thumbprint",
			Cause: "the certificate of " + provider + " does not match the provider's thumbprints in IAM",
			Means: []string{"A thumbprint is the fingerprint of a certificate that the provider in IAM " +
				"accepts for its URL. It is out of date if the issuer has changed its certificate authority."},
			Do: []string{"Update the provider in " + owner + ": IAM console, Identity providers, " + provider + ", Thumbprints."},
		},
		{
			Section: "providers-keys-cannot-be-fetched", Match: "IDPCommunicationError|InvalidIdentityToken: retrieve verification key",
			Cause: "AWS could not fetch the public keys of " + provider,
			Means: []string{"AWS needs the issuer's public keys to verify the token's signature. This " +
				"error is usually temporary. The Step retried until its timeout."},
			Do: []string{
				"Run the build again later, and check https://status.bitrise.io.",
				"If the issuer isn't Bitrise, make sure that AWS can fetch " + issuer + "/.well-known/openid-configuration from the public " +
					"internet over HTTPS.",
			},
		},
		{
			Section: "token-that-is-not-an-identity-token", Match: "InvalidIdentityToken: valid jwt",
			Cause: "AWS does not accept the token as an identity token",
			Means: []string{"The token is most likely an access token, or it is signed with an algorithm that AWS does not support."},
			Do: []string{"Check which token identity_token is set to. It must be an OpenID Connect " +
				"identity token that is signed with RS256 or another asymmetric algorithm."},
		},
		{
			Section: "signature-that-does-not-match", Match: "InvalidIdentityToken: signature",
			Cause: "the token's signature does not match the public keys of " + provider,
			Means: []string{"The token was most likely altered, or was not issued by " + provider + "."},
			Do: []string{
				"If identity_token is set, check that the token isn't truncated or changed before it reaches this Step.",
				"Otherwise, run the build again. If it fails again, contact Bitrise support.",
			},
		},
		{
			Section: "identity-token-not-accepted", Match: "InvalidIdentityToken",
			Cause: "AWS does not accept the identity token",
			Means: []string{"The token does not match the provider in " + owner + ". AWS's message above says in which way."},
			Do: []string{
				"Compare the provider's URL and audiences in the IAM console with the token, which has the issuer " + issuer + " and the " +
					"audience " + audience + ".",
			},
		},
		{
			Section: "token-expired-before-it-was-exchanged", Match: "ExpiredTokenException",
			Cause: "the identity token had expired when AWS received it",
			Means: []string{"The Step checks the expiration before it sends a token. Most likely, the " +
				"clock of this machine, or of the token's issuer, is wrong."},
			Do: []string{
				"Check this machine's clock.",
				"If identity_token is set, run the Step that creates the token right before this one. Or " +
					"leave identity_token empty, so that this Step fetches a new token.",
			},
		},
		{
			Section: "claim-rejected-by-the-provider", Match: "IDPRejectedClaim",
			Cause: "the identity provider rejected the token, or AWS rejected its claims",
			Means: []string{"The token may have been revoked, or may not be of the type that AWS expects."},
			Do: []string{
				"Run the build again, with a new token.",
				"If identity_token is set, check that it is an OpenID Connect identity token and not an access token.",
			},
		},
	}...)
}

// explain explains an error of Session.
func (r AssumedRole) explain(err error) error {
	place := fmt.Sprintf("role %d of %d in role_chain", r.Hop, r.Hops)
	err = fmt.Errorf("%s, %s assumes %s: %w", place, r.Caller.CallerARN, r.Role, err)
	arn, caller := r.Role.text, nameOf(r.Caller.CallerARN)
	denied := caller + " may not assume " + r.Role.name
	d, _ := awserr.DenialOf(err)
	if d.Why() != nil && d.Policy == "" {
		denied += " because " + d.Action + " is not allowed"
	}
	action := cmp.Or(d.Action, "sts:AssumeRole")
	err = awserr.Explain(err, append(roleRows(r.Role), []explain.Explanation{
		{
			Section: "role-requires-mfa", Match: "AccessDenied: multifactorauthentication",
			Cause: r.Role.name + " requires multi-factor authentication (MFA), which a build can't provide",
			Do: []string{
				"Remove the condition on MFA from the trust policy of " + arn + ", at least for " + caller + ".",
				"Or change the trust policy to trust the build's identity token, and set role_arn to this role instead of using an access key.",
			},
		},
		{
			Section: "role-may-not-assume-the-next-role", Match: "AccessDenied", Cause: denied,
			Means: append([]string{"Both the trust policy of the role and the policies of its caller must allow " + action + ". Within one " +
				"account, the trust policy can be enough. AWS doesn't say which of the two is missing, or whether the role exists."}, d.Why()...),
			Do: []string{
				"Allow " + action + " in the trust policy of " + arn + ", with " + caller + " or its account as the principal.",
				"Allow " + action + " on " + arn + " in the policies of " + caller + ".",
				"If the trust policy has conditions, check that they are met. For a condition on " +
					"sts:ExternalId, set external_id. For conditions on aws:RequestTag, set session_tags.",
			},
		},
	}...), awserr.Call{Action: action, Resource: arn, Policy: "the policies of " + caller, Denied: denied})
	var explained *explain.Error
	if errors.As(err, &explained) && explained.Cause != "" {
		explained.Cause = place + ": " + explained.Cause
	}
	return err
}

// accessKeyTable explains errors of GetCallerIdentity.
func accessKeyTable() []explain.Explanation {
	return []explain.Explanation{
		{
			Section: "unknown-access-key", Match: "InvalidClientTokenId|InvalidAccessKeyId",
			Cause: "AWS does not recognize the access key",
			Means: []string{"The key was deleted or deactivated, belongs to a different AWS partition, or is temporary (its ID starts " +
				"with ASIA) and session_token is missing or belongs to a different key."},
			Do: []string{
				"Check the key: IAM console, Users, the user, Security credentials, Access keys.",
				"For a temporary key, set session_token, too.",
				"Consider using role_arn, which doesn't need a stored key.",
			},
		},
		{
			Section: "secret-of-another-access-key", Match: "SignatureDoesNotMatch",
			Cause: "secret_access_key does not belong to access_key_id, or the clock is wrong",
			Means: []string{"AWS recognizes the access key ID, but the request was not signed with its " +
				"secret. If the clock is wrong, AWS's message above says that the signature expired."},
			Do: []string{
				"Copy the whole secret again. If it is lost, create a new key, because AWS shows a secret only once.",
				"If AWS mentions an expired signature, check this machine's clock.",
			},
		},
	}
}

// roleRows explain errors that both calls that assume a role can return.
func roleRows(role RoleARN) []explain.Explanation {
	return []explain.Explanation{
		{
			Section: "session-longer-than-the-role-allows", Match: "ValidationError: maxsessionduration",
			Cause: "the session would be longer than role " + role.name + " allows",
			Means: []string{"Every role has a maximum session duration, which is 3600 seconds by default. session_duration exceeds it."},
			Do: []string{
				"Decrease session_duration, or leave it empty.",
				"Or increase the role's maximum: IAM console, Roles, " + role.name + ", Edit, Maximum session duration.",
			},
		},
		{
			Section: "sts-not-active-in-the-region", Match: "RegionDisabledException",
			Cause: "STS is not activated in this Region for the role's account",
			Means: []string{"An account must activate STS in this Region before its roles can be assumed there."},
			Do: []string{
				"Activate STS for the Region in " + role.owner() + ": IAM console, Account settings, Security Token Service.",
				"Or set region to one in which STS is active. In AWS's commercial partition, us-east-1 always is.",
			},
		},
		{
			Section: "session-policy-malformed", Match: "MalformedPolicyDocument",
			Cause: "AWS cannot parse the session policy",
			Do:    []string{"Check the policy in the IAM console: Policies, Create policy, JSON."},
		},
		{
			Section: "session-policy-too-large", Match: "PackedPolicyTooLarge",
			Cause: "the session policies and session tags are too large for a session token",
			Means: []string{"A session token has at most 4,096 bytes. It contains the session policies and the session tags, including tags " +
				"that an earlier session passes on. So a policy within its own limit can still be too large."},
			Do: []string{
				"Shorten the session policy, or move parts of it to the role's policies.",
				"Use fewer or shorter session tags.",
			},
		},
	}
}
