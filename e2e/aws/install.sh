#!/usr/bin/env bash
# Installs the AWS stand-in (moto, pinned in requirements.txt) into a virtual environment of the tool cache.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}/moto
stamp=$(sha256sum < "$here/requirements.txt" | cut -c1-16)
if [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
  echo "aws: moto is up to date in $venv"
  exit 0
fi
echo "aws: installing moto and what it needs from PyPI into $venv"
rm -rf "$venv"
# Debian's own Python, so that the environment does not hang on a version manager's.
python=/usr/bin/python3
[ -x "$python" ] || python=python3
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
echo "$stamp" > "$venv/.stamp"
