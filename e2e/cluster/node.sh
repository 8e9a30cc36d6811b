#!/usr/bin/env bash
# The first process inside the cluster's namespaces: prepares them, starts every program, waits until all is ready.
# Started by cluster.sh, never by hand: outside namespaces of its own it would change the machine's network.
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=pki.sh
. "$here/pki.sh"
state=$1
[ $$ = 1 ] || die "node.sh runs only as the first process of a PID namespace; use cluster.sh up"
trap 'touch "$state/failed"' EXIT
cd "$state"
mkdir -p log run etcd containerd kubelet/pods-log cni cni-state volumes

start() { # NAME COMMAND…: in the background, its output in log/NAME.log
  local name=$1
  shift
  nohup "$@" > "$state/log/$name.log" 2>&1 < /dev/null &
  echo $! > "$state/run/$name.pid"
}

prepare_namespaces() {
  hostname "$node_name"
  ip link set lo up
  ip link add e2e0 type bridge
  ip addr add "$bridge_ip/24" dev e2e0
  ip link set e2e0 up
  # Service addresses need a route before kube-proxy's rules see the packet; there is no way out of here.
  ip route add default via "$bridge_ip"
  echo 1 > /proc/sys/net/ipv4/ip_forward
  # Volumes must propagate from the kubelet to containers. This is our own mount namespace: the machine's is private to it.
  mount --make-rshared /
  # What the programs would leave in the machine's own folders stays in here.
  mount -t tmpfs tmpfs /run
  mkdir -p /run/lock /var/lib/cni /var/log/containers
  mount --bind "$state/cni-state" /var/lib/cni
  mount -t tmpfs tmpfs /var/log/containers
  # Commands run in here resolve cluster names; pods get the same from the kubelet. CoreDNS itself must not ask itself.
  printf 'nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:5\n' "$dns_ip" > resolv.conf
  printf 'nameserver 127.0.0.1\n' > no-upstream.conf
  local target
  target=$(realpath -m /etc/resolv.conf)
  mkdir -p "$(dirname "$target")" # it may be a link into the /run that was hidden above
  [ -e "$target" ] || : > "$target"
  mount --bind resolv.conf "$target"
  # A cgroup of our own, so that two clusters or a kubelet of the machine do not meet.
  local hierarchy
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$cgroup"
  else
    for hierarchy in /sys/fs/cgroup/*/; do mkdir -p "$hierarchy$cgroup" 2>/dev/null || true; done
    # cpuset refuses processes until it is told its CPUs and memory nodes.
    for file in cpuset.cpus cpuset.mems; do
      [ ! -f "/sys/fs/cgroup/cpuset/$file" ] || cat "/sys/fs/cgroup/cpuset/$file" > "/sys/fs/cgroup/cpuset/$cgroup/$file"
    done
  fi
}

start_control_plane() {
  start etcd "$bin/etcd" --data-dir etcd --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync --log-level warn
  # The advertised address must be one that pods reach: the bridge's.
  start apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --service-cluster-ip-range "$service_cidr" \
    --authorization-mode Node,RBAC --client-ca-file pki/ca.crt --tls-cert-file pki/apiserver.crt --tls-private-key-file pki/apiserver.key \
    --service-account-key-file pki/sa.pub --service-account-signing-key-file pki/sa.key \
    --service-account-issuer https://kubernetes.default.svc --kubelet-client-certificate pki/admin.crt \
    --kubelet-client-key pki/admin.key --kubelet-certificate-authority pki/ca.crt --allow-privileged=true \
    --advertise-address "$bridge_ip" --bind-address 0.0.0.0 --secure-port 6443 --kubelet-preferred-address-types=InternalIP
  wait_for "the API server" 60 log/apiserver.log kubectl get --raw /readyz
  start kcm "$bin/kube-controller-manager" --kubeconfig kcm.kubeconfig --service-account-private-key-file pki/sa.key \
    --root-ca-file pki/ca.crt --use-service-account-credentials --leader-elect=false --allocate-node-cidrs=false
  start scheduler "$bin/kube-scheduler" --kubeconfig scheduler.kubeconfig --leader-elect=false
}

start_node() {
  cat > cni/10-e2e.conflist <<K
{"cniVersion": "1.0.0", "name": "e2e", "plugins": [
  {"type": "bridge", "bridge": "e2e0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_cidr"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
K
  cat > containerd/config.toml <<K
version = 2
root = "$state/containerd/root"
state = "/run/containerd-e2e"
[grpc]
  address = "$state/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:e2e"
  # Where oom_score_adj may not be lowered, "runc create" dies without this.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
K
  cat > kubelet/config.yaml <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$state/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $state/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $state/pki/node.crt
tlsPrivateKeyFile: $state/pki/node.key
clusterDNS: [$dns_ip]
clusterDomain: cluster.local
cgroupsPerQOS: true
enforceNodeAllocatable: []
evictionHard: {memory.available: 100Mi}
resolvConf: $state/no-upstream.conf
localStorageCapacityIsolation: false
podLogsDir: $state/kubelet/pods-log
K
  start containerd containerd --config containerd/config.toml
  # The kubelet gives up when it starts before containerd answers.
  wait_for "containerd" 20 log/containerd.log ctr -a containerd/containerd.sock version
  local archive
  for archive in "$images"/*.tar; do
    ctr -a containerd/containerd.sock -n k8s.io images import "$archive" > /dev/null || die "$archive: could not be imported"
  done
  start kubelet "$bin/kubelet" --config kubelet/config.yaml --kubeconfig node.kubeconfig --hostname-override "$node_name" \
    --node-ip "$bridge_ip" --root-dir "$state/kubelet/root" --v=2
  # Pods of one node talk over the bridge. Without br_netfilter the answer to a Service's client would take the short way, past
  # the rules that turn the pod's address back into the Service's: then every connection is masqueraded.
  local proxy_flags=()
  modprobe br_netfilter 2>/dev/null || true
  if ! echo 1 2>/dev/null > /proc/sys/net/bridge/bridge-nf-call-iptables; then proxy_flags=(--masquerade-all); fi
  start proxy "$bin/kube-proxy" --kubeconfig proxy.kubeconfig --proxy-mode nftables --cluster-cidr "$pod_cidr" \
    --hostname-override "$node_name" --conntrack-max-per-core 0 "${proxy_flags[@]}"
}

# No provisioner runs: volumes are made beforehand. "local" ones and not "hostPath", because the kubelet applies a pod's
# fsGroup to them as a real storage driver would: a workload that forgets it fails here and not at a customer's.
make_storage() {
  local i name
  {
    cat "$here/storageclass.yaml"
    for i in $(seq 1 20); do
      name=$(printf 'volume-%02d' "$i")
      mkdir -p "volumes/$name"
      cat <<K
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: $name}
spec:
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: e2e
  local: {path: $state/volumes/$name}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$node_name]}]}]}}
K
    done
  } > storage.yaml
  kubectl apply -f storage.yaml > /dev/null
}

node_ready() { [ "$(kubectl get node "$node_name" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
dns_ready() { [ "$(kubectl -n kube-system get deployment coredns -o 'jsonpath={.status.readyReplicas}')" = 1 ]; }

cgroup=sotto-e2e
export KUBECONFIG=$state/admin.kubeconfig PATH=$bin:$PATH
prepare_namespaces
make_pki
start_control_plane
start_node
# The AWS stand-in listens on the bridge and on loopback: this namespace has no other address.
start moto "$venv/bin/python" "$repo/e2e/aws/endpoint.py" 0.0.0.0 "$aws_port"
make_storage
kubectl apply -f "$here/coredns.yaml" > /dev/null
wait_for "the node" 60 log/kubelet.log node_ready
wait_for "cluster DNS" 60 log/kubelet.log dns_ready
wait_for "the AWS stand-in" 60 log/moto.log bash -c "exec 3<>/dev/tcp/127.0.0.1/$aws_port"
wait_for "an answer of cluster DNS" 30 log/proxy.log getent hosts kubernetes.default.svc.cluster.local
touch ready
trap - EXIT
wait
