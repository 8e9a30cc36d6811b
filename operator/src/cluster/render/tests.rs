//! Rendered objects: properties that hold for every one of them, and what single ones must have.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize as _;
use serde_json::Value;
use sotto_wire::admin::AdminState;

use super::*;
use crate::plan::{Objects, Secrets, build, ensure_secrets, introduce, validate};

const NOW: u64 = 1_800_000_000_000;
const NAMESPACE: &str = "default";

fn objects(change: impl Fn(&mut Value)) -> Objects {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/manifests");
    let mut objects = Objects::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let mut value = Value::deserialize(document).unwrap();
            change(&mut value);
            match value["kind"].as_str() {
                Some("Network") => objects.networks.push(sotto_crds::admission::admit(&value, None).unwrap()),
                Some("SecurityGroup") => objects.groups.push(sotto_crds::admission::admit(&value, None).unwrap()),
                Some("User") => objects.users.push(sotto_crds::admission::admit(&value, None).unwrap()),
                Some("RetentionPolicy") => objects.policies.push(sotto_crds::admission::admit(&value, None).unwrap()),
                other => panic!("{other:?}"),
            }
        }
    }
    objects
}

fn owner(kind: &str, name: &str) -> OwnerReference {
    OwnerReference {
        api_version: "sotto.dev/v1alpha1".into(),
        kind: kind.into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Everything of every example network: the network's name, its Secrets, its manifests.
fn rendered(change: impl Fn(&mut Value)) -> BTreeMap<String, (Secrets, Vec<Manifest>, Vec<Manifest>)> {
    let validation = validate(&objects(change));
    assert_eq!(validation.problems, BTreeMap::new());
    let relay = AdminState { version: "1".into(), ..AdminState::default() };
    let secrets: BTreeMap<_, _> = validation
        .networks
        .iter()
        .map(|(name, network)| {
            let (secrets, failures) =
                ensure_secrets(network, &places(network, NAMESPACE), &BTreeMap::new(), Some(&relay), NOW);
            assert_eq!(failures, []);
            (name.clone(), secrets)
        })
        .collect();
    let facts: BTreeMap<_, _> = validation
        .networks
        .iter()
        .map(|(name, network)| (name.clone(), introduce(&places(network, NAMESPACE), &secrets[name]).unwrap()))
        .collect();
    let env = Environment { image: "sotto:test".into(), pull_policy: Some("IfNotPresent".into()) };
    validation
        .networks
        .iter()
        .map(|(name, network)| {
            let secrets = secrets[name].clone();
            let plan = build(network, &places(network, NAMESPACE), &secrets, &facts).unwrap();
            let owners = Owners {
                network: owner("Network", name),
                policies: network.policies.keys().map(|n| (n.clone(), owner("RetentionPolicy", n))).collect(),
                users: network.users.keys().map(|n| (n.clone(), owner("User", n))).collect(),
            };
            let objects = render(network, &plan, secrets.authority_pem(), &owners, NAMESPACE, &env);
            let made = secrets.iter().map(|(id, e)| secret(network, id, &e.data, &owners, NAMESPACE)).collect();
            (name.clone(), (secrets, objects, made))
        })
        .collect()
}

fn templates(objects: &[Manifest]) -> Vec<(String, PodTemplateSpec)> {
    objects
        .iter()
        .filter_map(|m| {
            let template = match m.kind {
                Kind::StatefulSet => serde_json::from_value::<StatefulSet>(m.document.clone()).unwrap().spec.template,
                Kind::Deployment => serde_json::from_value::<Deployment>(m.document.clone()).unwrap().spec.template,
                _ => return None,
            };
            Some((m.name.clone(), template))
        })
        .collect()
}

#[test]
fn every_pod_is_restricted_probed_and_bounded() {
    let mut seen = BTreeSet::new();
    for (_, (_, objects, _)) in rendered(|_| {}) {
        for (name, template) in templates(&objects) {
            let spec = template.spec.unwrap();
            let pod = spec.security_context.unwrap();
            assert_eq!(
                (pod.run_as_non_root, pod.run_as_user, pod.fs_group),
                (Some(true), Some(65_532), Some(65_532)),
                "{name}"
            );
            assert_eq!(pod.seccomp_profile.unwrap().type_, "RuntimeDefault", "{name}");
            assert_eq!(spec.automount_service_account_token, Some(false), "{name}");
            for container in spec.containers {
                let context = container.security_context.unwrap();
                assert_eq!(context.allow_privilege_escalation, Some(false), "{name}");
                assert_eq!(context.read_only_root_filesystem, Some(true), "{name}");
                assert_eq!(context.capabilities.unwrap().drop.unwrap(), ["ALL"], "{name}");
                assert!(container.liveness_probe.is_some() && container.readiness_probe.is_some(), "{name}");
                let resources = container.resources.unwrap();
                assert!(resources.requests.unwrap().contains_key("cpu"), "{name}");
                assert!(resources.limits.unwrap().contains_key("memory"), "{name}");
                assert_eq!(container.image.as_deref(), Some("sotto:test"));
                seen.insert(container.name);
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["gateway", "relay", "retention"]);
}

#[test]
fn everything_but_data_and_lasting_keys_has_an_owner() {
    for (network, (_, objects, secrets)) in rendered(|_| {}) {
        for manifest in objects.iter().chain(&secrets) {
            let owned = manifest.document["metadata"]["ownerReferences"][0]["uid"].is_string();
            let lasting = manifest.kind == Kind::PersistentVolumeClaim
                || (manifest.kind == Kind::Secret
                    && ["-ca", "-policy-key", "-relay-secrets", "-retention"]
                        .iter()
                        .any(|end| manifest.name.ends_with(end)));
            assert_eq!(owned, !lasting, "{network}: {:?} {}", manifest.kind, manifest.name);
            assert_eq!(manifest.document["metadata"]["labels"][NETWORK_LABEL], network.as_str());
        }
    }
}

#[test]
fn with_delete_everything_has_an_owner() {
    let delete = |object: &mut Value| {
        if ["Network", "RetentionPolicy"].contains(&object["kind"].as_str().unwrap()) {
            object["spec"]["deletionPolicy"] = json!("Delete");
        }
    };
    for (_, (_, objects, secrets)) in rendered(delete) {
        for manifest in objects.iter().chain(&secrets) {
            assert!(manifest.document["metadata"]["ownerReferences"][0]["uid"].is_string(), "{}", manifest.name);
        }
    }
}

#[test]
fn no_secret_value_stands_outside_of_secrets() {
    for (_, (secrets, objects, _)) in rendered(|_| {}) {
        let texts: Vec<String> = objects.iter().map(|m| m.document.to_string()).collect();
        for (id, ensured) in secrets.iter() {
            for (key, bytes) in ensured.data.iter() {
                let public = ["tls.crt", "ca.crt", "username", "policy.pub", "address", "expires-at-ms", "certificate"];
                if public.contains(&key) {
                    continue;
                }
                let text = String::from_utf8_lossy(bytes);
                let value = serde_json::to_string(text.trim()).unwrap();
                let needle = value.trim_matches('"');
                assert!(needle.len() > 5, "{id:?} {key} is too short to look for");
                assert!(!texts.iter().any(|t| t.contains(needle)), "{id:?} {key} stands in an object");
            }
        }
    }
}

#[test]
fn the_same_values_give_the_same_objects_and_a_change_rolls_the_pods_it_concerns() {
    let network = "acme";
    let digest = |objects: &[Manifest], name: &str| {
        templates(objects)
            .into_iter()
            .find(|(n, _)| n == name)
            .and_then(|(_, t)| t.metadata.unwrap().annotations.unwrap().get(CONFIG_ANNOTATION).cloned())
            .unwrap()
    };
    let validation = validate(&objects(|_| {}));
    let valid = &validation.networks[network];
    let relay = AdminState::default();
    let (secrets, _) = ensure_secrets(valid, &places(valid, NAMESPACE), &BTreeMap::new(), Some(&relay), NOW);
    let owners = Owners {
        network: owner("Network", network),
        policies: valid.policies.keys().map(|n| (n.clone(), owner("RetentionPolicy", n))).collect(),
        users: BTreeMap::new(),
    };
    let env = Environment { image: "sotto:1".into(), pull_policy: None };
    let of = |valid: &ValidNetwork| {
        let plan = build(valid, &places(valid, NAMESPACE), &secrets, &BTreeMap::new()).unwrap();
        render(valid, &plan, secrets.authority_pem(), &owners, NAMESPACE, &env)
    };
    let before = of(valid);
    assert!(before == of(valid));
    let mut changed = valid.clone();
    changed.cloud_watch = Some(crate::plan::ValidCloudWatch {
        namespace: "Sotto".into(),
        interval_seconds: 60,
        region: "us-east-1".into(),
        endpoint_url: None,
        credentials: Some("aws".into()),
    });
    let after = of(&changed);
    assert_ne!(digest(&before, "acme-relay"), digest(&after, "acme-relay"));
    let relay = after.iter().find(|m| m.kind == Kind::StatefulSet && m.name == "acme-relay").unwrap();
    assert_eq!(relay.document["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["secretRef"]["name"], "aws");
    // A change of the group or of a user is for the relay's admin interface, and restarts nothing.
    let mut quiet = valid.clone();
    for user in quiet.users.values_mut() {
        user.suspended = true;
    }
    assert!(of(&quiet) == before);
}

#[test]
fn selectors_match_their_pods_and_no_others() {
    for (_, (_, objects, _)) in rendered(|_| {}) {
        let pods: Vec<BTreeMap<String, String>> =
            templates(&objects).into_iter().map(|(_, t)| t.metadata.unwrap().labels.unwrap()).collect();
        for service in objects.iter().filter(|m| m.kind == Kind::Service) {
            let selector: BTreeMap<String, String> =
                serde_json::from_value(service.document["spec"]["selector"].clone()).unwrap();
            let chosen = pods.iter().filter(|labels| selector.iter().all(|(k, v)| labels.get(k) == Some(v))).count();
            assert_eq!(chosen, 1, "{}", service.name);
        }
    }
}
