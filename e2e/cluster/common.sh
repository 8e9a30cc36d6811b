# Shared by the cluster scripts; sourced, not run.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=${SOTTO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sotto}
bin=$cache/bin
images=$cache/images
venv=$cache/moto

# Addresses inside the cluster's own network namespace. Nothing outside can reach them, so they clash with nothing.
pod_cidr=10.244.0.0/24
bridge_ip=10.244.0.1
service_cidr=10.96.0.0/16
dns_ip=10.96.0.10
aws_port=5555
node_name=e2e

say() { echo "cluster: $*"; }
die() { echo "cluster: error: $*" >&2; exit 1; }

# wait_for WHAT SECONDS LOG COMMAND…: runs COMMAND until it succeeds. When the time is over, or the program that writes LOG
# (log/NAME.log, process number in run/NAME.pid) has ended, it says what was awaited and shows the end of LOG, so that a
# failed start explains itself.
wait_for() {
  local what=$1 seconds=$2 log=$3 end pidfile why
  shift 3
  end=$((SECONDS + seconds))
  pidfile=run/$(basename "$log" .log).pid
  until "$@" >/dev/null 2>&1; do
    why=
    if [ "$SECONDS" -ge "$end" ]; then
      why="not within ${seconds} s"
    elif [ -f "$pidfile" ] && ! kill -0 "$(cat "$pidfile")" 2>/dev/null; then
      why="$(basename "$log" .log) has ended"
    fi
    if [ -n "$why" ]; then
      { echo "cluster: error: $what: $why. Last lines of $log:"; tail -n 25 "$log" 2>/dev/null | cut -c1-400; } >&2
      return 1
    fi
    sleep 0.2
  done
}
