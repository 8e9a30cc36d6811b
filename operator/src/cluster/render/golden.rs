//! Pod templates as the last version made them. A template that changes for an unchanged spec restarts every relay, gateway and
//! retention process of every network as soon as the operator is upgraded: that must not happen by the way.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::tests::UNUSUAL;
use super::*;
use crate::cluster::places::places;
use crate::plan::tests::{NOW, empty_relay, objects};
use crate::plan::{SecretId, build, ensure_secrets, validate};
use crate::secret::SecretData;
use crate::{keys, pki};

/// Writes the files anew instead of comparing.
const WRITE: &str = "SOTTO_WRITE_GOLDEN";

/// Templates and configuration of the workloads of each network. What is random by nature is fixed or masked.
fn workloads() -> BTreeMap<String, Value> {
    let objects = objects(UNUSUAL);
    let validation = validate(&objects);
    assert_eq!(validation.problems, BTreeMap::new());
    let mut all = BTreeMap::new();
    for (name, network) in &validation.networks {
        // 521 bits, so the first of the 66 bytes is small.
        let policy_key = [&[0; 1][..], &[7; 65]].concat();
        let policy_key: SecretData =
            [(keys::POLICY_KEY.to_owned(), data_encoding::BASE64.encode(&policy_key).into_bytes())]
                .into_iter()
                .collect();
        let existing = BTreeMap::from([(SecretId::PolicyKey, policy_key)]);
        let places = places(network, "chat");
        let (secrets, failures) = ensure_secrets(network, &places, &existing, Some(&empty_relay()), NOW);
        assert_eq!(failures, []);
        let plan = build(network, &places, &secrets, &BTreeMap::new()).unwrap();
        let owner = Owner { kind: "Network", name: name.clone(), uid: "u".into() };
        let policies = network.policies.keys().map(|p| (p.clone(), owner.clone())).collect();
        let scene = Scene {
            namespace: "chat",
            network,
            plan: &plan,
            secrets: &secrets,
            owner: &owner,
            policies: &policies,
            image: "sotto:golden",
            pull_policy: "IfNotPresent",
            operator_namespace: Some("sotto-system"),
        };
        let rendered: Vec<Value> = render(&scene).unwrap().into_iter().map(|r| r.object).collect();
        let mut workloads = Map::new();
        for object in &rendered {
            let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
            let Some(template) = object.pointer("/spec/template") else { continue };
            let mut template = template.clone();
            if kind == "StatefulSet" && name.ends_with("-retention") {
                // The identity is random.
                template["metadata"]["annotations"][labels::CONFIG] = json!("(masked)");
            }
            let config = rendered.iter().find(|o| o["kind"] == "ConfigMap" && o["metadata"]["name"] == name).unwrap();
            let mut config = config["data"].clone();
            if config.get(pki::CA_CERTIFICATE).is_some() {
                config[pki::CA_CERTIFICATE] = json!("(masked)");
            }
            // What cannot be changed in place counts too: another selector would be a workload made anew.
            let mut spec = object["spec"].clone();
            spec["template"] = template;
            workloads.insert(format!("{kind}/{name}"), json!({"spec": spec, "config": config}));
        }
        all.insert(name.clone(), Value::Object(workloads));
    }
    all
}

#[test]
fn an_operator_of_another_version_restarts_nothing() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/cluster/render/golden"));
    let workloads = workloads();
    for (network, now) in &workloads {
        let path = folder.join(format!("{network}.json"));
        if std::env::var_os(WRITE).is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, format!("{now:#}\n")).unwrap();
        }
        let before: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut names: Vec<&String> = before.as_object().unwrap().keys().collect();
        names.extend(now.as_object().unwrap().keys());
        for name in names {
            assert!(
                before[name] == now[name],
                "{name} differs from {}\n\nwas {:#}\n\nis {:#}\n\nFor an unchanged spec, an upgrade of the operator would restart \
                 {name} and its like in every network, against docs/decisions/0010-upgrades.md. Make what is new depend on a \
                 field of the spec. If it has to be, run the test with {WRITE}=1, and say in the release notes what restarts and why.",
                path.display(),
                before[name],
                now[name],
            );
        }
    }
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, workloads.len(), "{} has a file that is no network's any more", folder.display());
}

#[test]
fn the_digest_is_made_as_ever() {
    let config = BTreeMap::from([("relay.yaml".to_owned(), "domain: chat.acme.example\n".to_owned())]);
    let mut secrets = Secrets::default();
    secrets.referenced.insert("aws".into(), "17".into());
    assert_eq!(digest(&config, &[], &secrets, &ValidPod::default()), "959bca10901a9ad5bdfc5e311d2492f2");
    assert_eq!(digest(&config, &["aws".into()], &secrets, &ValidPod::default()), "c21e596ed349959a07a95f4a9082b400");
}
