#!/usr/bin/env bash
# Proves what docs/model says of the protocol, with ProVerif. Each result is compared with what is expected: also what must *not* hold,
# for a model in which nothing can happen would prove everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
proverif=${PROVERIF:-proverif}
command -v "$proverif" > /dev/null || {
  echo "ProVerif is not installed. It builds in seconds from its source with OCaml (Debian: ocaml-nox): ./build -nointeract" >&2
  echo "Then: make model PROVERIF=…/proverif" >&2
  exit 2
}

# expect MODEL RESULT…: what each of its queries must come to, in their order.
expect() {
  local model=$1 said
  shift
  said=$("$proverif" -lib protocol.pvl "$model.pv" | sed -n 's/^RESULT .* is \(true\|false\)\.$/\1/p; s/^RESULT .* cannot be proved.*/unproved/p' | tr '\n' ' ')
  [ "$said" = "$* " ] || { echo "model $model: $said, but expected: $*" >&2; exit 1; }
  echo "model $model: $*"
}

expect messages true true false false
expect invites true false false
expect devices true false false
