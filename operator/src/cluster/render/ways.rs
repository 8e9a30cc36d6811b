//! Ways in by a name: an Ingress, a route of the Gateway API, a certificate of cert-manager.

use serde_json::{Value, json};
use sotto_crds::RouteKind;

use super::{Part, Scene, annotated};
use crate::cluster::labels;
use crate::plan::ValidTls;

/// The certificate: before the relay, which waits for its Secret.
pub(super) fn certificate(scene: &Scene<'_>, part: &Part<'_>) -> Option<Value> {
    let ways = scene.network.relay.ways.as_ref()?;
    let (Some(issuer), ValidTls::Secret(secret)) = (&ways.issuer, &scene.network.relay.tls) else { return None };
    Some(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": scene.meta(&labels::relay(&scene.network.name), part, false),
        "spec": {
            "secretName": secret,
            "dnsNames": [ways.host],
            "usages": ["digital signature", "server auth"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": {"name": issuer.name, "kind": issuer.kind, "group": issuer.group},
        },
    }))
}

/// What leads the host to the relay's Service.
pub(super) fn render(scene: &Scene<'_>, part: &Part<'_>) -> Vec<Value> {
    let network = scene.network;
    let Some(ways) = &network.relay.ways else { return Vec::new() };
    let name = labels::relay(&network.name);
    let mut objects = Vec::new();
    if let Some(ingress) = &ways.ingress {
        let mut spec = json!({
            "rules": [{
                "host": ways.host,
                "http": {"paths": [{
                    "path": "/",
                    "pathType": "Prefix",
                    "backend": {"service": {"name": name, "port": {"number": network.relay.port}}},
                }]},
            }],
        });
        if let Some(class) = &ingress.class_name {
            spec["ingressClassName"] = json!(class);
        }
        if let Some(secret) = &ingress.tls_secret_name {
            spec["tls"] = json!([{"hosts": [ways.host], "secretName": secret}]);
        }
        objects.push(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": annotated(scene.meta(&name, part, false), &ingress.annotations),
            "spec": spec,
        }));
    }
    if let Some(route) = &ways.route {
        let kind = match route.kind {
            RouteKind::Tls => "TLSRoute",
            RouteKind::Http => "HTTPRoute",
        };
        objects.push(json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": kind,
            "metadata": annotated(scene.meta(&name, part, false), &route.annotations),
            "spec": {
                "parentRefs": route.parent_refs,
                "hostnames": [ways.host],
                "rules": [{"backendRefs": [{"name": name, "port": network.relay.port}]}],
            },
        }));
    }
    objects
}
