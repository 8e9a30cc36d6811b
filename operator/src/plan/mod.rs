//! From custom resources to what has to run: pure, and the same for a cluster and for the local runner.
//!
//! ```text
//! Objects ──validate──▶ Validation { networks: ValidNetwork…, problems }
//! ValidNetwork + Places + Secrets (ensure_secrets) + peers (introduce) ──build──▶ NetworkPlan
//! NetworkPlan + what the relay holds ──wanted──▶ sync::Wanted
//! all of it + Observed ──assess──▶ Health of each object ──▶ conditions
//! ```
//!
//! A deployment (cluster, local runner) brings the [`Objects`], the [`Places`] where the parts of a network run, and the
//! Secrets as they are; and it does the applying.

mod build;
mod conditions;
mod health;
mod objects;
mod places;
mod problem;
mod secrets;
mod status;
mod valid;
mod validate;
mod wanted;

#[cfg(test)]
pub(crate) mod tests;

pub use build::{GatewayPlan, NetworkPlan, PeerFacts, build, introduce, relay_url};
pub use conditions::{
    COMPLETE, DEGRADED, GATEWAY_READY, OURS, PAUSED, PROGRESSING, READY, REGISTERED, RELAY_READY, STALLED,
    STALLED_AFTER, paused_conditions, update_conditions,
};
pub use health::{Finding, Health, Observed, Part, assess};
pub use objects::{Kind, ObjectId, Objects, PAUSED_ANNOTATION, is_paused};
pub use places::{GatewayPlace, Places, RelayPlace, RetentionPlace};
pub use problem::Problem;
pub use secrets::{SecretFailure, SecretId, Secrets, ensure_secrets, secret_ids};
pub use status::{Facts, group_status, network_status, policy_status, user_status};
pub use valid::{
    PeerSource, RETENTION_GROUP, STANDARD_GROUP, ValidCloudWatch, ValidDestination, ValidFederation, ValidGroup,
    ValidNetwork, ValidPeer, ValidPod, ValidPolicy, ValidRelay, ValidScope, ValidTls, ValidUser, ValidWays,
};
pub use validate::{Validation, retention_local, unreadable_problem, validate};
pub use wanted::wanted;
