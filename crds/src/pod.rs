//! What may be said about the pods, Services and ways in of relay, gateway and retention process.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::common::NamedRef;

/// Names and values, as in metadata.
pub type Texts = BTreeMap<String, String>;

/// Where the pods of a part run, and what else stands in them. What the operator sets itself cannot be said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodOptions {
    /// Labels of the pods, beside the operator's own. sotto.dev/… and app.kubernetes.io/name, component and managed-by are
    /// taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('sotto.dev/') && !(k in ['app.kubernetes.io/name', 'app.kubernetes.io/component', 'app.kubernetes.io/managed-by']))")
        .message("labels of sotto.dev/ and app.kubernetes.io/name, component and managed-by are the operator's own: pods are found by them; choose another name"))]
    pub labels: Texts,
    /// Annotations of the pods, beside the operator's own. sotto.dev/… is taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('sotto.dev/'))")
        .message("annotations of sotto.dev/ are the operator's own; choose another name"))]
    pub annotations: Texts,
    /// Annotations of the pods' ServiceAccount, such as eks.amazonaws.com/role-arn for an IAM role (IRSA). A change restarts
    /// the pods. sotto.dev/… is taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('sotto.dev/'))")
        .message("annotations of sotto.dev/ are the operator's own; choose another name"))]
    pub service_account_annotations: Texts,
    /// The labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub node_selector: Texts,
    /// The PriorityClass of the pods. Default: the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Taints that the pods tolerate, up to 16; see `kubectl explain pod.spec.tolerations`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "open_list")]
    pub tolerations: Vec<Value>,
    /// Rules for the choice of a node; see `kubectl explain pod.spec.affinity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "open")]
    pub affinity: Option<Value>,
    /// How the pods are spread, up to 16; see `kubectl explain pod.spec.topologySpreadConstraints`. Without a labelSelector
    /// the pods of this part are meant. Default: gateways are spread over nodes where possible when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "open_list")]
    pub topology_spread_constraints: Vec<Value>,
    /// Secrets of type kubernetes.io/dockerconfigjson with which the image is pulled, up to 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<NamedRef>,
}

impl PodOptions {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A label's value: what the API server takes.
const LABEL_VALUE: &str = "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$";

fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE},
    })
}

fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// A part of a pod as Kubernetes defines it. In full it would make our definitions many times larger; the operator reads it by
/// Kubernetes' own types, and says what is wrong with it.
fn open(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn open_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}

/// How a Service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.loadBalancerClass) || self.type == 'LoadBalancer'")
    .message("loadBalancerClass goes with type LoadBalancer: set that type, or leave the class out")
    .field_path(".loadBalancerClass"))]
#[x_kube(validation = Rule::new("!has(self.loadBalancerSourceRanges) || size(self.loadBalancerSourceRanges) == 0 || self.type == 'LoadBalancer'")
    .message("loadBalancerSourceRanges goes with type LoadBalancer: set that type, or leave the ranges out")
    .field_path(".loadBalancerSourceRanges"))]
#[x_kube(validation = Rule::new("!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'")
    .message("externalTrafficPolicy goes with type NodePort or LoadBalancer: set one of them, or leave the policy out")
    .field_path(".externalTrafficPolicy"))]
#[x_kube(validation = Rule::new("self.type != 'LoadBalancer' || oldSelf.type != 'LoadBalancer' || (has(self.loadBalancerClass) == has(oldSelf.loadBalancerClass) && (!has(self.loadBalancerClass) || self.loadBalancerClass == oldSelf.loadBalancerClass))")
    .message("loadBalancerClass cannot be changed while the type stays LoadBalancer: set type ClusterIP first, then LoadBalancer with the other class")
    .field_path(".loadBalancerClass").reason(Reason::FieldValueForbidden))]
pub struct ServiceOptions {
    /// ClusterIP: inside the cluster only. NodePort: on each node. LoadBalancer: by a load balancer of the cloud.
    /// Default: ClusterIP.
    #[serde(default, rename = "type")]
    pub kind: ServiceType,
    /// Annotations of the Service, such as service.beta.kubernetes.io/aws-load-balancer-type. sotto.dev/… is taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('sotto.dev/'))")
        .message("annotations of sotto.dev/ are the operator's own; choose another name"))]
    pub annotations: Texts,
    /// With type LoadBalancer: which controller makes the load balancer, such as service.k8s.aws/nlb. Default: the cluster's
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9./_\-]*[A-Za-z0-9])?$"))]
    pub load_balancer_class: Option<String>,
    /// With type LoadBalancer: the addresses that may connect, such as 203.0.113.0/24, up to 64. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64), regex(pattern = r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")), extend("x-kubernetes-list-type" = "set"))]
    pub load_balancer_source_ranges: Vec<String>,
    /// With type NodePort or LoadBalancer: Local keeps the caller's address and goes to pods of the same node only. Default:
    /// Cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<TrafficPolicy>,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Inside the cluster.
    #[default]
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// On each node.
    NodePort,
    /// By a load balancer.
    LoadBalancer,
}

/// To which pods a Service leads from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrafficPolicy {
    /// To all.
    Cluster,
    /// To those of the same node.
    Local,
}

/// An Ingress for clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressOptions {
    /// The IngressClass. Default: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
    /// Annotations of the Ingress. Clients keep a WebSocket open: set a read timeout of an hour there where the controller has
    /// one. sotto.dev/… is taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('sotto.dev/'))")
        .message("annotations of sotto.dev/ are the operator's own; choose another name"))]
    pub annotations: Texts,
    /// The Secret of type kubernetes.io/tls that the Ingress ends TLS with. Default: the controller's own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_secret_name: Option<String>,
}

/// A route of the Gateway API for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteOptions {
    /// TLSRoute: TLS goes through to the relay. HTTPRoute: the Gateway ends TLS; needs tls.mode Disabled. Default: TLSRoute.
    #[serde(default)]
    pub kind: RouteKind,
    /// The Gateways that the route is attached to, 1 to 8.
    #[schemars(length(min = 1, max = 8))]
    pub parent_refs: Vec<ParentRef>,
    /// Annotations of the route. sotto.dev/… is taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('sotto.dev/'))")
        .message("annotations of sotto.dev/ are the operator's own; choose another name"))]
    pub annotations: Texts,
}

/// Which kind of route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RouteKind {
    /// TLS goes through to the relay.
    #[default]
    #[serde(rename = "TLSRoute")]
    Tls,
    /// The Gateway ends TLS.
    #[serde(rename = "HTTPRoute")]
    Http,
}

/// A Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// The Gateway's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: that of the Network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The listener. Default: every listener that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuerRef {
    /// The issuer's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Issuer, ClusterIssuer, or the kind of an external issuer. Default: Issuer.
    #[serde(default = "issuer")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The API group of the issuer. Default: cert-manager.io.
    #[serde(default = "cert_manager")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

fn issuer() -> String {
    "Issuer".to_owned()
}
fn cert_manager() -> String {
    "cert-manager.io".to_owned()
}
