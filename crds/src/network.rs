//! `Network`: an organisation's users with their configuration; one relay, one address space.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{DOMAIN_PATTERN, ORIGIN_PATTERN, Resources, Storage, URL_PATTERN, conditions};
use crate::pod::{IngressOptions, IssuerRef, PodOptions, RouteOptions, ServiceOptions};

/// What an organisation's messaging network is: its name, its address space, its relay, and whom it talks to.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sotto.dev",
    version = "v1alpha1",
    kind = "Network",
    namespaced,
    plural = "networks",
    shortname = "snet",
    category = "sotto",
    status = "NetworkStatus",
    derive = "PartialEq",
    cel,
    doc = "A Network is one organisation's messaging network: its users with their configuration, one relay, one address space (alice@chat.acme.example). The operator turns it into a relay, a federation gateway and their keys.",
    validation = Rule::new("size(self.metadata.name) <= 40")
        .message("metadata.name is longer than 40 characters: the names of the network's parts are made from it; choose a shorter one"),
    printcolumn(name = "Domain", type_ = "string", json_path = ".spec.domain"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Users", type_ = "integer", json_path = ".status.users"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", priority = "1"),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", priority = "1"),
    printcolumn(name = "Available", type_ = "string", json_path = ".status.availableImage", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSpec {
    /// The name people see, 1 to 20 characters. Default: the object's name, cut to 20 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    pub display_name: Option<String>,
    /// The domain of the network's addresses: the part behind the @ in alice@chat.acme.example. A DNS name in lower case.
    /// It need not resolve. It cannot be changed: it is part of every address and of everything that is signed.
    #[schemars(length(min = 3, max = 253), regex(pattern = DOMAIN_PATTERN))]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("domain cannot be changed: it is part of every address; make a new Network")
        .reason(Reason::FieldValueForbidden))]
    pub domain: String,
    /// Standard: messages may live up to 90 days. Premium: up to 365 days, and guests. Default: Standard.
    #[serde(default)]
    pub tier: Tier,
    /// Disabled: nobody sends read receipts. Enabled: users choose. ForceEnabled: everybody sends them. Default: Enabled.
    #[serde(default)]
    pub read_receipts: ReadReceipts,
    /// A text that every user must acknowledge at sign-in. Default: none.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_popup: Option<ConsentPopup>,
    /// Whether clients may send anonymous metrics to this network's own relay. Default: false.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub client_metrics: bool,
    /// The container image of relay, gateway and retention processes. Default: see upgradePolicy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Which image runs where spec.image names none. Manual: the one that the network was rolled out with (status.image),
    /// whatever version the operator becomes; status.availableImage says that the operator comes with another one. Automatic:
    /// the operator's own; an upgrade of the operator then restarts relay, gateway and retention processes.
    /// Default: Manual.
    #[serde(default)]
    pub upgrade_policy: UpgradePolicy,
    /// The relay: it stores and forwards sealed messages.
    #[serde(default)]
    pub relay: RelaySpec,
    /// Messages with other networks. Both sides must allow it. Default: Disabled.
    #[serde(default)]
    pub federation: FederationSpec,
    /// What clients do when nothing confirms that what they know of the network is of today.
    #[serde(default)]
    pub directory: DirectorySpec,
    /// Where metrics go. Default: nowhere.
    #[serde(default)]
    pub metrics: MetricsSpec,
    /// Enabled: NetworkPolicies let relay, gateway and retention processes talk to whom they have to, and to nobody else.
    /// Disabled: the operator makes none. Default: Enabled.
    #[serde(default)]
    pub network_policy: NetworkPolicyMode,
    /// What happens to the relay's volume and the network's keys when this object is deleted. Retain keeps them, and a new
    /// Network of the same name takes them up again. Delete removes them for good. Default: Retain.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What clients do when the directory head, by which the operator confirms all documents of the network every day, has expired: the
/// operator stands still, or whoever runs the relay holds back what is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DirectorySpec {
    /// So many days after the directory head has expired, clients send nothing any more, 0 to 365; they warn from the first moment. 0:
    /// they only warn. It counts for the heads of other networks that are written to, too. Default: 7.
    #[serde(default = "a_week")]
    #[schemars(range(min = 0, max = 365))]
    pub refuse_sending_after_days: i32,
}

impl Default for DirectorySpec {
    fn default() -> Self {
        Self { refuse_sending_after_days: a_week() }
    }
}

fn a_week() -> i32 {
    7
}

/// How far a network's limits go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Tier {
    /// Messages live up to 90 days.
    #[default]
    Standard,
    /// Messages live up to 365 days.
    Premium,
}

/// Which image runs where none is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradePolicy {
    /// The one that the network was rolled out with.
    #[default]
    Manual,
    /// The operator's own.
    Automatic,
}

/// Whether the operator makes NetworkPolicies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NetworkPolicyMode {
    /// It does.
    #[default]
    Enabled,
    /// It does not.
    Disabled,
}

/// Whether clients send read receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReadReceipts {
    /// Nobody sends them.
    Disabled,
    /// Users choose.
    #[default]
    Enabled,
    /// Everybody sends them.
    ForceEnabled,
}

/// What becomes of data when the object that owns it is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Volumes and keys stay, and are taken up again by an object of the same name.
    #[default]
    Retain,
    /// Volumes and keys go.
    Delete,
}

/// A text that every user must acknowledge at sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsentPopup {
    /// The heading, up to 100 characters.
    #[schemars(length(min = 1, max = 100))]
    pub header: String,
    /// The text in Markdown, up to 5000 characters.
    #[schemars(length(min = 1, max = 5000))]
    pub body: String,
    /// The word on the button, up to 20 characters. Default: Acknowledge.
    #[serde(default = "acknowledge")]
    #[schemars(length(min = 1, max = 20))]
    pub button: String,
}

fn acknowledge() -> String {
    "Acknowledge".to_owned()
}

/// The relay's address, storage and resources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.publicURL) || self.publicURL.startsWith('https://') || self.tls.mode == 'Disabled'")
    .message("publicURL must start with https:// unless tls.mode is Disabled: the relay answers in TLS only")
    .field_path(".publicURL"))]
#[x_kube(validation = Rule::new("has(self.publicURL) || !(self.tls.mode in ['Secret', 'CertManager'])")
    .message("publicURL is needed with tls.mode Secret and CertManager: the certificate is for its host")
    .field_path(".publicURL").reason(Reason::FieldValueRequired))]
#[x_kube(validation = Rule::new("has(self.publicURL) || (!has(self.ingress) && !has(self.route))")
    .message("publicURL is needed with ingress and route: its host is the one that they lead to the relay")
    .field_path(".publicURL").reason(Reason::FieldValueRequired))]
#[x_kube(validation = Rule::new("!has(self.ingress) || self.tls.mode != 'NetworkAuthority'")
    .message("ingress does not go with tls.mode NetworkAuthority: an Ingress ends TLS with another certificate than the one that clients know from their invite; set tls.mode Disabled, Secret or CertManager, or use route with kind TLSRoute")
    .field_path(".ingress"))]
#[x_kube(validation = Rule::new("!has(self.route) || (self.route.kind == 'HTTPRoute') == (self.tls.mode == 'Disabled')")
    .message("a TLSRoute needs a relay that ends TLS, an HTTPRoute one that does not: set route.kind HTTPRoute with tls.mode Disabled, or TLSRoute with another mode")
    .field_path(".route"))]
pub struct RelaySpec {
    /// Where clients reach the relay from outside, such as https://chat.acme.example, without a path; invites say it. Default: the DNS name
    /// of the relay's Service, which clients inside the cluster reach.
    #[serde(default, rename = "publicURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300), regex(pattern = ORIGIN_PATTERN))]
    pub public_url: Option<String>,
    /// The port of the relay's Service, 1 to 65535. Default: 443.
    #[serde(default = "https_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Transport encryption to clients. Messages are sealed end to end whatever stands here.
    #[serde(default)]
    pub tls: RelayTls,
    /// The volume of the relay's store.
    #[serde(default)]
    pub storage: Storage,
    /// Processor and memory of the relay. Default: requests of 100m and 128Mi, a memory limit of 1Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where the relay's pod runs, and what else stands in it.
    #[serde(default, skip_serializing_if = "PodOptions::is_empty")]
    pub pod: PodOptions,
    /// How the relay's Service is reached.
    #[serde(default)]
    pub service: ServiceOptions,
    /// The networks of the proxies that stand before the relay, such as 10.0.0.0/8, up to 16. They are believed when they say for whom they call
    /// (X-Forwarded-For), so that limits count by who calls and not by proxy. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64), regex(pattern = r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")), extend("x-kubernetes-list-type" = "set"))]
    pub trusted_proxies: Vec<String>,
    /// An Ingress that leads the host of publicURL to the relay. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<IngressOptions>,
    /// A route of the Gateway API (1.5 or later) that leads the host of publicURL to the relay. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteOptions>,
}

impl Default for RelaySpec {
    fn default() -> Self {
        Self {
            public_url: None,
            port: https_port(),
            tls: RelayTls::default(),
            storage: Storage::default(),
            resources: None,
            pod: PodOptions::default(),
            service: ServiceOptions::default(),
            trusted_proxies: Vec::new(),
            ingress: None,
            route: None,
        }
    }
}

fn https_port() -> i32 {
    443
}

/// Where the relay's certificate comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.mode == 'Secret') == has(self.secretName)")
    .message("secretName goes with mode Secret: set both, or neither")
    .field_path(".secretName"))]
#[x_kube(validation = Rule::new("(self.mode == 'CertManager') == has(self.issuerRef)")
    .message("issuerRef goes with mode CertManager: set both, or neither")
    .field_path(".issuerRef"))]
pub struct RelayTls {
    /// NetworkAuthority: a certificate from the network's own authority, which clients know from their invite. Secret: the
    /// certificate in secretName. CertManager: a certificate that cert-manager gets from issuerRef for the host of publicURL.
    /// Disabled: plain HTTP, for a relay behind something that ends TLS. Default: NetworkAuthority.
    #[serde(default)]
    pub mode: TlsMode,
    /// With mode Secret: the Secret of type kubernetes.io/tls with the keys tls.crt and tls.key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: Option<String>,
    /// With mode CertManager: the issuer of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
}

/// Where the relay's certificate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// Plain HTTP.
    Disabled,
    /// The network's own authority.
    #[default]
    NetworkAuthority,
    /// A Secret of type kubernetes.io/tls.
    Secret,
    /// An issuer of cert-manager.
    CertManager,
}

/// Messages with other networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FederationSpec {
    /// Disabled: no gateway runs, and nothing goes in or out. Restricted: messages with the peers listed here, for users
    /// whose security group allows it. Default: Disabled.
    #[serde(default)]
    pub mode: FederationMode,
    /// The networks that messages may go to and come from, up to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["domain"]))]
    pub peers: Vec<PeerSpec>,
    /// The gateway, which carries sealed messages between networks and keeps no state.
    #[serde(default)]
    pub gateway: GatewaySpec,
}

/// Whether a network talks to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FederationMode {
    /// With nobody.
    #[default]
    Disabled,
    /// With the peers that are listed.
    Restricted,
}

/// Another network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.endpoint) == has(self.caCertificate) && has(self.endpoint) == has(self.policyKeyFingerprint)")
    .message("give endpoint, caCertificate and policyKeyFingerprint together for a network elsewhere, or none of them for a Network in this namespace")
    .field_path(".endpoint"))]
pub struct PeerSpec {
    /// The peer's domain. Where a Network of that domain lives in the same namespace, this is all that is needed.
    #[schemars(length(min = 3, max = 253), regex(pattern = DOMAIN_PATTERN))]
    pub domain: String,
    /// host:port of the peer's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300), regex(pattern = r"^[A-Za-z0-9.\-]{1,253}:[0-9]{1,5}$"))]
    pub endpoint: Option<String>,
    /// The certificate of the peer's authority in PEM (`kubectl get network NAME -o jsonpath={.status.caCertificate}` there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192), regex(pattern = "^-----BEGIN CERTIFICATE-----"))]
    pub ca_certificate: Option<String>,
    /// The fingerprint of the peer's policy key (`.status.policyKeyFingerprint` there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 52, max = 52), regex(pattern = "^[a-z2-7]{52}$"))]
    pub policy_key_fingerprint: Option<String>,
}

/// The federation gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// How many gateways run, 1 to 10. Leave it out for an autoscaler: the operator then leaves the number alone. Default: 1
    /// at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub replicas: Option<i32>,
    /// The port of the gateway's Service, 1 to 65535. Default: 8448.
    #[serde(default = "gateway_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Processor and memory of a gateway. Default: requests of 50m and 64Mi, a memory limit of 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Where the gateways' pods run, and what else stands in them.
    #[serde(default, skip_serializing_if = "PodOptions::is_empty")]
    pub pod: PodOptions,
    /// How the Service for peers is reached.
    #[serde(default)]
    pub service: ServiceOptions,
}

impl Default for GatewaySpec {
    fn default() -> Self {
        Self {
            replicas: None,
            port: gateway_port(),
            resources: None,
            pod: PodOptions::default(),
            service: ServiceOptions::default(),
        }
    }
}

fn gateway_port() -> i32 {
    8448
}

/// Where metrics go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricsSpec {
    /// Amazon CloudWatch. Default: off.
    #[serde(default)]
    pub cloud_watch: CloudWatchSpec,
    /// The /metrics page for Prometheus. Default: off.
    #[serde(default)]
    pub prometheus: PrometheusSpec,
}

/// Publishing to Amazon CloudWatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.enabled || has(self.region)")
    .message("region is needed when enabled is true: the AWS region to publish to, such as eu-central-1")
    .field_path(".region").reason(Reason::FieldValueRequired))]
pub struct CloudWatchSpec {
    /// Whether to publish. Default: false.
    #[serde(default)]
    pub enabled: bool,
    /// The CloudWatch namespace, up to 255 characters. Default: Sotto.
    #[serde(default = "cloud_watch_namespace")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z0-9._/#\-][A-Za-z0-9._/#:\-]*$"))]
    pub namespace: String,
    /// Seconds between two publications, 5 to 3600. Default: 60.
    #[serde(default = "minute")]
    #[schemars(range(min = 5, max = 3600))]
    pub interval_seconds: i32,
    /// The AWS region, such as eu-central-1. Needed when enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    pub region: Option<String>,
    /// A Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and where needed AWS_SESSION_TOKEN. Default: what the pod's
    /// service account gives (IRSA, Pod Identity, instance role).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub credentials_secret_name: Option<String>,
    /// Another endpoint than AWS's own for the region, such as a VPC endpoint.
    #[serde(default, rename = "endpointURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = URL_PATTERN))]
    pub endpoint_url: Option<String>,
}

impl Default for CloudWatchSpec {
    fn default() -> Self {
        Self {
            enabled: false,
            namespace: cloud_watch_namespace(),
            interval_seconds: minute(),
            region: None,
            credentials_secret_name: None,
            endpoint_url: None,
        }
    }
}

fn cloud_watch_namespace() -> String {
    "Sotto".to_owned()
}
fn minute() -> i32 {
    60
}

/// The /metrics page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PrometheusSpec {
    /// Whether /metrics is served. Default: false.
    #[serde(default)]
    pub enabled: bool,
}

/// What the operator has made of a Network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// The generation of the spec that this status is about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: relay and, where federation is on, gateway serve this spec. Progressing: the operator is at work on it.
    /// Degraded: something is wrong; the message says what and how to put it right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Where clients reach the relay; invites say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// host:port of the gateway inside the cluster, where federation is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_endpoint: Option<String>,
    /// The fingerprint of the key that signs this network's policy. Clients pin it; a peer network needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_key_fingerprint: Option<String>,
    /// The certificate of the network's authority in PEM. A peer network needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
    /// How many User objects belong to the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<i32>,
    /// How many SecurityGroup objects belong to the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<i32>,
    /// The image that relay, gateway and retention processes have been rolled out with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The image that the operator comes with, where it is another one than what runs and spec.image names none. Write it into
    /// spec.image to upgrade this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_image: Option<String>,
    /// The last word of the annotation sotto.dev/rotate for which the network's certificates were made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<String>,
    /// The version of Sotto that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}
