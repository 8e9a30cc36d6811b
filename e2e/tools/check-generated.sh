#!/usr/bin/env bash
# Fails when crds/*.yaml are not what the code makes, or the chart's copies differ from them. Changes nothing in the work tree.
set -euo pipefail
cd "$(dirname "$0")/../.."
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp crds/*.yaml "$before"/
restore() { rm -f crds/*.yaml; cp "$before"/*.yaml crds/; }
cargo run --release --locked --quiet -p sotto-crds --example generate > /dev/null || { restore; exit 1; }
stale=0
for file in $(cd crds && ls -- *.yaml) $(cd "$before" && ls); do
  cmp -s "crds/$file" "$before/$file" || { echo "error: crds/$file is not what the code makes" >&2; stale=1; }
done
restore
for file in $(cd crds && ls -- *.yaml) $(cd charts/sotto/files/crds && ls); do
  cmp -s "crds/$file" "charts/sotto/files/crds/$file" || { echo "error: charts/sotto/files/crds/$file is not a copy of crds/$file" >&2; stale=1; }
done
[ $stale = 0 ] || { echo "error: run 'make generate' and commit the result" >&2; exit 1; }
echo "generated files are up to date"
