//! The four custom resources of `sotto.dev/v1alpha1`: [`Network`], [`SecurityGroup`], [`User`] and [`RetentionPolicy`].
//!
//! The Rust types are the source. The YAML beside this crate is generated from them ([`yaml`]), and [`admission`] answers
//! offline what an API server would answer, so that the local runner refuses what a cluster refuses, in the same words.

pub mod admission;
#[expect(unreachable_pub, reason = "KubeSchema repeats the struct inside a function")]
mod common;
mod duration;
pub mod evolve;
#[expect(unreachable_pub, reason = "KubeSchema repeats the struct inside a function")]
#[allow(clippy::duplicated_attributes, reason = "columns have the same attributes")]
mod network;
#[expect(unreachable_pub, reason = "KubeSchema repeats the struct inside a function")]
mod pod;
mod quantity;
#[expect(unreachable_pub, reason = "KubeSchema repeats the struct inside a function")]
#[allow(clippy::duplicated_attributes, reason = "columns have the same attributes")]
mod retention_policy;
mod schema;
#[expect(unreachable_pub, reason = "KubeSchema repeats the struct inside a function")]
#[allow(clippy::duplicated_attributes, reason = "columns have the same attributes")]
#[allow(clippy::struct_excessive_bools, reason = "switches of administrators, each on its own")]
mod security_group;
#[expect(unreachable_pub, reason = "KubeSchema repeats the struct inside a function")]
#[allow(clippy::duplicated_attributes, reason = "columns have the same attributes")]
mod user;

pub use common::{NamedRef, Resources, Storage, conditions};
pub use duration::{Duration, DurationError};
pub use network::{
    CloudWatchSpec, ConsentPopup, DeletionPolicy, DirectorySpec, FederationMode, FederationSpec, GatewaySpec,
    MetricsSpec, Network, NetworkPolicyMode, NetworkSpec, NetworkStatus, PeerSpec, PrometheusSpec, ReadReceipts,
    RelaySpec, RelayTls, Tier, TlsMode, UpgradePolicy,
};
pub use pod::{
    IngressOptions, IssuerRef, ParentRef, PodOptions, RouteKind, RouteOptions, ServiceOptions, ServiceType, Texts,
    TrafficPolicy,
};
pub use quantity::{Quantity, QuantityError};
pub use retention_policy::{
    Destination, RetentionPolicy, RetentionPolicySpec, RetentionPolicyStatus, RetentionScope, S3Destination,
    VolumeDestination,
};
pub use schema::{crds, yaml};
pub use security_group::{
    AutoDownload, CallingSpec, DeviceSpec, GroupFederation, GroupFederationMode, MessagingSpec, PasswordRequirements,
    SecurityGroup, SecurityGroupSpec, SecurityGroupStatus, SessionSpec, ShredderSpec,
};
pub use user::{InviteSpec, Reset, User, UserSpec, UserState, UserStatus};

/// The API group of every kind.
pub const GROUP: &str = "sotto.dev";
/// The served version.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` as it stands in a manifest.
pub const API_VERSION: &str = "sotto.dev/v1alpha1";
