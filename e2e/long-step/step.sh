#!/usr/bin/env bash
# A Step that knows nothing about renewals and runs for longer than a session is valid.
set -euo pipefail
command -v aws >/dev/null || { echo "this Step needs the AWS CLI, https://aws.amazon.com/cli"; exit 1; }
echo "profile: $AWS_PROFILE, access key: ${AWS_ACCESS_KEY_ID:-none}"
while ((SECONDS < ${seconds:-10})); do
  aws sts get-caller-identity --query Arn --output text
done
