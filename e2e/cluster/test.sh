#!/usr/bin/env bash
# The end-to-end test on Kubernetes: prepares what it needs, starts a cluster, runs the test, ends the cluster.
#
#   SOTTO_E2E_EXISTING_CLUSTER=1 KUBECONFIG=…   use that cluster; SOTTO_E2E_IMAGE names an image that it can pull
#   SOTTO_E2E_KEEP=1                            leave the cluster running afterwards (make cluster-down ends it)
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$repo"
state=${SOTTO_E2E_STATE:-$cache/cluster}
export SOTTO_E2E_STATE=$state

run_tests() { cargo test --release --locked --workspace --test cluster -- --ignored --nocapture --test-threads=1; }

if [ "${SOTTO_E2E_EXISTING_CLUSTER:-}" = 1 ]; then
  [ -n "${KUBECONFIG:-}" ] || die "SOTTO_E2E_EXISTING_CLUSTER=1 needs KUBECONFIG"
  [ -n "${SOTTO_E2E_IMAGE:-}" ] || die "SOTTO_E2E_EXISTING_CLUSTER=1 needs SOTTO_E2E_IMAGE: an image of this version that the cluster can pull"
  run_tests
  exit
fi

"$here/debian.sh"
"$repo/e2e/tools/build.sh"
"$here/images.sh"
"$repo/e2e/aws/install.sh"
make build
"$repo/e2e/tools/image.sh"
"$here/cluster.sh" up "$state"
[ -n "${SOTTO_E2E_KEEP:-}" ] || trap '"$here/cluster.sh" down "$state"' EXIT
"$here/cluster.sh" load "$state" "${CARGO_TARGET_DIR:-$repo/target}/image/sotto.tar"
if ! run_tests; then
  "$here/diagnose.sh" "$state" || true
  exit 1
fi
