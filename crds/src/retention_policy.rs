//! `RetentionPolicy`: whose conversations are kept, and where.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NamedRef, Resources, Storage, URL_PATTERN, conditions};
use crate::network::DeletionPolicy;
use crate::pod::PodOptions;

/// Whose conversations are kept in clear text, and where.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sotto.dev",
    version = "v1alpha1",
    kind = "RetentionPolicy",
    namespaced,
    plural = "retentionpolicies",
    shortname = "sret",
    category = "sotto",
    status = "RetentionPolicyStatus",
    derive = "PartialEq",
    cel,
    doc = "A RetentionPolicy says whose conversations are kept in clear text, and where. The operator runs a retention process that is a recipient of every conversation the policy covers; clients show that a conversation is retained.",
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("metadata.name is longer than 40 characters: the names of the retention process's parts are made from it; choose a shorter one"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name"),
    printcolumn(name = "Enabled", type_ = "boolean", json_path = ".spec.enabled"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Complete", type_ = "string", json_path = ".status.conditions[?(@.type==\"Complete\")].status"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.pending"),
    printcolumn(name = "Destination", type_ = "string", json_path = ".status.destination", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicySpec {
    /// The Network, in the same namespace, that the policy is for. It cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("networkRef cannot be changed: make a new RetentionPolicy for the other network")
        .reason(Reason::FieldValueForbidden))]
    pub network_ref: NamedRef,
    /// The switch: false lets new messages go unretained and keeps what was retained. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whose conversations are kept: a conversation is covered when its sender or a recipient is. Default: all users.
    #[serde(default)]
    pub scope: RetentionScope,
    /// Where the records go: a volume, or an S3 bucket.
    pub destination: Destination,
    /// Processor and memory of the retention process. Default: requests of 50m and 64Mi, a memory limit of 512Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where the pod of the retention process runs, and what else stands in it.
    #[serde(default, skip_serializing_if = "PodOptions::is_empty")]
    pub pod: PodOptions,
    /// What happens to the volumes and keys of the retention process when this object is deleted. Retain keeps them, and a new
    /// RetentionPolicy of the same name takes them up again. Delete removes them for good, with the records on them. Objects
    /// in a bucket are never touched. Default: Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn yes() -> bool {
    true
}

/// Whose conversations are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.allUsers != (has(self.securityGroups) && size(self.securityGroups) > 0)")
    .message("set allUsers to true, or list securityGroups with allUsers false: exactly one of the two")
    .field_path(".allUsers"))]
pub struct RetentionScope {
    /// Everybody in the network. Default: true when securityGroups is left out with the whole scope, otherwise false.
    #[serde(default)]
    pub all_users: bool,
    /// The users of these SecurityGroups, by name, up to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub security_groups: Vec<String>,
}

impl Default for RetentionScope {
    fn default() -> Self {
        Self { all_users: true, security_groups: Vec::new() }
    }
}

/// Where records go: exactly one of the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.volume) != has(self.s3)")
    .message("give exactly one destination: volume, or s3"))]
#[x_kube(validation = Rule::new("has(self.volume) == has(oldSelf.volume)")
    .message("the kind of destination cannot be changed: switch this policy off (enabled: false) and make a new one")
    .reason(Reason::FieldValueForbidden))]
pub struct Destination {
    /// A volume that the operator claims; one JSON document a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeDestination>,
    /// An S3 bucket; one JSON object a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Destination>,
}

/// A volume for records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.path.split('/').exists(part, part == '' || part == '.' || part == '..')")
    .message("path must stay inside the volume: folders separated by single slashes, without . and ..")
    .field_path(".path"))]
pub struct VolumeDestination {
    /// The folder in the volume, relative. Default: records.
    #[serde(default = "records")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9._\-]+(/[A-Za-z0-9._\-]+)*$"))]
    pub path: String,
    /// The volume itself.
    #[serde(default)]
    pub storage: Storage,
}

fn records() -> String {
    "records".to_owned()
}

/// An S3 bucket for records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Destination {
    /// The bucket's name, 3 to 63 characters.
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.\-]+[a-z0-9]$"))]
    pub bucket: String,
    /// What the objects' keys begin with, such as chat/acme. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[A-Za-z0-9!_.*'()\-]+(/[A-Za-z0-9!_.*'()\-]+)*/?$"))]
    pub prefix: Option<String>,
    /// The AWS region, such as eu-central-1.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: String,
    /// Another endpoint than AWS's own for the region, such as a VPC endpoint or another S3-compatible service.
    #[serde(default, rename = "endpointURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = URL_PATTERN))]
    pub endpoint_url: Option<String>,
    /// The KMS key that S3 encrypts the objects with. Default: the bucket's own setting.
    #[serde(default, rename = "kmsKeyARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = "^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/.+$"))]
    pub kms_key_arn: Option<String>,
    /// A Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and where needed AWS_SESSION_TOKEN. Default: what the pod's
    /// service account gives (IRSA, Pod Identity, instance role).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub credentials_secret_name: Option<String>,
}

/// What the operator has made of a RetentionPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicyStatus {
    /// The generation of the spec that this status is about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the retention process runs, has registered, and the relay enforces the policy. Progressing: the operator is at
    /// work on it. Degraded: something is wrong; the message says what and how to put it right. Complete: no message that should be
    /// retained is missing, as the retention process knows from what senders' devices have signed; False with MessagesMissing until
    /// what is missing has come, or its sender has said that it will not; Unknown while the process does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The address of the retention process in the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether the retention process has registered with the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<bool>,
    /// Where the records land, as a file or s3 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// How many messages wait at the relay to be retained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<i64>,
    /// When the certificate of the retention process ends; the operator renews it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires_at: Option<Time>,
}
