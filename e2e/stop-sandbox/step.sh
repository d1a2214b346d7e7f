#!/usr/bin/env bash
set -euo pipefail
: "${E2E_SANDBOX:?}"
kill "$(cat "$E2E_SANDBOX/pid")"
echo "Calls that the sandbox received:"
tail -n +2 "$E2E_SANDBOX/log"
rm -r "$E2E_SANDBOX"
