#!/usr/bin/env bash
# Builds the programs that the cluster tests need and that no Debian package carries, from the Go module proxy,
# into the tool cache: etcd, the Kubernetes control plane and node programs, CoreDNS, Helm.
# Usage: e2e/tools/build.sh          (SOTTO_CACHE names the cache, default ~/.cache/sotto)
# The first run takes 10 to 15 minutes on 2 cores; the result is kept and a second run ends at once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}
bin=$cache/bin
# The Kubernetes version is read from the module file, so that there is one place to change it. `go mod tidy` may put it on
# a line of its own or into a block.
version=$(sed -nE 's#^(require)?[[:space:]]*k8s.io/kubernetes (v[0-9.]+).*#\2#p' "$here/kubernetes/go.mod")
minor=$(cut -d. -f2 <<<"$version")
[ -n "$version" ] || { echo "tools: error: no version of k8s.io/kubernetes in $here/kubernetes/go.mod" >&2; exit 1; }
coredns=v1.15.0
helm=v4.3.1
stamp=$(cat "$here"/*/go.mod "$here/build.sh" | sha256sum | cut -c1-16)
if [ "$(cat "$bin/.stamp" 2>/dev/null)" = "$stamp" ]; then
  echo "tools: up to date in $bin"
  exit 0
fi
command -v go >/dev/null || { echo "tools: Go 1.26 or newer is needed to build the test cluster; install it and try again" >&2; exit 1; }
mkdir -p "$bin"
export CGO_ENABLED=0 GOFLAGS=-mod=mod GOBIN=$bin
step() { echo "tools: $(date +%H:%M:%S) $*"; }

step "etcd"
(cd "$here/etcd" && go build -trimpath -ldflags="-s -w" -o "$bin/etcd" go.etcd.io/etcd/server/v3)

pkg=k8s.io/component-base/version
ldflags="-s -w -X $pkg.gitVersion=$version -X $pkg.gitMajor=1 -X $pkg.gitMinor=$minor -X $pkg.gitTreeState=clean -X $pkg.gitCommit=0000000000000000000000000000000000000000"
step "Kubernetes $version (the long one)"
(cd "$here/kubernetes" && for p in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
  echo "tools: $(date +%H:%M:%S)   $p"
  go build -trimpath -ldflags="$ldflags" -o "$bin/$p" "k8s.io/kubernetes/cmd/$p"
done)

step "CoreDNS $coredns"
go install -trimpath -ldflags="-s -w" "github.com/coredns/coredns@$coredns"
step "Helm $helm"
go install -trimpath -ldflags="-s -w" "helm.sh/helm/v4/cmd/helm@$helm"
echo "$stamp" > "$bin/.stamp"
step "done: $bin"
