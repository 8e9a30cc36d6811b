//! The relay: one replica, because its embedded store has one writer.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sotto_crds::DeletionPolicy;

use super::pod::{Pod, Source, Volume, resources_or, template};
use super::{
    Part, RenderError, Scene, access, config_map, digest, open_service, selector, service, service_account,
    volume_claim, ways, yaml,
};
use crate::cluster::labels::{self, Component};
use crate::cluster::places::{
    CLIENT_PORT, CONFIG_DIR, INTERNAL_PORT, OWN_TLS_DIR, SECRETS_DIR, STATE_DIR, TELEMETRY_PORT, TLS_DIR,
};
use crate::plan::{SecretId, ValidTls};

pub(super) fn render(scene: &Scene<'_>) -> Result<Vec<Value>, RenderError> {
    let network = scene.network;
    let part = Part { component: Component::Relay, policy: None, owner: scene.owner };
    let name = labels::relay(&network.name);
    let data = labels::relay_data(&network.name);
    let config = BTreeMap::from([("relay.yaml".to_owned(), yaml("the relay", &scene.plan.relay)?)]);
    let secret = |id: &SecretId| Source::Secret(id.object_name(&network.name));
    let mut volumes = vec![
        Volume { name: "config", path: CONFIG_DIR, source: Source::ConfigMap(name.clone()) },
        Volume { name: "tls", path: TLS_DIR, source: secret(&SecretId::RelayTls) },
        Volume { name: "secrets", path: SECRETS_DIR, source: secret(&SecretId::RelaySecret) },
        Volume { name: "data", path: STATE_DIR, source: Source::Claim(data.clone()) },
    ];
    if let ValidTls::Secret(own) = &network.relay.tls {
        volumes.push(Volume { name: "own-tls", path: OWN_TLS_DIR, source: Source::Secret(own.clone()) });
    }
    let options = &network.relay.pod;
    let environment: Vec<String> = network.cloud_watch.iter().filter_map(|c| c.credentials.clone()).collect();
    let pod = Pod {
        verb: "relay",
        service_account: &name,
        digest: digest(&config, &environment, scene.secrets, options),
        ports: &[("client", CLIENT_PORT), ("admin", INTERNAL_PORT)],
        volumes,
        environment,
        resources: resources_or(network.relay.resources.as_ref(), "100m", "128Mi", "1Gi"),
        options,
        spread: false,
    };
    let admin = labels::relay_admin(&network.name);
    let mut objects = vec![
        service_account(scene, &name, &part, options),
        config_map(scene, &name, &part, &config),
        volume_claim(scene, &data, &part, &network.relay.storage, network.deletion == DeletionPolicy::Retain),
        open_service(scene, &name, &part, &[("client", network.relay.port, CLIENT_PORT)], &network.relay.service),
        // The operator brings users and policy to a relay that is not ready yet.
        service(
            scene,
            &admin,
            &part,
            &[("admin", INTERNAL_PORT, INTERNAL_PORT), ("telemetry", TELEMETRY_PORT, TELEMETRY_PORT)],
            true,
        ),
    ];
    objects.extend(access::relay(scene, &part));
    objects.extend(ways::certificate(scene, &part));
    objects.push(
        // No disruption budget: with one replica it would block every drain of its node for ever. A drain moves the relay, and
        // clients come back by themselves.
        json!({
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": scene.meta(&name, &part, false),
            "spec": {
                "replicas": 1,
                "serviceName": admin,
                "selector": {"matchLabels": selector(&network.name, Component::Relay, None)},
                "updateStrategy": {"type": "RollingUpdate"},
                "template": template(scene, &part, &pod),
            },
        }),
    );
    objects.extend(ways::render(scene, &part));
    Ok(objects)
}
