//! Who talks to whom: a NetworkPolicy for each part. Everything else is shut, both ways.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sotto_wire::config::RetentionConfig;

use super::{Part, Scene, selector};
use crate::cluster::labels::{self, Component};
use crate::cluster::places::{CLIENT_PORT, INTERNAL_PORT, PEER_PORT, TELEMETRY_PORT};
use crate::plan::{PeerSource, ValidDestination, ValidPolicy, ValidTls};

/// Where pods get AWS credentials from: the agent of EKS Pod Identity, and the metadata of the instance.
const CREDENTIALS: [&str; 3] = ["169.254.170.23/32", "fd00:ec2::23/128", "169.254.169.254/32"];

pub(super) fn relay(scene: &Scene<'_>, part: &Part<'_>) -> Option<Value> {
    let gateway = pods(&scene.network.name, Component::Gateway);
    // Where the operator is nobody knows, everybody may try the admin port; what keeps them out is its mutual TLS.
    let mut callers = operator(scene);
    let mut egress = Vec::new();
    if scene.network.federation.is_some() {
        if let Some(callers) = &mut callers {
            callers.push(gateway.clone());
        }
        egress.push(rule("to", Some(vec![gateway]), &[INTERNAL_PORT]));
    }
    egress.extend(cloud(scene, None));
    let ingress = vec![rule("from", None, &[CLIENT_PORT]), rule("from", callers, &[INTERNAL_PORT])];
    policy(scene, part, &labels::relay(&scene.network.name), ingress, egress)
}

pub(super) fn gateway(scene: &Scene<'_>, part: &Part<'_>) -> Option<Value> {
    let relay = pods(&scene.network.name, Component::Relay);
    let ingress = vec![rule("from", None, &[PEER_PORT]), rule("from", Some(vec![relay.clone()]), &[INTERNAL_PORT])];
    let mut egress = vec![rule("to", Some(vec![relay]), &[INTERNAL_PORT])];
    let mut near = Vec::new();
    let mut far = BTreeSet::new();
    for peer in scene.network.federation.iter().flat_map(|federation| &federation.peers) {
        match &peer.source {
            PeerSource::Local(network) => near.push(pods(network, Component::Gateway)),
            // Where a name leads nobody knows before it is asked: any address, by the port. The port of a Service of another
            // namespace is not that of the pods behind it.
            PeerSource::Remote { endpoint, .. } => far.extend([port_of(endpoint).unwrap_or(PEER_PORT), PEER_PORT]),
        }
    }
    if !near.is_empty() {
        egress.push(rule("to", Some(near), &[PEER_PORT]));
    }
    if !far.is_empty() {
        egress.push(rule("to", None, &far.into_iter().collect::<Vec<_>>()));
    }
    egress.extend(cloud(scene, None));
    policy(scene, part, &labels::gateway(&scene.network.name), ingress, egress)
}

pub(super) fn retention(
    scene: &Scene<'_>,
    part: &Part<'_>,
    valid: &ValidPolicy,
    config: &RetentionConfig,
) -> Option<Value> {
    let relay = pods(&scene.network.name, Component::Relay);
    let mut egress = vec![rule("to", Some(vec![relay]), &[CLIENT_PORT])];
    if matches!(scene.network.relay.tls, ValidTls::Secret(_)) {
        // By the public name, and so perhaps round by a load balancer.
        egress.push(rule("to", None, &[port_of_url(&config.relay)]));
    }
    egress.extend(cloud(scene, Some(&valid.destination)));
    let name = labels::retention(part.policy.unwrap_or_default());
    policy(scene, part, &name, Vec::new(), egress)
}

/// The policy of a part, where policies are wanted: with what all parts have.
fn policy(
    scene: &Scene<'_>,
    part: &Part<'_>,
    name: &str,
    mut ingress: Vec<Value>,
    mut egress: Vec<Value>,
) -> Option<Value> {
    if !scene.network.policed {
        return None;
    }
    // Health and metrics: no secrets, and who scrapes lives where it likes. The kubelet is always let in.
    ingress.push(rule("from", Some(vec![json!({"namespaceSelector": {}})]), &[TELEMETRY_PORT]));
    // Names. To anywhere: a cluster's DNS may live on the node.
    let names = json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]});
    egress.insert(0, names);
    Some(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": scene.meta(name, part, false),
        "spec": {
            "podSelector": {"matchLabels": selector(&scene.network.name, part.component, part.policy)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }))
}

/// To (or from) these, or anybody, by these TCP ports.
fn rule(direction: &str, others: Option<Vec<Value>>, ports: &[u16]) -> Value {
    let ports: Vec<Value> = ports.iter().map(|port| json!({"port": port, "protocol": "TCP"})).collect();
    let mut rule = json!({ "ports": ports });
    if let Some(others) = others {
        rule[direction] = json!(others);
    }
    rule
}

fn pods(network: &str, component: Component) -> Value {
    json!({"podSelector": {"matchLabels": selector(network, component, None)}})
}

/// The operator's pods, where their namespace is known.
fn operator(scene: &Scene<'_>) -> Option<Vec<Value>> {
    let namespace = scene.operator_namespace?;
    Some(vec![json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}},
    })])
}

/// AWS, where the part needs it: metrics for all parts, and a bucket. By port, because its addresses are many and change.
fn cloud(scene: &Scene<'_>, destination: Option<&ValidDestination>) -> Vec<Value> {
    let mut ports = BTreeSet::new();
    let mut ambient = false;
    let mut add = |endpoint: Option<&String>, credentials: Option<&String>| {
        ports.insert(endpoint.map_or(443, |url| port_of_url(url)));
        if credentials.is_none() {
            // Credentials of the pod's service account come from STS, or from an agent on the node.
            ports.insert(443);
            ambient = true;
        }
    };
    if let Some(metrics) = &scene.network.cloud_watch {
        add(metrics.endpoint_url.as_ref(), metrics.credentials.as_ref());
    }
    if let Some(ValidDestination::S3 { endpoint_url, credentials, .. }) = destination {
        add(endpoint_url.as_ref(), credentials.as_ref());
    }
    let mut rules = Vec::new();
    if !ports.is_empty() {
        rules.push(rule("to", None, &ports.into_iter().collect::<Vec<_>>()));
    }
    if ambient {
        let agents = CREDENTIALS.iter().map(|address| json!({"ipBlock": {"cidr": address}})).collect();
        rules.push(rule("to", Some(agents), &[80]));
    }
    rules
}

fn port_of(endpoint: &str) -> Option<u16> {
    endpoint.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

/// The port of an `http(s)` address.
fn port_of_url(url: &str) -> u16 {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split('/').next().unwrap_or_default();
    port_of(host).unwrap_or(if scheme == "http" { 80 } else { 443 })
}
