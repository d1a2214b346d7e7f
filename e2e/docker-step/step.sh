#!/usr/bin/env bash
set -euo pipefail
: "${ECR_REGISTRY:?}"
if ! docker version >/dev/null 2>&1; then
  echo "SKIPPED: pushing an image requires a Docker Engine"
  exit 0
fi

image="$ECR_REGISTRY/${repository:-e2e}:${BITRISE_BUILD_NUMBER:-local}"
trap 'docker image rm --force "$image" >/dev/null 2>&1 || true' EXIT
tar -cf - -C "$BITRISE_SOURCE_DIR" LICENSE | docker import - "$image"
docker push "$image"
docker image rm "$image"
docker pull "$image"
echo "pulled: $image"
