#!/usr/bin/env bash
# Installs the Debian packages that the build, the image and the test cluster need, when they are missing. Says so before.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
packages=(gcc libc6-dev git containerd runc containernetworking-plugins buildah iproute2 nftables iptables conntrack openssl procps ca-certificates python3 python3-venv tmux util-linux)
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
  echo "debian: every package is installed"
  exit 0
fi
[ "$(id -u)" = 0 ] || die "these Debian packages are missing and only root can install them: ${missing[*]}"
echo "debian: installing with apt-get: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# No daemon is to be started by an installation: the tests start their own containerd.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get install -q -y --no-install-recommends "${missing[@]}"
