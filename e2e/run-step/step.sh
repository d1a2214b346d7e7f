#!/usr/bin/env bash
set -euo pipefail
# shellcheck disable=SC2154 # the input of step.yml
exec bash -c "$command"
