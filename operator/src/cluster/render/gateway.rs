//! The federation gateway: no state, any number of replicas.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pod::{Pod, Source, Volume, resources_or, template};
use super::{
    Part, RenderError, Scene, access, config_map, digest, open_service, selector, service, service_account, yaml,
};
use crate::cluster::labels::{self, Component};
use crate::cluster::places::{CONFIG_DIR, INTERNAL_PORT, PEER_PORT, TELEMETRY_PORT, TLS_DIR};
use crate::plan::SecretId;

pub(super) fn render(scene: &Scene<'_>) -> Result<Vec<Value>, RenderError> {
    let network = scene.network;
    let (Some(plan), Some(federation)) = (&scene.plan.gateway, &network.federation) else { return Ok(Vec::new()) };
    let part = Part { component: Component::Gateway, policy: None, owner: scene.owner };
    let name = labels::gateway(&network.name);
    let config = BTreeMap::from([("gateway.yaml".to_owned(), yaml("the gateway", &plan.config)?)]);
    let options = &federation.pod;
    let environment: Vec<String> = network.cloud_watch.iter().filter_map(|c| c.credentials.clone()).collect();
    let tls = SecretId::GatewayTls;
    let pod = Pod {
        verb: "gateway",
        service_account: &name,
        // Without the peers' authorities, which the gateway reads again.
        digest: digest(&config, &environment, scene.secrets, options),
        ports: &[("peers", PEER_PORT), ("internal", INTERNAL_PORT)],
        volumes: vec![
            Volume { name: "config", path: CONFIG_DIR, source: Source::ConfigMap(name.clone()) },
            Volume { name: "tls", path: TLS_DIR, source: Source::Secret(tls.object_name(&network.name)) },
        ],
        environment,
        resources: resources_or(federation.resources.as_ref(), "50m", "64Mi", "256Mi"),
        options,
        spread: federation.replicas.is_some_and(|replicas| replicas > 1),
    };
    let labels = selector(&network.name, Component::Gateway, None);
    let mut files = plan.authorities.clone();
    files.extend(config);
    let mut objects = vec![
        service_account(scene, &name, &part, options),
        config_map(scene, &name, &part, &files),
        open_service(scene, &name, &part, &[("peers", federation.port, PEER_PORT)], &federation.service),
        service(
            scene,
            &labels::gateway_internal(&network.name),
            &part,
            &[("internal", INTERNAL_PORT, INTERNAL_PORT), ("telemetry", TELEMETRY_PORT, TELEMETRY_PORT)],
            false,
        ),
    ];
    objects.extend(access::gateway(scene, &part));
    // With one replica there is nothing to keep; an autoscaler may make more.
    if federation.replicas != Some(1) {
        objects.push(json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": scene.meta(&name, &part, false),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
        }));
    }
    let mut spec = json!({
        "selector": {"matchLabels": labels},
        // One more first, so that there always is one.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "progressDeadlineSeconds": 300,
        "template": template(scene, &part, &pod),
    });
    // Where nothing is said the number is an autoscaler's, or whoever scales the Deployment.
    if let Some(replicas) = federation.replicas {
        spec["replicas"] = json!(replicas);
    }
    objects.push(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": scene.meta(&name, &part, false),
        "spec": spec,
    }));
    Ok(objects)
}
