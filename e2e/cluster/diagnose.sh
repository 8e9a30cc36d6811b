#!/usr/bin/env bash
# Shows what a person would look at after a failed test: objects, events, the ends of the logs. Usage: diagnose.sh STATE
set -uo pipefail
# shellcheck source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
state=$1
k() { "$here/in-cluster" "$state" kubectl --request-timeout=10s "$@"; }
echo "=== Sotto objects"
k get sotto -A -o wide 2>&1 | cut -c1-250
k get sotto -A -o json 2>/dev/null | python3 -c '
import json, sys
for item in json.load(sys.stdin)["items"]:
    for c in item.get("status", {}).get("conditions", []):
        print(item["kind"], item["metadata"]["name"], c["type"], c["status"], c["reason"], "-", c["message"])' 2>/dev/null
echo "=== Pods"
k get pods,persistentvolumeclaims,services -A -o wide 2>&1 | cut -c1-200
echo "=== Events that are not normal"
k get events -A --field-selector type!=Normal --sort-by=.lastTimestamp 2>&1 | tail -n 30 | cut -c1-300
for pod in $(k get pods -A -o jsonpath='{range .items[*]}{.metadata.namespace}/{.metadata.name}{"\n"}{end}' 2>/dev/null | grep -v '^kube-system/'); do
  echo "=== Log of $pod"
  k logs -n "${pod%%/*}" "${pod##*/}" --all-containers --tail=40 2>&1 | cut -c1-500
  k logs -n "${pod%%/*}" "${pod##*/}" --all-containers --tail=15 --previous 2>/dev/null | sed 's/^/(previous) /' | cut -c1-500
done
echo "The logs of the cluster's own programs are in $state/log"
