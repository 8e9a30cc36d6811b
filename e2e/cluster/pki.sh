# The cluster's certificates and kubeconfigs; sourced by node.sh. Expects $state and the addresses of common.sh.
# shellcheck shell=bash

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1" 2>/dev/null; }

leaf() { # NAME SUBJECT SUBJECT_ALT_NAMES
  new_key "$1.key"
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" > "$1.ext"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" -extfile "$1.ext" 2>/dev/null
}

make_pki() {
  mkdir -p "$state/pki"
  (
    cd "$state/pki"
    umask 077
    new_key ca.key
    openssl req -x509 -key ca.key -days 30 -subj /CN=e2e-ca -out ca.crt
    leaf apiserver /CN=kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.96.0.1,IP:$bridge_ip"
    leaf admin /O=system:masters/CN=admin DNS:admin
    leaf kcm /CN=system:kube-controller-manager DNS:kcm
    leaf scheduler /CN=system:kube-scheduler DNS:scheduler
    # The kubelet's certificate must name the address under which the API server calls it, or exec and logs fail.
    leaf node "/O=system:nodes/CN=system:node:$node_name" "DNS:$node_name,IP:127.0.0.1,IP:$bridge_ip"
    leaf proxy /CN=system:kube-proxy DNS:proxy
    openssl genrsa -out sa.key 2048 2>/dev/null
    openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
  )
  local name
  for name in admin kcm scheduler node proxy; do
    cat > "$state/$name.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $state/pki/ca.crt}}]
users: [{name: u, user: {client-certificate: $state/pki/$name.crt, client-key: $state/pki/$name.key}}]
contexts: [{name: e2e, context: {cluster: e2e, user: u}}]
current-context: e2e
K
  done
}
