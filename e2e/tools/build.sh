#!/usr/bin/env bash
# Builds the programs that the cluster tests need and that no Debian package carries, from the Go module proxy,
# into the tool cache: etcd, the Kubernetes control plane and node programs, kubectl, CoreDNS, pause, Helm.
# Usage: e2e/tools/build.sh          (SOTTO_CACHE names the cache, default ~/.cache/sotto)
# The first run takes minutes (../README.md has the figure); the result is kept and a second run ends at once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=go.sh
. "$here/go.sh"
cache=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}
bin=$cache/bin
servers=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet)
# The Kubernetes version is read from the module file, so that there is one place to change it.
version=$(sed -nE 's#^[[:space:]]*k8s.io/kubernetes (v[0-9.]+).*#\1#p' "$here/go.mod")
minor=$(cut -d. -f2 <<<"$version")
[ -n "$version" ] || { echo "tools: error: no version of k8s.io/kubernetes in $here/go.mod" >&2; exit 1; }
stamp=$(cd "$here" && cat go.mod go.sum go.sh build.sh ./*/main.go | sha256sum | cut -c1-16)
mkdir -p "$bin"
# One build at a time: another one may be at work for another clone.
exec 9> "$cache/.tools-lock"
flock 9
missing() {
  local program
  for program in etcd coredns pause kubectl helm "${servers[@]}"; do [ -x "$bin/$program" ] || return 0; done
  return 1
}
if [ "$(cat "$bin/.stamp" 2>/dev/null)" = "$stamp" ] && ! missing; then
  echo "tools: up to date in $bin"
  exit 0
fi
command -v go >/dev/null || { echo "tools: Go 1.26 or newer is needed to build the test cluster; install it and try again" >&2; exit 1; }
echo "tools: building Kubernetes $version, etcd, CoreDNS and Helm into $bin (once, minutes)"
rm -f "$bin/.stamp"
pkg=k8s.io/component-base/version
# One command: what several programs use is compiled once, and programs are linked while others are compiled.
(
  cd "$here"
  go build -o "$bin/" \
    -ldflags="-s -w -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=$minor -X $pkg.gitTreeState=clean -X $pkg.gitCommit=0000000000000000000000000000000000000000" \
    ./kubernetes ./etcd ./coredns ./pause k8s.io/kubernetes/cmd/kubectl helm.sh/helm/v4/cmd/helm
)
for server in "${servers[@]}"; do ln -f "$bin/kubernetes" "$bin/$server"; done
echo "$stamp" > "$bin/.stamp"
echo "tools: done: $bin"
