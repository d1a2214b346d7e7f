#!/usr/bin/env bash
set -euo pipefail

folder=$(mktemp -d)
(cd e2e && go build -o "$folder/sandbox" ./cmd/sandbox)

# The sandbox closes its standard output once it is ready, which ends cat.
mkfifo "$folder/variables"
nohup "$folder/sandbox" </dev/null >"$folder/variables" 2>"$folder/log" &
echo $! >"$folder/pid"
envman add --key E2E_SANDBOX --value "$folder"
variables=$(cat "$folder/variables")
[ -n "$variables" ] || { cat "$folder/log"; exit 1; }
grep -v TOKEN <<<"$variables"

eval "$variables"
while IFS='=' read -r name _; do
  key=${name#export }
  sensitive=()
  case $key in *TOKEN*) sensitive=(--sensitive) ;; esac
  printf %s "${!key}" | envman add --key "$key" --no-expand ${sensitive[@]+"${sensitive[@]}"}
done <<<"$variables"
envman add --key E2E_ROLE_ARN --value arn:aws:iam::123456789012:role/bitrise-deploy
