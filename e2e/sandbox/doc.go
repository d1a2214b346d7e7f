// Package sandbox is a small cloud in one process, on loopback: Bitrise's token endpoint with its OpenID Connect issuer,
// AWS STS, Amazon ECR, ECR Public, and container registries that require a login.
//
// It checks what the real services check (signatures, issuer, audience, expiry, trust policies, STS's limits, SigV4, expiry of
// credentials) and responds with AWS's error codes and messages. It is written from the documentation of AWS, Bitrise, and
// OpenID Connect, never from the Step's code. The Step reaches it only through build_url and the SDK's endpoint variables.
//
// AWS documents a few claims of an OIDC token as condition keys and no others, while STS-compatible services evaluate all of
// them. The sandbox can do either; see [Config.EveryClaim].
//
// All keys are generated at startup. None is stored in a file of the repository.
package sandbox
