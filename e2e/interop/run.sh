#!/usr/bin/env bash
# The library, built with each implementation of its primitives, against an independent implementation in Python and two HPKE receivers.
# Python and its packages come from a virtual environment in the cache; the packages are fetched once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cache=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$cache/interop-venv
requirements=e2e/interop/requirements.txt

# A marker with the requirements inside tells a finished environment from one that was interrupted or is of another time.
if ! cmp -s "$requirements" "$venv/finished" || ! "$venv/bin/python" -c '' 2>/dev/null; then
  echo "interop: Python packages of $requirements into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements"
  cp "$requirements" "$venv/finished"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The whole workspace is named so that its features are those of the other builds.
cargo build --release --locked --quiet --workspace --example vectors --example interop
cp "$target/release/examples/interop" "$work/aws-lc"

echo "interop: the vectors are what their command writes"
"$target/release/examples/vectors" --check

echo "interop: the library's tests with RustCrypto (with AWS-LC they are among the unit tests)"
cargo test --release --locked --quiet -p sotto-crypto --features rustcrypto
cp "$target/release/examples/interop" "$work/rustcrypto"

PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" e2e/interop/rooms.py
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" e2e/interop/interop.py "$work/aws-lc" "$work/rustcrypto"
