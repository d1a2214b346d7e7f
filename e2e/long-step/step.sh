#!/usr/bin/env bash
# A Step that knows nothing about renewals and runs for longer than a session is valid. It does not wait for the session's end, but
# sets the times back in the file that the profile keeps.
set -euo pipefail
command -v aws >/dev/null || { echo "this Step needs the AWS CLI, https://aws.amazon.com/cli"; exit 1; }
echo "profile: $AWS_PROFILE, access key: ${AWS_ACCESS_KEY_ID:-none}"
for _ in 1 2 3; do
  aws sts get-caller-identity --query Arn --output text
  for file in ~/.authenticate-with-aws/*/*/cache.json; do
    expired=$(sed -E 's/:"20[0-9-]{8}T/:"2001-01-01T/g' "$file")
    printf %s "$expired" >"$file"
  done
done
