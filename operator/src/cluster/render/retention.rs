//! A retention process: one replica, because it is one device of one account.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sotto_crds::{DeletionPolicy, Storage};
use sotto_wire::config::RetentionConfig;

use super::pod::{Pod, Source, Volume, resources_or, template};
use super::{
    Owner, Part, RenderError, Scene, access, config_map, digest, selector, service, service_account, volume_claim, yaml,
};
use crate::cluster::labels::{self, Component};
use crate::cluster::places::{CONFIG_DIR, SECRETS_DIR, STATE_DIR, TELEMETRY_PORT, VOLUME_DIR};
use crate::plan::{SecretId, ValidDestination, ValidPolicy};
use crate::{keys, pki};

pub(super) fn render(
    scene: &Scene<'_>,
    policy_name: &str,
    policy: &ValidPolicy,
    config: &RetentionConfig,
    owner: &Owner,
) -> Result<Vec<Value>, RenderError> {
    let network = scene.network;
    let part = Part { component: Component::Retention, policy: Some(policy_name), owner };
    let name = labels::retention(policy_name);
    let (state, records) = (labels::retention_state(policy_name), labels::retention_records(policy_name));
    let mut files = BTreeMap::from([("retention.yaml".to_owned(), yaml("the retention process", config)?)]);
    if config.authority.is_some()
        && let Some(authority) = scene.secrets.authority_pem()
    {
        files.insert(pki::CA_CERTIFICATE.to_owned(), authority.to_owned());
    }
    let account = SecretId::Retention(policy_name.to_owned());
    let keep = policy.deletion == DeletionPolicy::Retain;
    let mut volumes = vec![
        Volume { name: "config", path: CONFIG_DIR, source: Source::ConfigMap(name.clone()) },
        Volume { name: "secrets", path: SECRETS_DIR, source: Source::Secret(account.object_name(&network.name)) },
        Volume { name: "state", path: STATE_DIR, source: Source::Claim(state.clone()) },
    ];
    let state_storage = match &policy.destination {
        ValidDestination::Volume { storage, .. } => {
            Storage { size: "1Gi".into(), storage_class_name: storage.storage_class_name.clone() }
        }
        ValidDestination::S3 { .. } => Storage { size: "1Gi".into(), ..Storage::default() },
    };
    let mut objects = vec![
        service_account(scene, &name, &part, &policy.pod),
        config_map(scene, &name, &part, &files),
        volume_claim(scene, &state, &part, &state_storage, keep),
        // The operator asks whether its record is complete.
        service(scene, &name, &part, &[("telemetry", TELEMETRY_PORT, TELEMETRY_PORT)], false),
    ];
    let mut environment: Vec<String> = network.cloud_watch.iter().filter_map(|c| c.credentials.clone()).collect();
    match &policy.destination {
        ValidDestination::Volume { storage, .. } => {
            objects.push(volume_claim(scene, &records, &part, storage, keep));
            volumes.push(Volume { name: "records", path: VOLUME_DIR, source: Source::Claim(records) });
        }
        // Of two Secrets with the same key the last one counts, and records matter more than metrics.
        ValidDestination::S3 { credentials, .. } => environment.extend(credentials.clone()),
    }
    // Of the account only the identity: the process reads it at its start. Its certificate is for those who write to it.
    let identity = scene.secrets.get(&account).and_then(keys::retention_identity);
    let mut read_once = files.clone();
    read_once.extend(identity.map(|identity| ("identity".to_owned(), identity)));
    let pod = Pod {
        verb: "retention",
        service_account: &name,
        digest: digest(&read_once, &environment, scene.secrets, &policy.pod),
        ports: &[],
        volumes,
        environment,
        resources: resources_or(policy.resources.as_ref(), "50m", "64Mi", "512Mi"),
        options: &policy.pod,
        spread: false,
    };
    let labels = selector(&network.name, Component::Retention, Some(policy_name));
    objects.extend(access::retention(scene, &part, policy, config));
    // No disruption budget, as for the relay: what is sent meanwhile waits at the relay.
    objects.push(json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": scene.meta(&name, &part, false),
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "RollingUpdate"},
            "template": template(scene, &part, &pod),
        },
    }));
    Ok(objects)
}
