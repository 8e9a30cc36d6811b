#!/usr/bin/env bash
# A real Kubernetes on this machine for tests: one node, from local binaries, without Docker, in PID, mount, network and
# UTS namespaces of its own, so that ending its first process ends everything in it.
#
#   cluster.sh up STATE       starts it and waits until the API server, the node, DNS and storage are ready
#   cluster.sh down STATE     ends it and removes what it left on the machine; STATE/log and STATE/volumes are kept
#   cluster.sh status STATE   says whether it runs
#   cluster.sh load STATE ARCHIVE…   imports more images (oci-archives) into the running node
#
# STATE is a folder of its own; `up` begins with an empty one each time. Needs root, `debian.sh` and `../tools/build.sh`.
# Then: in-cluster STATE kubectl get nodes
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

verb=${1:-}
[ $# -ge 2 ] || die "usage: cluster.sh up|down|status|load STATE"
mkdir -p "$2"
state=$(cd "$2" && pwd)
shift 2

init_pid() { cat "$state/init.pid" 2>/dev/null; }
# The pid file may outlive its process and the number may be given to another: the namespace's node.sh must be it.
running() {
  local pid
  pid=$(init_pid) && [ -r "/proc/${pid:-none}/cmdline" ] && tr '\0' ' ' < "/proc/$pid/cmdline" | grep -qF "node.sh $state"
}

# Removes the cgroups that the kubelet made, leaves first. They are empty once the cluster's processes are gone.
remove_cgroups() {
  find /sys/fs/cgroup -depth -type d -path '*/sotto-e2e*' -exec rmdir {} + 2>/dev/null || true
}

down() {
  local pid
  if running; then
    pid=$(init_pid)
    kill -KILL "$pid" # unshare ignores TERM; with the first process of a PID namespace all the others end
    wait_for "the end of the cluster's processes" 30 "$state/up.log" bash -c "! kill -0 $pid" || return 1
    say "stopped"
  else
    say "not running"
  fi
  rm -f "$state/init.pid" "$state/ready"
  remove_cgroups
}

preflight() {
  [ "$(id -u)" = 0 ] || die "starting a cluster needs root"
  local missing=() program
  for program in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do
    [ -x "$bin/$program" ] || missing+=("$program")
  done
  [ ${#missing[@]} = 0 ] || die "${missing[*]}: not in $bin; run e2e/tools/build.sh"
  for program in containerd runc ctr ip nft iptables conntrack openssl unshare nsenter; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  [ ${#missing[@]} = 0 ] || die "${missing[*]}: not installed; run e2e/cluster/debian.sh"
  [ -f "$images/pause.tar" ] && [ -f "$images/coredns.tar" ] || die "no pause and coredns image in $images; run e2e/cluster/images.sh"
  [ -x "$venv/bin/python" ] || die "no AWS stand-in in $venv; run e2e/aws/install.sh"
}

up() {
  if running; then
    say "already running in $state (process $(init_pid))"
    return 0
  fi
  preflight
  remove_cgroups
  rm -rf "${state:?}"/*
  local begin=$SECONDS supervisor
  nohup unshare --fork --pid --mount --mount-proc --net --uts --kill-child \
    bash "$here/node.sh" "$state" > "$state/up.log" 2>&1 < /dev/null &
  supervisor=$!
  # The first process in the namespaces is unshare's only child.
  wait_for "the cluster's namespaces" 10 "$state/up.log" bash -c "pgrep -P $supervisor > '$state/init.pid'" || return 1
  until [ -f "$state/ready" ]; do
    if [ -f "$state/failed" ] || ! kill -0 "$supervisor" 2>/dev/null; then
      cat "$state/up.log" >&2
      die "the cluster did not start; its logs are in $state/log"
    fi
    [ $((SECONDS - begin)) -lt 180 ] || { tail -n 40 "$state/up.log" >&2; die "the cluster was not ready within 180 s; its logs are in $state/log"; }
    sleep 0.2
  done
  say "ready after $((SECONDS - begin)) s: $here/in-cluster $state kubectl get nodes"
}

load() {
  running || die "no cluster runs in $state"
  local archive
  for archive in "$@"; do
    ctr -a "$state/containerd/containerd.sock" -n k8s.io images import "$archive" > /dev/null || die "$archive: could not be imported"
    say "imported $(basename "$archive")"
  done
}

case $verb in
  up) up || { down; exit 1; } ;;
  down) down ;;
  status) if running; then say "running in $state (process $(init_pid))"; else say "not running"; exit 1; fi ;;
  load) load "$@" ;;
  *) die "unknown command $verb; one of up, down, status, load" ;;
esac
