#!/usr/bin/env bash
# A Step that is careless with its credentials, to show that Bitrise redacts them.
set -euo pipefail
: "${AWS_ACCESS_KEY_ID:?}" "${AWS_SECRET_ACCESS_KEY:?}" "${AWS_SESSION_TOKEN:?}" "${AWS_REGION:?}"
echo "caller: $AWS_CALLER_ARN"
echo "the secret key: $AWS_SECRET_ACCESS_KEY"
if command -v aws >/dev/null; then
  aws sts get-caller-identity
fi
