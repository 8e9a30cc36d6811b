//! A plan → the Kubernetes objects that run it. Pure. The order of the list is the order of applying: what a workload needs comes
//! before it.

mod access;
mod gateway;
mod pod;
mod relay;
mod retention;
mod ways;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod options_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sotto_crds::{ServiceOptions, Texts};

use super::labels::{self, Component};
use crate::plan::{NetworkPlan, Secrets, ValidNetwork, ValidPod};

/// An object that owns what is rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Owner {
    pub(super) fn reference(&self) -> Value {
        json!({
            "apiVersion": sotto_crds::API_VERSION,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }
}

/// All that rendering needs beside the plan.
pub(super) struct Scene<'a> {
    pub(super) namespace: &'a str,
    pub(super) network: &'a ValidNetwork,
    pub(super) plan: &'a NetworkPlan,
    pub(super) secrets: &'a Secrets,
    /// The Network.
    pub(super) owner: &'a Owner,
    /// The RetentionPolicies, by name.
    pub(super) policies: &'a BTreeMap<String, Owner>,
    /// The image where the network names none.
    pub(super) image: &'a str,
    pub(super) pull_policy: &'a str,
    /// The namespace of the operator's own pods, where it is known.
    pub(super) operator_namespace: Option<&'a str>,
}

/// The configuration cannot be written as YAML: a fault in this program.
#[derive(Debug, thiserror::Error)]
#[error("the configuration of {part} cannot be written ({error}); this is a fault in the operator, please report it")]
pub(super) struct RenderError {
    part: String,
    error: serde_yaml::Error,
}

/// One object, and whose status tells when it cannot be applied.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rendered {
    pub(super) object: Value,
    /// The RetentionPolicy that it is for; otherwise the Network.
    pub(super) policy: Option<String>,
}

/// All objects of a network but its Secrets.
pub(super) fn render(scene: &Scene<'_>) -> Result<Vec<Rendered>, RenderError> {
    let mut rendered = Vec::new();
    let plain = |object| Rendered { object, policy: None };
    rendered.extend(relay::render(scene)?.into_iter().map(plain));
    rendered.extend(gateway::render(scene)?.into_iter().map(plain));
    for (name, config) in &scene.plan.retention {
        let (Some(policy), Some(owner)) = (scene.network.policies.get(name), scene.policies.get(name)) else {
            continue;
        };
        for object in retention::render(scene, name, policy, config, owner)? {
            rendered.push(Rendered { object, policy: Some(name.clone()) });
        }
    }
    Ok(rendered)
}

impl Scene<'_> {
    fn image(&self) -> &str {
        self.network.runs_image(self.image)
    }

    /// Metadata of an object of this part; kept when the owner is deleted where `keep` is set.
    fn meta(&self, name: &str, part: &Part<'_>, keep: bool) -> Value {
        let mut meta = json!({
            "name": name,
            "namespace": self.namespace,
            "labels": labels_of(&self.network.name, part.component, part.policy),
        });
        if !keep {
            meta["ownerReferences"] = json!([part.owner.reference()]);
        }
        meta
    }
}

/// A part of a network: what its objects are called, whose they are.
struct Part<'a> {
    component: Component,
    policy: Option<&'a str>,
    owner: &'a Owner,
}

/// The labels of an object, which are also what its pods are selected by.
pub(super) fn labels_of(network: &str, component: Component, policy: Option<&str>) -> Value {
    let mut all = selector(network, component, policy);
    all[labels::MANAGED_BY] = json!(labels::MANAGER);
    // For people who look for everything of ours.
    all["app.kubernetes.io/name"] = json!("sotto");
    all["app.kubernetes.io/component"] = json!(component.as_str());
    all
}

fn selector(network: &str, component: Component, policy: Option<&str>) -> Value {
    let mut labels = json!({ (labels::NETWORK): network, (labels::COMPONENT): component.as_str() });
    if let Some(policy) = policy {
        labels[labels::POLICY] = json!(policy);
    }
    labels
}

fn service_account(scene: &Scene<'_>, name: &str, part: &Part<'_>, options: &ValidPod) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": annotated(scene.meta(name, part, false), &options.service_account_annotations),
        // Nothing of ours talks to the API server but the operator.
        "automountServiceAccountToken": false,
    })
}

fn config_map(scene: &Scene<'_>, name: &str, part: &Part<'_>, data: &BTreeMap<String, String>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": scene.meta(name, part, false),
        "data": data,
    })
}

fn volume_claim(scene: &Scene<'_>, name: &str, part: &Part<'_>, storage: &sotto_crds::Storage, keep: bool) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    });
    if let Some(class) = &storage.storage_class_name {
        spec["storageClassName"] = json!(class);
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": scene.meta(name, part, keep),
        "spec": spec,
    })
}

/// Metadata with annotations that the object asks for; none at all where it asks for none.
fn annotated(mut meta: Value, annotations: &Texts) -> Value {
    if !annotations.is_empty() {
        meta["annotations"] = json!(annotations);
    }
    meta
}

/// A Service that is reached as the object says.
fn open_service(
    scene: &Scene<'_>,
    name: &str,
    part: &Part<'_>,
    ports: &[(&str, u16, u16)],
    options: &ServiceOptions,
) -> Value {
    let mut service = service(scene, name, part, ports, false);
    service["metadata"] = annotated(service["metadata"].take(), &options.annotations);
    let spec = &mut service["spec"];
    spec["type"] = json!(options.kind);
    if let Some(class) = &options.load_balancer_class {
        spec["loadBalancerClass"] = json!(class);
    }
    if !options.load_balancer_source_ranges.is_empty() {
        spec["loadBalancerSourceRanges"] = json!(options.load_balancer_source_ranges);
    }
    if let Some(policy) = options.external_traffic_policy {
        spec["externalTrafficPolicy"] = json!(policy);
    }
    service
}

/// A Service inside of the cluster. `early`: it leads to pods that are not ready yet, too.
fn service(scene: &Scene<'_>, name: &str, part: &Part<'_>, ports: &[(&str, u16, u16)], early: bool) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port, target)| json!({"name": name, "port": port, "targetPort": target, "protocol": "TCP"}))
        .collect();
    let mut spec = json!({
        "type": "ClusterIP",
        "selector": selector(&scene.network.name, part.component, part.policy),
        "ports": ports,
    });
    if early {
        spec["publishNotReadyAddresses"] = json!(true);
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": scene.meta(name, part, false), "spec": spec })
}

fn yaml<T: serde::Serialize>(part: &str, config: &T) -> Result<String, RenderError> {
    serde_yaml::to_string(config).map_err(|error| RenderError { part: part.to_owned(), error })
}

/// Digest of what pods must be restarted for: what their programs read at their start and never again. Certificates are not
/// among it, which all programs read again by themselves; nor is the identity of what a pod runs on.
fn digest(config: &BTreeMap<String, String>, environment: &[String], secrets: &Secrets, options: &ValidPod) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    let mut add = |name: &str, text: &str| {
        for part in [name, text] {
            hash.update(part);
            hash.update([0]);
        }
    };
    for (name, text) in config {
        add(name, text);
    }
    // What stands in the environment of a process stays as it was when it began.
    for name in environment {
        if let Some(version) = secrets.referenced.get(name) {
            add(name, version);
        }
    }
    // An IAM role comes into a pod when it is made.
    for (name, text) in &options.service_account_annotations {
        add(name, text);
    }
    data_encoding::HEXLOWER.encode(&hash.finalize()[..16])
}

/// An object of names and values, without those that are not set.
fn set(entries: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Map<String, Value> {
    entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
