package awsauth

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/awserr"
	"github.com/bitrise-steplib/bitrise-step-authenticate-with-aws/internal/explain"
)

// RoleError is a role that could not be assumed with an identity token.
type RoleError struct {
	Role  RoleARN
	Token IdentityToken
	// Settings are those that were asked for.
	Settings SessionSettings
	Err      error
}

// Error says which role, and why not.
func (e *RoleError) Error() string { return fmt.Sprintf("assume role %s: %s", e.Role, e.Err) }

// Unwrap returns the cause.
func (e *RoleError) Unwrap() error { return e.Err }

// Explain tells what STS's refusal means. AWS lists the codes, and hardly explains them, at
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html#API_AssumeRoleWithWebIdentity_Errors.
func (e *RoleError) Explain() (explain.Explanation, bool) { return explained(e.Err, e.meaning) }

func (e *RoleError) meaning(refusal *awserr.Refusal) explain.Explanation {
	switch refusal.Code {
	case "AccessDenied":
		return e.accessDenied()
	case "InvalidIdentityToken":
		return e.invalidToken(refusal.Message)
	case "ExpiredTokenException":
		return explain.Explanation{
			Cause: "the identity token had expired when AWS received it",
			Means: []string{"The token was checked before it was sent, so it is likely that this machine's clock, or the one of a token that was made by an earlier Step, is off, or that the token waited too long."},
			Do:    []string{"If identity_token is given: let the Step that makes it run right before this one, or leave identity_token empty, so that this Step fetches a fresh one.", "Check the machine's clock."},
		}
	case "IDPRejectedClaim":
		return explain.Explanation{
			Cause: "the identity provider rejected the token, or AWS its claims",
			Means: []string{"AWS says so when the provider reports the claim as not valid: the token may have been revoked, or may be of another kind than AWS expects."},
			Do:    []string{"Run the build again: it gets a new token.", "If identity_token is given, check that it is an OpenID Connect identity token and not an access token."},
		}
	case "IDPCommunicationError":
		return explain.Explanation{
			Cause: "AWS could not reach the identity provider " + host(e.Token.Issuer),
			Means: []string{"AWS asks the token's issuer for its public keys, and got no answer. The Step tried again until its timeout."},
			Do:    []string{"Run the build again later; look at https://status.bitrise.io.", "Raise timeout if this is rare and passes."},
		}
	case "RegionDisabledException":
		return regionDisabled(e.Role)
	case "ValidationError":
		return validation(e.Role, e.Settings, refusal.Message)
	default:
		return common(refusal)
	}
}

// explained explains a refusal of STS by its meaning, which is empty where there is nothing to add; what was said is filled
// in.
func explained(err error, meaning func(*awserr.Refusal) explain.Explanation) (explain.Explanation, bool) {
	var refusal *awserr.Refusal
	if !errors.As(err, &refusal) {
		return explain.Explanation{}, false
	}
	x := meaning(refusal)
	if x.Cause == "" {
		return x, false
	}
	x.Said = err.Error()
	return x, true
}

// common explains the codes that mean the same for every call that assumes a role.
func common(refusal *awserr.Refusal) explain.Explanation {
	switch refusal.Code {
	case "MalformedPolicyDocument":
		return explain.Explanation{
			Cause: "the session policy is not a policy that AWS can read",
			Do:    []string{"Check the policy in the IAM console: Policies, Create policy, JSON. What AWS said above names the place, if it knows one."},
		}
	case "PackedPolicyTooLarge":
		return explain.Explanation{
			Cause: "the session policies and session tags together are too large",
			Means: []string{"AWS packs them into the session, whose space is limited." + excess(refusal.Message) + " The packing is AWS's own, so a policy within the limit of characters can still be too large."},
			Do:    []string{"Shorten the session policy, or move a part of it into the role's own policies.", "Use fewer or shorter session tags."},
		}
	case "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException":
		return explain.Explanation{
			Cause: "AWS turned the call away as one too many, for longer than the timeout",
			Means: []string{"An account may call STS so often a second. Other builds and programs of the account share that."},
			Do:    []string{"Raise timeout: the Step spreads its attempts, and more time lets more builds through.", "Start fewer builds at the same moment."},
		}
	}
	return explain.Explanation{}
}

func (e *RoleError) invalidToken(message string) explain.Explanation {
	text := strings.ToLower(message)
	switch {
	case strings.Contains(text, "no openidconnect provider"):
		return explain.Explanation{
			Cause: fmt.Sprintf("%s has no OIDC provider for %s", e.Role.owner(), e.Token.Issuer),
			Means: []string{"The token is fine as far as AWS looked. The account of role_arn does not know who issued it."},
			Do: []string{
				"Add the provider to " + e.Role.owner() + ": IAM console, Identity providers, Add provider, OpenID Connect, with the provider URL " + e.Token.Issuer + " and the audience " + e.Token.audience() + ".",
				"If the provider is in another account, role_arn has to be a role of that account: providers do not work across accounts.",
			},
		}
	case strings.Contains(text, "audience"):
		return explain.Explanation{
			Cause: fmt.Sprintf("the OIDC provider in %s does not know the audience %s", e.Role.owner(), e.Token.audience()),
			Means: []string{"The provider is there. Its list of audiences lacks the one that the token is for."},
			Do: []string{
				"Set audience to one that the provider lists: IAM console, Identity providers, " + host(e.Token.Issuer) + ", Audiences. Usually it is " + defaultAudience(e.Role.partition) + ".",
				"Or add " + e.Token.audience() + " to that list.",
			},
		}
	case strings.Contains(text, "retrieve verification key"):
		return explain.Explanation{
			Cause: "AWS could not fetch the keys of provider " + host(e.Token.Issuer),
			Means: []string{"AWS fetches the issuer's public keys to check the token's signature, and failed. That usually passes; the Step tried again until its timeout."},
			Do:    []string{"Run the build again later; look at https://status.bitrise.io.", "If the issuer is not Bitrise: it has to answer at " + e.Token.Issuer + "/.well-known/openid-configuration, over https, from the public internet."},
		}
	case strings.Contains(text, "valid jwt"):
		return explain.Explanation{
			Cause: "AWS does not take what was sent for an identity token",
			Means: []string{"It has the shape of a JSON Web Token, or the Step would not have sent it. It is likely an access token, or is signed in a way that AWS does not support."},
			Do:    []string{"Check where identity_token comes from: an OpenID Connect identity token, signed with RS256 or another asymmetric algorithm, is wanted."},
		}
	case strings.Contains(text, "signature"):
		return explain.Explanation{
			Cause: "the token's signature does not match the keys of " + host(e.Token.Issuer),
			Means: []string{"AWS checked the token with the keys that the issuer publishes. The token was likely changed, or made by somebody else."},
			Do:    []string{"If identity_token is given, check that nothing cut or changed it on the way.", "Otherwise run the build again; if it stays so, tell Bitrise's support."},
		}
	}
	return explain.Explanation{
		Cause: "AWS does not accept the identity token",
		Do:    []string{"What AWS said above names the reason. If identity_token is given, compare it with what AWS wants; else run the build again, and if it stays so, tell Bitrise's support."},
	}
}

// excess reads how full the session would be, which AWS says as a percentage.
func excess(message string) string {
	match := regexp.MustCompile(`(\d+)%`).FindStringSubmatch(message)
	if match == nil {
		return ""
	}
	percent, err := strconv.Atoi(match[1])
	if err != nil || percent <= 100 {
		return ""
	}
	return fmt.Sprintf(" They take %d %% of it, %d %% more than there is.", percent, percent-100)
}

func regionDisabled(role RoleARN) explain.Explanation {
	return explain.Explanation{
		Cause: "STS is not active in this Region for the account of the role",
		Means: []string{"An account has to activate STS in a Region before it can be called there."},
		Do:    []string{"Activate STS for the Region in " + role.owner() + ": IAM console, Account settings, Security Token Service.", "Or set region to one that is active; us-east-1 always is in AWS's commercial partition."},
	}
}

func validation(role RoleARN, settings SessionSettings, message string) explain.Explanation {
	if strings.Contains(message, "MaxSessionDuration") {
		asked := "AWS's default of 3600 seconds"
		if settings.Duration > 0 {
			asked = fmt.Sprintf("%d seconds", int(settings.Duration.Seconds()))
		}
		return explain.Explanation{
			Cause: "the session would be longer than role " + role.name + " allows",
			Means: []string{"Asked for were " + asked + " (session_duration). Every role has a maximum session duration; AWS does not say which in its refusal. Unless somebody changed it, it is 3600 seconds."},
			Do:    []string{"Lower session_duration, or leave it empty.", "Or raise the role's maximum: IAM console, Roles, " + role.name + ", Edit, Maximum session duration."},
		}
	}
	return explain.Explanation{
		Cause: "AWS found a parameter of the call not right",
		Do:    []string{"What AWS said above names the parameter and what is right for it."},
	}
}

// host is an issuer as IAM names it: without scheme and without a slash at the end.
func host(issuer string) string {
	if _, rest, found := strings.Cut(issuer, "://"); found {
		issuer = rest
	}
	return strings.TrimSuffix(issuer, "/")
}

// KeyError is an access key that could not be verified.
type KeyError struct{ Err error }

// Error says that the key was to be verified, and why it was not.
func (e *KeyError) Error() string { return fmt.Sprintf("verify the access key: %s", e.Err) }

// Unwrap returns the cause.
func (e *KeyError) Unwrap() error { return e.Err }

// Explain tells what STS's refusal means. See https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html.
func (e *KeyError) Explain() (explain.Explanation, bool) { return explained(e.Err, e.meaning) }

func (e *KeyError) meaning(refusal *awserr.Refusal) explain.Explanation {
	switch refusal.Code {
	case "InvalidClientTokenId", "InvalidAccessKeyId":
		return explain.Explanation{
			Cause: "AWS does not know the access key",
			Means: []string{"The key was deleted or deactivated, belongs to another partition of AWS, or is a temporary one (its ID starts with ASIA) whose session_token is missing or is another's."},
			Do:    []string{"Check the key: IAM console, Users, the user, Security credentials, Access keys.", "For a temporary key give session_token too.", "Better: use role_arn, which needs no stored key."},
		}
	case "SignatureDoesNotMatch":
		return explain.Explanation{
			Cause: "secret_access_key is not the one of access_key_id, or the clock is wrong",
			Means: []string{"AWS knows the key's ID. What was signed with the secret does not match; where the clock is the reason, AWS said above that the signature expired."},
			Do:    []string{"Copy the secret again, whole. If it is lost, make a new key: AWS shows a secret only once.", "Check the machine's clock if AWS speaks of it."},
		}
	case "ExpiredToken", "ExpiredTokenException":
		return explain.Explanation{
			Cause: "the temporary access key has expired",
			Do:    []string{"Give a fresh one, or use role_arn, with which every build gets its own."},
		}
	default:
		return common(refusal)
	}
}
