package e2e

// whatIsKnown is a section of docs/troubleshooting.md. Trust policies in the documentation rely on what it says.
const whatIsKnown = `
## What is known about sub and condition keys

- AWS documents ` + "`aud`, `sub`, `amr`, `email`, and `oaud`" + ` as condition keys for every OIDC provider, and other claims for a few
  providers that do not include Bitrise
  ([IAM user guide](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif)).
  [Bitrise's guide](https://docs.bitrise.io/en/bitrise-platform/integrations/oidc-authentication/oidc-for-aws.html), however, uses
  ` + "`app_slug` and `workflow`" + `, and users of other providers report that such conditions are never met. It is not known whether AWS
  evaluates them for Bitrise. STS-compatible services, such as MinIO, evaluate every claim.
- Bitrise does not document the form of ` + "`sub`" + `, or who decides what it says. Bitrise's Step
  [Get OIDC Identity Token](https://github.com/bitrise-steplib/bitrise-step-get-identity-token) first had an input ` + "`subject`" + `, which
  it sent to the token endpoint as ` + "`\"sub\"`" + `. The input was removed in October 2025
  ([4671fa5](https://github.com/bitrise-steplib/bitrise-step-get-identity-token/commit/4671fa5)), but the request in
  ` + "`api/models.go`" + ` still has the field. If the endpoint uses it, every Bitrise user can get a token with any ` + "`sub`" + `.
- To find out whether the endpoint uses the field, the Step requests one more token, with a random ` + "`sub`" + `, when AWS denies a role.
  It doesn't use this token for anything else. Only if the endpoint ignores the field can the log suggest a policy that relies on ` + "`sub`" + `.
- So a condition on ` + "`sub`" + ` proves nothing unless the endpoint is known to ignore the field. The policy in
  [Set up AWS](../README.md#set-up-aws) is safe in every case: if AWS doesn't evaluate ` + "`app_slug`" + `, it lets no one in. The
  [strict setup](trust-policies.md#strict-setup) does not depend on either.
`
