#!/usr/bin/env bash
# A Step that knows nothing of renewals, and goes on for longer than a session.
set -euo pipefail
echo "profile: $AWS_PROFILE, access key: ${AWS_ACCESS_KEY_ID:-none}"
# shellcheck disable=SC2154 # the input of step.yml
while ((SECONDS < seconds)); do
  aws sts get-caller-identity --query Arn --output text
done
