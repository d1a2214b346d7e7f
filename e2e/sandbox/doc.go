// Package sandbox is a small cloud in one process, on loopback: Bitrise's token endpoint with its OpenID Connect issuer,
// AWS STS, Amazon ECR, ECR Public, and container registries behind a login.
//
// It checks what the real ones check (signatures, issuer, audience, expiry, trust policies, STS's limits, SigV4, the age
// of credentials) and answers with AWS's codes and texts, so that a client which works here was not merely believed. It is
// written from the documents of AWS, Bitrise and OpenID Connect, and knows nothing of the Step, which reaches it by
// build_url and by the SDK's endpoint variables alone.
//
// All keys are made when it starts; none is in a file.
package sandbox
