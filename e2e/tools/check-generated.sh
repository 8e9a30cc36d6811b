#!/usr/bin/env bash
# Fails when the chart's copies of the definitions are not those of crds/, or Argo CD's ConfigMap is not of its script. That crds/*.yaml
# and examples/cdk/lib/sotto.ts are what the code makes are tests of the crds crate: to run the generator here too would build Kubernetes' types once more with other features.
set -euo pipefail
cd "$(dirname "$0")/../.."
stale=0
for file in $( (cd crds && ls -- *.yaml; cd ../charts/sotto/files/crds && ls -- *.yaml) | sort -u); do
  cmp -s "crds/$file" "charts/sotto/files/crds/$file" || { echo "error: charts/sotto/files/crds/$file is not a copy of crds/$file" >&2; stale=1; }
done
e2e/tools/argocd-cm.sh | cmp -s - integrations/argocd/argocd-cm.yaml || { echo "error: integrations/argocd/argocd-cm.yaml is not health.lua for each kind" >&2; stale=1; }
[ $stale = 0 ] || { echo "error: run 'make generate' and commit the result" >&2; exit 1; }
echo "the chart's definitions are those of crds/, and Argo CD's health checks are health.lua"
