#!/usr/bin/env bash
# Runs all tests, stage by stage, with a heading, a time and a summary. Called by `make test`.
#
#   CI=true                          nothing may be left out: what cannot run is a failure
#   SOTTO_E2E_EXISTING_CLUSTER=1     use the cluster of KUBECONFIG instead of starting one (it installs and deletes there!)
#   SOTTO_STAGES="fmt unit"          only these stages
#
# What is built from other projects (Kubernetes, Argo CD, cargo-deny) needs nothing of ours: `make prepare` builds it beside the first
# stages, from what they leave of the cores, and the stages that need it come after it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
summary=$scratch/summary
export SOTTO_NOTES=$scratch/notes
preparing=
begin=$SECONDS
cleanup() {
  # A process group of its own: what it has started ends with it. Its temporary files are in our folder.
  if [ -n "$preparing" ]; then
    kill -- "-$preparing" 2>/dev/null
    wait "$preparing" 2>/dev/null
  fi
  rm -rf "$scratch"
}
trap cleanup EXIT

# Why no cluster can be started here; nothing when one can.
obstacle() {
  [ "$(uname -s)" = Linux ] || { echo "this is not Linux"; return; }
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || { echo "this is not Debian: packages cannot be installed"; return; }
  [ "$(id -u)" = 0 ] || { echo "not root: namespaces, mounts and a container runtime need it"; return; }
  command -v go >/dev/null || { echo "Go is not installed: Kubernetes is built with it"; return; }
  local go_version
  go_version=$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')
  printf '1.26\n%s\n' "$go_version" | sort -V -C || echo "Go $go_version is too old: 1.26 or newer is needed"
}

node_20() { node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null; }

# Why nothing can be built and run as WebAssembly here; nothing when it can.
wasm_obstacle() {
  grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release 2>/dev/null || { echo "this is not Debian 12, whose archive has the compiler"; return; }
  node_20 || echo "there is no Node 20 or later"
}

wanted() { [ -z "${SOTTO_STAGES:-}" ] || [[ " $SOTTO_STAGES " == *" $1 "* ]]; }

# stage NAME TITLE: runs `make NAME`; the first failure ends the run.
stage() {
  local name=$1 title=$2 at
  wanted "$name" || { printf '%-12s %-58s %s\n' "not chosen" "$title" "" >> "$summary"; return 0; }
  # It has ended, so it costs no time, and what has failed is said early.
  if [ -n "$preparing" ] && ! kill -0 "$preparing" 2>/dev/null; then end_preparing; fi
  at=$SECONDS
  printf '\n=== %s (make %s) ===\n' "$title" "$name"
  : > "$SOTTO_NOTES"
  if make "$name" < /dev/null; then
    printf '%-12s %-58s %4d s\n' passed "$title" $((SECONDS - at)) >> "$summary"
    sed 's/^/             /' "$SOTTO_NOTES" >> "$summary"
  else
    printf '%-12s %-58s %4d s\n' FAILED "$title" $((SECONDS - at)) >> "$summary"
    finish 1
  fi
}

# begin_preparing: starts `make prepare` in the background, at the lowest priority. Its output is shown when it is waited for.
begin_preparing() {
  [ -z "${SOTTO_STAGES:-}" ] || return 0
  set -m
  TMPDIR=$scratch SOTTO_PREPARED=$scratch/steps nice -n 19 make prepare < /dev/null > "$scratch/prepare.log" 2>&1 &
  preparing=$!
  set +m
}

# end_preparing: waits for it; what it took beside other stages costs nothing, what is left of it is a line of the summary.
end_preparing() {
  [ -n "$preparing" ] || return 0
  local at=$SECONDS ended=passed
  printf '\n=== waiting for what is built from other projects (make prepare) ===\n'
  # From now on nothing else wants the cores.
  renice -n 0 -g "$preparing" > /dev/null 2>&1 || true
  wait "$preparing" || ended=FAILED
  preparing=
  cat "$scratch/prepare.log"
  printf '%-12s %-58s %4d s\n' "$ended" "waiting for what was built beside the stages above" $((SECONDS - at)) >> "$summary"
  [ ! -f "$scratch/steps" ] || sed 's/^/             beside: /' "$scratch/steps" >> "$summary"
  [ "$ended" = passed ] || finish 1
}

# left_out TITLE REASON: said plainly; with CI=true a failure.
left_out() {
  if [ "${CI:-}" = true ]; then
    printf '%-12s %s\n             cannot run here: %s\n' FAILED "$1" "$2" >> "$summary"
    finish 1
  fi
  printf '%-12s %s\n             because: %s\n' "LEFT OUT" "$1" "$2" >> "$summary"
}

finish() {
  printf '\n=== Summary ===\n'
  cat "$summary"
  if grep -q '^LEFT OUT' "$summary"; then
    echo "NOT everything was tested: see LEFT OUT above."
  fi
  printf '%s after %d min %02d s\n' "$([ "$1" = 0 ] && echo passed || echo FAILED)" $(((SECONDS - begin) / 60)) $(((SECONDS - begin) % 60))
  exit "$1"
}

why=$(obstacle)
# Known from the start, so that nobody waits for it.
if [ "${CI:-}" = true ] && [ -n "$why" ] && [ "${SOTTO_E2E_EXISTING_CLUSTER:-}" != 1 ]; then
  left_out "end to end on a real Kubernetes" "$why"
fi
[ -n "$why" ] || stage debian "Debian packages"
[ -n "$why" ] || [ "${SOTTO_E2E_EXISTING_CLUSTER:-}" = 1 ] || begin_preparing
stage fmt "formatting"
stage lint "clippy, warnings denied"
no_wasm=$(wasm_obstacle)
if [ -z "$no_wasm" ]; then
  stage wasm "WebAssembly: crypto and wire"
else
  left_out "WebAssembly: crypto and wire" "$no_wasm"
fi
stage check-generated "generated files are up to date"
stage unit "unit and integration tests"
if python3 -c 'import venv, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  stage interop "interoperability: Python, foreign HPKE, both primitives"
else
  left_out "interoperability: Python, foreign HPKE, both primitives" "there is no Python 3.10 or later with venv"
fi
stage e2e-local "end to end on the embedded default"
end_preparing
stage deny "licences, sources, banned crates, advisories"
if [ "${SOTTO_E2E_EXISTING_CLUSTER:-}" = 1 ]; then
  [ -n "${KUBECONFIG:-}" ] || { echo "SOTTO_E2E_EXISTING_CLUSTER=1 needs KUBECONFIG: the cluster to install into" >&2; finish 1; }
  stage e2e-cluster "end to end on the existing cluster of KUBECONFIG"
  left_out "on Kubernetes: operator against a real API server, GitOps, chart checks, messages through the Service, records on the volume, metrics in CloudWatch, lost relay pod" \
    "on an existing cluster the tests do not enter its network and its volumes; they install, apply, wait for Ready, suspend, delete"
elif [ -z "$why" ]; then
  stage tools "Kubernetes, etcd, CoreDNS, Helm from source"
  stage api "operator against a real API server"
  stage chart "Helm chart"
  if node_20 && command -v npm >/dev/null; then
    stage gitops "GitOps: Argo CD, Flux, kustomize, AWS CDK"
  else
    left_out "GitOps: Argo CD, Flux, kustomize, AWS CDK" "there is no Node 20 or later with npm"
  fi
  stage e2e-cluster "end to end on a real Kubernetes"
else
  left_out "end to end on a real Kubernetes, operator against a real API server, GitOps, chart checks" \
    "$why. Set KUBECONFIG and SOTTO_E2E_EXISTING_CLUSTER=1 to use an existing cluster."
fi
finish 0
