#!/usr/bin/env bash
# Builds what is to run in a browser for wasm32-unknown-unknown (with the client its SQLite, in C), warnings denied, and runs sotto-wasm-check under Node.
# Called by `make wasm`, which has the compiler fetched first (../tools/wasm.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cache=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}
# A folder of its own: another compiler and other features, so nothing of it is shared with the native builds.
target=${CARGO_TARGET_DIR:-$PWD/target}/wasm
# Crate/feature: all that is built, each without its defaults.
builds=(
  sotto-crypto/rustcrypto
  sotto-wire/rustcrypto
  sotto-client/rustcrypto
  sotto-wasm-check/rustcrypto
)

arguments=()
for build in "${builds[@]}"; do arguments+=(--package "${build%%/*}" --features "$build"); done
# The compiler is a released one; it is told to take what is unstable, since the standard library is compiled here. Without the
# library's backtraces: there is nothing to print one on.
RUSTC=$cache/wasm/rustc RUSTC_BOOTSTRAP=1 CARGO_BUILD_WARNINGS=deny \
  CC_wasm32_unknown_unknown=$cache/wasm/clang AR_wasm32_unknown_unknown=$cache/wasm/llvm-ar \
  cargo build --release --locked -Zwarnings -Zbuild-std=std,panic_abort -Zbuild-std-features= \
  --target wasm32-unknown-unknown --target-dir "$target" --no-default-features "${arguments[@]}"
node e2e/wasm/host.mjs "$target/wasm32-unknown-unknown/release/sotto-wasm-check.wasm"
