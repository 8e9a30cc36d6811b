#!/usr/bin/env bash
# libFuzzer over every target, or over those that are named:  fuzz/run.sh [TARGET…]
#   SOTTO_FUZZ_SECONDS    for each target (default 60)
# Needs the nightly toolchain. What it finds is kept in fuzz/artifacts/, the corpus in the cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}
seconds=${SOTTO_FUZZ_SECONDS:-60}
# The toolchain of the rest is stable; only this needs the other: its programs first in the path, whatever is there.
export RUSTUP_TOOLCHAIN=nightly
cargo=$(rustup which cargo 2>/dev/null) || { echo "fuzz: the nightly toolchain is missing: rustup toolchain install nightly" >&2; exit 1; }
PATH=$(dirname "$cargo"):$PATH
export CARGO_TARGET_DIR=$cache/target-fuzz
cargo fuzz build --fuzz-dir libfuzzer --sanitizer address targets
program=$CARGO_TARGET_DIR/$(rustc -vV | sed -n 's/^host: //p')/release/targets

mapfile -t all < <(SOTTO_FUZZ_LIST=1 "$program")
[ $# -gt 0 ] || set -- "${all[@]}"
mkdir -p artifacts
for target in "$@"; do
  corpus=$cache/fuzz/${target//[^A-Za-z]/-}
  mkdir -p "$corpus"
  export SOTTO_FUZZ_TARGET=$target
  SOTTO_FUZZ_SEEDS=$corpus "$program"
  echo "=== $target, $seconds s ==="
  if ! "$program" "$corpus" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="artifacts/${target//[^A-Za-z]/-}-" -print_final_stats=1 -verbosity=0 2> "$corpus.log"; then
    tail -n 40 "$corpus.log" >&2
    echo "fuzz: $target failed; the input is in fuzz/artifacts/" >&2
    exit 1
  fi
  grep -E 'number_of_executed_units|new_units_added' "$corpus.log" || true
done
