#!/usr/bin/env bash
# Prints integrations/argocd/argocd-cm.yaml: the health script once for each kind, as Argo CD wants it. Called by `make generate`.
set -euo pipefail
cd "$(dirname "$0")/../.."
cat <<'HEAD'
# Generated from health.lua by `make generate`. How to install it: README.md beside this file.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    # Without it Argo CD does not look at the ConfigMap.
    app.kubernetes.io/part-of: argocd
data:
HEAD
for kind in Network RetentionPolicy SecurityGroup User; do
  echo "  resource.customizations.health.sotto.dev_$kind: |"
  sed -e 's/^/    /' -e 's/ *$//' integrations/argocd/health.lua
done
