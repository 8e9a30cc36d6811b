#!/usr/bin/env bash
# cargo-deny: licences, sources and banned crates always; known vulnerabilities where the RustSec database can be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
databases=${CARGO_HOME:-$HOME/.cargo}/advisory-dbs
cargo deny --locked check licenses bans sources
# The database is a git repository. Where it cannot be fetched, an older copy does.
if timeout 60 cargo deny fetch db > /dev/null 2>&1 || [ -n "$(ls -A "$databases" 2>/dev/null | grep -v '^db.lock$')" ]; then
  cargo deny --locked check --disable-fetch advisories
else
  echo "note: known vulnerabilities (RustSec advisories) were NOT checked: the database cannot be fetched from here and there is no copy in $databases" |
    tee "${SOTTO_NOTES:-/dev/null}"
fi
