#!/usr/bin/env bash
# What the tools of GitOps make of our objects, with their own code: Argo CD's Lua machine, Flux's kstatus, both one's types,
# kustomize, and the AWS CDK. Go modules and npm packages are fetched once into caches; nothing talks to a cloud.
# Usage: e2e/gitops/run.sh [prepare]     prepare: only what takes long and needs nothing of ours
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=../tools/go.sh
. e2e/tools/go.sh
cache=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}
target=${CARGO_TARGET_DIR:-$PWD/target}
if [ "${1:-}" = prepare ]; then
  echo "gitops: compiling what Flux and Argo CD are made of (minutes at first)"
  for folder in flux argocd; do
    # Everything but the link, which is not kept.
    (cd "e2e/gitops/$folder" && go list -export -deps -test ./... > /dev/null)
  done
  exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
step() { echo "gitops: $(date +%H:%M:%S) $*"; }

step "statuses of the operator's own code"
# The whole workspace is named so that its features are those of the other builds.
cargo build --release --locked --quiet --workspace --example statuses
"$target/release/examples/statuses" > "$work/statuses.json"
export SOTTO_STATUSES=$work/statuses.json

step "Flux: kstatus over the statuses, its types over the examples"
(cd e2e/gitops/flux && go test -vet=off -count=1 ./...)
step "Argo CD: its Lua machine over the statuses, its types over the examples"
(cd e2e/gitops/argocd && go test -vet=off -count=1 ./...)

step "AWS CDK: packages, types, synthesis"
(
  cd examples/cdk
  npm ci --cache "$cache/npm" --prefer-offline --ignore-scripts --no-audit --no-fund --loglevel=error
  rm -rf build cdk.out
  npx --no-install tsc
  # No account, no credentials, no request to anywhere: what is asked for all the same fails.
  env -u AWS_PROFILE -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -u AWS_SESSION_TOKEN -u AWS_ROLE_ARN \
    HOME="$work" AWS_EC2_METADATA_DISABLED=true CDK_DISABLE_CLI_TELEMETRY=true \
    HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 \
    npx --no-install cdk synth --quiet --no-notices --no-version-reporting
)

step "the synthesised objects, and what kustomize makes of the examples"
cargo test --release --locked --workspace --test gitops -- --ignored
