//! A planned network → Kubernetes objects. Pure: the same values give the same objects.
//!
//! Objects are server-side-apply documents: they hold exactly the fields that the operator owns, and nothing else, so that
//! what others own (an autoscaler's replicas, injected sidecars) stays theirs. `null` fields are left out.

mod config;
mod places;
mod pod;
mod service;
mod storage;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value, json};

pub use places::places;

use crate::plan::{NetworkPlan, SecretId, ValidNetwork};
use crate::secret::SecretData;

/// Label of everything that belongs to a network: its name. Our own domain: tools that prune by
/// `app.kubernetes.io/instance` leave these objects alone.
pub const NETWORK_LABEL: &str = "sotto.dev/network";
/// Label with the part: `relay`, `gateway`, `retention`, `keys`.
pub const COMPONENT_LABEL: &str = "sotto.dev/component";
/// Label with the name of the RetentionPolicy.
pub const POLICY_LABEL: &str = "sotto.dev/policy";
/// Label with the name of the User.
pub const USER_LABEL: &str = "sotto.dev/user";
/// Annotation of pod templates: a digest of the configuration, so that a change of it rolls the pods.
pub const CONFIG_ANNOTATION: &str = "sotto.dev/config-digest";

/// What all workloads share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The operator's own image: the default for workloads.
    pub image: String,
    /// `imagePullPolicy`, where it is set for the operator.
    pub pull_policy: Option<String>,
}

/// The objects that own what is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Owners {
    /// The Network.
    pub network: OwnerReference,
    /// RetentionPolicies by name.
    pub policies: BTreeMap<String, OwnerReference>,
    /// Users by name.
    pub users: BTreeMap<String, OwnerReference>,
}

/// What kind of object it is; the order is the order of applying: a workload comes after what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// v1 ServiceAccount
    ServiceAccount,
    /// v1 Secret
    Secret,
    /// v1 ConfigMap
    ConfigMap,
    /// v1 PersistentVolumeClaim
    PersistentVolumeClaim,
    /// v1 Service
    Service,
    /// policy/v1 PodDisruptionBudget
    PodDisruptionBudget,
    /// apps/v1 StatefulSet
    StatefulSet,
    /// apps/v1 Deployment
    Deployment,
}

impl Kind {
    /// Every kind, in the order of applying.
    pub const ALL: [Self; 8] = [
        Self::ServiceAccount,
        Self::Secret,
        Self::ConfigMap,
        Self::PersistentVolumeClaim,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::StatefulSet,
        Self::Deployment,
    ];

    /// Group, version, kind, plural.
    pub fn api(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::PersistentVolumeClaim => ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
        }
    }
}

/// One object to apply. A Secret's holds secret bytes, so there is no Debug.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The server-side-apply document.
    pub document: Value,
}

/// All objects of a network but its Secrets ([`secret`]), in the order of applying. `authority` is the network's in PEM.
pub fn render(
    network: &ValidNetwork,
    plan: &NetworkPlan,
    authority: Option<&str>,
    owners: &Owners,
    namespace: &str,
    env: &Environment,
) -> Vec<Manifest> {
    let scope = Scope { network, namespace, owners, authority, env };
    let mut all = Vec::new();
    all.extend(scope.relay(plan));
    all.extend(scope.gateway(plan));
    for (policy, config) in &plan.retention {
        all.extend(scope.retention(policy, config));
    }
    all.sort_by_key(|manifest| manifest.kind);
    all
}

/// One Secret as a manifest. Keys that cannot be made again stay when a Network goes whose data is retained: they have no
/// owner then.
pub fn secret(network: &ValidNetwork, id: &SecretId, data: &SecretData, owners: &Owners, namespace: &str) -> Manifest {
    let env = Environment { image: String::new(), pull_policy: None };
    let scope = Scope { network, namespace, owners, authority: None, env: &env };
    let name = id.object_name(&network.name);
    let retain = network.deletion == sotto_crds::DeletionPolicy::Retain;
    let (owner, extra) = match id {
        SecretId::Authority | SecretId::PolicyKey | SecretId::RelaySecret => {
            ((!retain).then_some(&owners.network), None)
        }
        SecretId::Retention(policy) => {
            let keep = network.policies.get(policy).is_none_or(|p| p.deletion == sotto_crds::DeletionPolicy::Retain);
            (owners.policies.get(policy).filter(|_| !keep), Some((POLICY_LABEL, policy.as_str())))
        }
        SecretId::Invite(user) => (owners.users.get(user), Some((USER_LABEL, user.as_str()))),
        SecretId::OperatorTls | SecretId::RelayTls | SecretId::GatewayTls => (Some(&owners.network), None),
    };
    let values: Map<String, Value> = data.iter().map(|(key, bytes)| (key.to_owned(), base64_value(bytes))).collect();
    scope.manifest(Kind::Secret, name, "keys", extra, owner, json!({ "type": "Opaque", "data": values }))
}

fn base64_value(bytes: &[u8]) -> Value {
    Value::String(data_encoding::BASE64.encode(bytes))
}

/// What every renderer needs.
pub(super) struct Scope<'a> {
    network: &'a ValidNetwork,
    namespace: &'a str,
    owners: &'a Owners,
    authority: Option<&'a str>,
    env: &'a Environment,
}

impl Scope<'_> {
    fn labels(&self, component: &str, extra: Option<(&str, &str)>) -> Value {
        let mut labels = self.selector(component, extra);
        labels["app.kubernetes.io/name"] = json!("sotto");
        labels["app.kubernetes.io/component"] = json!(component);
        labels["app.kubernetes.io/managed-by"] = json!("sotto-operator");
        labels
    }

    /// The labels that select a component's pods: a part of its labels that never changes.
    fn selector(&self, component: &str, extra: Option<(&str, &str)>) -> Value {
        let mut labels = json!({ NETWORK_LABEL: self.network.name, COMPONENT_LABEL: component });
        if let Some((key, value)) = extra {
            labels[key] = json!(value);
        }
        labels
    }

    /// An object with our metadata. `body` is everything beside `apiVersion`, `kind` and `metadata`.
    fn manifest(
        &self,
        kind: Kind,
        name: String,
        component: &str,
        extra: Option<(&str, &str)>,
        owner: Option<&OwnerReference>,
        body: Value,
    ) -> Manifest {
        let (group, version, word, _) = kind.api();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let mut document = json!({
            "apiVersion": api_version,
            "kind": word,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": self.labels(component, extra),
            },
        });
        if let Some(owner) = owner {
            document["metadata"]["ownerReferences"] = json!([owner]);
        }
        if let (Value::Object(document), Value::Object(body)) = (&mut document, body) {
            document.extend(body);
        }
        Manifest { kind, name, document: without_nulls(document) }
    }
}

/// Server-side apply takes `null` for "remove", so what is not set must not be there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Value::Object(map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
