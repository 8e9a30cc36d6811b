//! What several kinds share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::quantity::Quantity;

/// Names an object of one kind in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct NamedRef {
    /// `metadata.name` of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

impl From<&str> for NamedRef {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned() }
    }
}

/// Processor and memory of one container, as in a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// What the container is scheduled with, by resource name: `cpu`, `memory`. Replaces our defaults as a whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,
    /// What the container may never exceed, by resource name: `cpu`, `memory`. Replaces our defaults as a whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
}

/// A volume that the operator claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
    .message("storageClassName cannot be changed: a claim stays in its class; make a new object and move the data")
    .field_path(".storageClassName").reason(Reason::FieldValueForbidden))]
#[x_kube(validation = Rule::new("quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0")
    .message("size cannot shrink: volumes only grow; set at least the size that it had")
    .field_path(".size").reason(Reason::FieldValueForbidden))]
pub struct Storage {
    /// Size of the volume, such as `10Gi`. It can grow where the storage class allows it, and never shrinks.
    /// Default: 10Gi.
    #[serde(default = "default_size")]
    #[schemars(schema_with = "storage_size")]
    pub size: Quantity,
    /// The StorageClass to claim from; it cannot be changed later. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

impl Default for Storage {
    fn default() -> Self {
        Self { size: default_size(), storage_class_name: None }
    }
}

fn default_size() -> Quantity {
    Quantity::from("10Gi")
}

/// Storage is a string with a unit: the rule that compares sizes needs one type, and `size: 10` is ten bytes.
fn storage_size(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "string",
        "pattern": "^[1-9][0-9]{0,8}([.][0-9]{1,3})?(Mi|Gi|Ti|Pi|M|G|T|P)$",
        "maxLength": 16
    })
}

/// The schema of `status.conditions`: a list that server-side apply merges by type.
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Vec::<Condition>::json_schema(generator);
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), serde_json::json!(["type"]));
    schema
}

/// One `http(s)` address without user, query or fragment.
pub(crate) const URL_PATTERN: &str = r"^https?://[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?(/[A-Za-z0-9._~/\-]*)?$";
/// The same without a path: what can stand in an invite.
pub(crate) const ORIGIN_PATTERN: &str = r"^https?://[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?$";
/// A DNS name of at least two labels, lower case.
pub(crate) const DOMAIN_PATTERN: &str = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$";
