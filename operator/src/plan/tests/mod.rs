//! The plan on YAML: validate → secrets → build → wanted, as a deployment runs it.

mod build;
mod docs;
mod health;
mod validate;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize as _;
use serde_json::Value;
use sotto_wire::admin::AdminState;

use super::*;
use crate::secret::SecretData;

pub(crate) const NOW: u64 = 1_800_000_000_000;

fn admitted<K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned>(value: &Value) -> K {
    sotto_crds::admission::admit(value, None).unwrap_or_else(|violations| panic!("{value}: {violations:?}"))
}

/// Reads manifests as a cluster would admit them.
pub(crate) fn objects(yaml: &str) -> Objects {
    let mut objects = Objects::default();
    for document in serde_yaml::Deserializer::from_str(yaml) {
        let value = Value::deserialize(document).unwrap();
        match value["kind"].as_str() {
            Some("Network") => objects.networks.push(std::sync::Arc::new(admitted(&value))),
            Some("SecurityGroup") => objects.groups.push(std::sync::Arc::new(admitted(&value))),
            Some("User") => objects.users.push(std::sync::Arc::new(admitted(&value))),
            Some("RetentionPolicy") => objects.policies.push(std::sync::Arc::new(admitted(&value))),
            // What comes with them in a folder.
            Some("Namespace" | "Kustomization") => {}
            other => panic!("{other:?}"),
        }
    }
    objects
}

/// The manifests in `examples/manifests`.
pub(crate) fn examples() -> Objects {
    folder_of_examples("manifests")
}

/// The manifests in a folder of `examples/`.
pub(crate) fn folder_of_examples(name: &str) -> Objects {
    let folder = format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let texts: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    objects(&texts.join("\n---\n"))
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(crate) fn places(network: &ValidNetwork) -> Places {
    let scheme = if network.relay.tls == ValidTls::Disabled { "http" } else { "https" };
    Places {
        relay: RelayPlace {
            listen: address(1),
            admin_listen: address(2),
            telemetry_listen: address(3),
            url: format!("{scheme}://{}-relay.test:7443", network.name),
            use_public_url: true,
            admin_url: "https://relay-admin.test:9443".into(),
            names: vec!["relay.test".into(), "relay-admin.test".into()],
            tls: "/tls".into(),
            own_tls: "/own-tls".into(),
            secrets: "/secrets".into(),
            state: "/state".into(),
        },
        gateway: GatewayPlace {
            listen: address(4),
            peer_listen: address(5),
            telemetry_listen: address(6),
            url: "https://gateway-internal.test:9444".into(),
            peer_endpoint: format!("{}-gateway.test:8448", network.name),
            names: vec!["gateway.test".into()],
            tls: "/tls".into(),
            authorities: "/peers".into(),
        },
        retention: network
            .policies
            .keys()
            .map(|name| {
                let place = RetentionPlace {
                    telemetry_listen: address(7),
                    secrets: "/secrets".into(),
                    authority: "/ca/ca.crt".into(),
                    state: "/state".into(),
                    volume: "/volume".into(),
                };
                (name.clone(), place)
            })
            .collect(),
    }
}

/// A relay that has answered and holds nothing.
pub(crate) fn empty_relay() -> AdminState {
    AdminState { version: "1".into(), ..AdminState::default() }
}

/// All Secrets of a network, made from nothing.
pub(crate) fn secrets(network: &ValidNetwork, relay: Option<&AdminState>) -> Secrets {
    let (secrets, failures) = ensure_secrets(network, &places(network), &BTreeMap::new(), relay, NOW);
    assert_eq!(failures, []);
    secrets
}

pub(crate) fn contents(secrets: &Secrets) -> BTreeMap<SecretId, SecretData> {
    secrets.iter().map(|(id, ensured)| (id.clone(), ensured.data.clone())).collect()
}

/// The plans of all networks in the manifests.
pub(crate) fn plans(objects: &Objects) -> BTreeMap<String, NetworkPlan> {
    let validation = super::validate(objects);
    assert_eq!(validation.problems, BTreeMap::new());
    let secrets: BTreeMap<_, _> = validation
        .networks
        .iter()
        .map(|(name, network)| (name.clone(), self::secrets(network, Some(&empty_relay()))))
        .collect();
    let facts: BTreeMap<_, _> = validation
        .networks
        .iter()
        .map(|(name, network)| (name.clone(), introduce(&places(network), &secrets[name]).unwrap()))
        .collect();
    validation
        .networks
        .iter()
        .map(|(name, network)| (name.clone(), super::build(network, &places(network), &secrets[name], &facts).unwrap()))
        .collect()
}
