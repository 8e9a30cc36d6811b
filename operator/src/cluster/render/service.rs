//! Services.

use serde_json::{Value, json};

use super::{Kind, Manifest, Scope};

/// One port of a Service.
pub(super) struct Port {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) target: u16,
}

impl Scope<'_> {
    /// A ClusterIP Service. One for machines inside (`ready_only` off) also leads to pods that are not ready yet.
    pub(super) fn service(&self, name: String, component: &str, ready_only: bool, ports: &[Port]) -> Manifest {
        let ports: Vec<Value> = ports
            .iter()
            .map(|p| json!({ "name": p.name, "port": p.port, "targetPort": p.target, "protocol": "TCP" }))
            .collect();
        let body = json!({
            "spec": {
                "type": "ClusterIP",
                "selector": self.selector(component, None),
                "ports": ports,
                "publishNotReadyAddresses": (!ready_only).then_some(true),
            },
        });
        self.manifest(Kind::Service, name, component, None, Some(&self.owners.network), body)
    }
}
