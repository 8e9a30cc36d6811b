//! Objects after validation: types that cannot be wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use sotto_crds::{DeletionPolicy, IngressOptions, IssuerRef, Resources, RouteOptions, ServiceOptions, Storage, Texts};
use sotto_crypto::{Address, Domain, Fingerprint};
use sotto_wire::admin::Resets;
use sotto_wire::policy::{GroupFederation, PasswordRule, ReadReceipts};

use crate::sync::Untouched;

/// The group of users where no SecurityGroup is the default one. No object can have this name.
pub const STANDARD_GROUP: &str = "_standard";
/// The group of retention processes: they never lock, and follow their users across networks. No object can have this name.
pub const RETENTION_GROUP: &str = "_retention";

/// A network that can run, with all of its good objects.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidNetwork {
    /// Name of the object.
    pub name: String,
    /// The part of addresses behind the @.
    pub domain: Domain,
    /// For people.
    pub display_name: String,
    /// Read receipts.
    pub read_receipts: ReadReceipts,
    /// The image of the workloads, where the object names one.
    pub image: Option<String>,
    /// The image that they were rolled out with, where it has to stay.
    pub pinned_image: Option<String>,
    /// The word for which certificates have to be made anew, where there is one.
    pub rotate: Option<String>,
    /// The relay.
    pub relay: ValidRelay,
    /// Federation, where it is on.
    pub federation: Option<ValidFederation>,
    /// CloudWatch, where it is on.
    pub cloud_watch: Option<ValidCloudWatch>,
    /// Whether scrapers of Prometheus are told where /metrics is.
    pub prometheus: bool,
    /// Whether NetworkPolicies are made.
    pub policed: bool,
    /// What becomes of data.
    pub deletion: DeletionPolicy,
    /// Security groups by name; always has the default group and [`RETENTION_GROUP`].
    pub groups: BTreeMap<String, ValidGroup>,
    /// The group of users that name none: a SecurityGroup or [`STANDARD_GROUP`].
    pub default_group: String,
    /// Users by name of the object.
    pub users: BTreeMap<String, ValidUser>,
    /// Retention policies by name of the object.
    pub policies: BTreeMap<String, ValidPolicy>,
    /// Policies that are there but not good: what the relay enforces of them, and what runs for them, stays.
    pub kept_policies: BTreeSet<String>,
    /// Groups that somebody has paused: good as they are, and not told to the relay.
    pub paused_groups: BTreeSet<String>,
    /// Users that somebody has paused, by name of the object.
    pub paused_users: BTreeSet<String>,
    /// What stays as the relay has it.
    pub untouched: Untouched,
}

impl ValidNetwork {
    /// The image of the workloads, by an operator that comes with the image `own`.
    pub fn runs_image<'a>(&'a self, own: &'a str) -> &'a str {
        self.image.as_deref().or(self.pinned_image.as_deref()).unwrap_or(own)
    }
}

/// The relay.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidRelay {
    /// `http(s)://HOST[:PORT]`, where the object names one.
    pub public_url: Option<String>,
    /// The Service's port.
    pub port: u16,
    /// Where its certificate comes from.
    pub tls: ValidTls,
    /// Its volume.
    pub storage: Storage,
    /// Its processor and memory, where the object says so.
    pub resources: Option<Resources>,
    /// Where it runs.
    pub pod: ValidPod,
    /// How its Service is reached.
    pub service: ServiceOptions,
    /// Networks of proxies that it believes.
    pub trusted_proxies: Vec<String>,
    /// Ways in by a name.
    pub ways: Option<ValidWays>,
}

/// What leads a name to the relay, or proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidWays {
    /// The host of the public URL: a DNS name.
    pub host: String,
    /// By an Ingress.
    pub ingress: Option<IngressOptions>,
    /// By the Gateway API.
    pub route: Option<RouteOptions>,
    /// The issuer of cert-manager from which the certificate in the Secret of [`ValidTls::Secret`] comes.
    pub issuer: Option<IssuerRef>,
}

/// What an object says about pods, as Kubernetes' types read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidPod {
    /// Labels beside ours.
    pub labels: Texts,
    /// Annotations beside ours.
    pub annotations: Texts,
    /// Annotations of the service account.
    pub service_account_annotations: Texts,
    /// Labels of the node.
    pub node_selector: Texts,
    /// The priority class.
    pub priority_class: Option<String>,
    /// Tolerations.
    pub tolerations: Vec<Value>,
    /// Affinity.
    pub affinity: Option<Value>,
    /// Topology spread constraints; one without a selector means the pods of the part.
    pub spread: Vec<Value>,
    /// Names of image pull secrets.
    pub pull_secrets: Vec<String>,
}

/// Where the relay's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidTls {
    /// Plain HTTP.
    Disabled,
    /// The network's authority.
    NetworkAuthority,
    /// A Secret of type `kubernetes.io/tls` by this name.
    Secret(String),
}

/// Federation that is on.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidFederation {
    /// Peers, in the order of the object.
    pub peers: Vec<ValidPeer>,
    /// How many gateways, where the object says so; otherwise an autoscaler may.
    pub replicas: Option<u16>,
    /// The port of the gateway's Service.
    pub port: u16,
    /// Processor and memory, where the object says so.
    pub resources: Option<Resources>,
    /// Where gateways run.
    pub pod: ValidPod,
    /// How their Service for peers is reached.
    pub service: ServiceOptions,
}

/// A peer network.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidPeer {
    /// Its domain.
    pub domain: Domain,
    /// Where its details come from.
    pub source: PeerSource,
}

/// Where the details of a peer come from.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerSource {
    /// The Network of this name in the same namespace.
    Local(String),
    /// The object that names the peer.
    Remote {
        /// `host:port` of its gateway.
        endpoint: String,
        /// Its authority in PEM.
        authority: String,
        /// The fingerprint of its policy key.
        policy_key: Fingerprint,
    },
}

/// CloudWatch that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidCloudWatch {
    /// Metric namespace.
    pub namespace: String,
    /// Seconds between two publications.
    pub interval_seconds: u64,
    /// AWS region.
    pub region: String,
    /// Another endpoint than AWS's own.
    pub endpoint_url: Option<String>,
    /// The Secret with AWS credentials, where named.
    pub credentials: Option<String>,
}

/// A security group.
#[expect(clippy::struct_excessive_bools, reason = "switches of administrators, each on its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidGroup {
    /// Failed passwords before the account locks; 0: never.
    pub lockout_threshold: u32,
    /// Failed passwords before the device wipes itself; 0: never.
    pub force_device_lockout: u32,
    /// What a password must have.
    pub password: PasswordRule,
    /// Longest expiry; zero: no cap.
    pub max_expiry: Duration,
    /// Longest burn-on-read; zero: no cap of its own.
    pub max_burn: Duration,
    /// Whom its users may talk to.
    pub federation: GroupFederation,
    /// Files may be sent.
    pub files_enabled: bool,
    /// Files may be saved.
    pub file_download_enabled: bool,
    /// Messages may be forwarded.
    pub forwarding_enabled: bool,
    /// Presence is shown.
    pub presence_enabled: bool,
    /// A further device needs approval.
    pub device_approval: bool,
    /// Texts offered as answers.
    pub quick_responses: Vec<String>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidUser {
    /// username@domain.
    pub address: Address,
    /// Name of a good group of the network.
    pub group: String,
    /// How people call them, where the object says so.
    pub name: Option<String>,
    /// Is shut out.
    pub suspended: bool,
    /// How long an invite is good.
    pub invite_life: Duration,
    /// What has to be done once.
    pub reset: Resets,
}

/// A retention policy.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidPolicy {
    /// The address of the retention process.
    pub address: Address,
    /// The switch.
    pub enabled: bool,
    /// Whose conversations.
    pub scope: ValidScope,
    /// Where records go.
    pub destination: ValidDestination,
    /// Processor and memory, where the object says so.
    pub resources: Option<Resources>,
    /// Where it runs.
    pub pod: ValidPod,
    /// What becomes of volumes and keys.
    pub deletion: DeletionPolicy,
}

/// Whose conversations are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValidScope {
    /// Everybody.
    AllUsers,
    /// The users of these groups.
    Groups(Vec<String>),
}

/// Where records go.
#[derive(Clone, Debug, PartialEq)]
pub enum ValidDestination {
    /// A volume.
    Volume {
        /// Folder in it, relative, without `.` and `..`.
        path: String,
        /// The volume.
        storage: Storage,
    },
    /// An S3 bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// Key prefix without a slash at the end; may be empty.
        prefix: String,
        /// AWS region.
        region: String,
        /// Another endpoint than AWS's own.
        endpoint_url: Option<String>,
        /// Key for server-side encryption.
        kms_key_arn: Option<String>,
        /// The Secret with AWS credentials, where named.
        credentials: Option<String>,
    },
}
