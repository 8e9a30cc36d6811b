//! The objects of one namespace, as they were read.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};

/// The kinds of `sotto.dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Network`.
    Network,
    /// `SecurityGroup`.
    SecurityGroup,
    /// `User`.
    User,
    /// `RetentionPolicy`.
    RetentionPolicy,
}

impl Kind {
    /// As it stands in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "Network",
            Self::SecurityGroup => "SecurityGroup",
            Self::User => "User",
            Self::RetentionPolicy => "RetentionPolicy",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The annotation that has an object left as it is, where it says `true`.
pub const PAUSED_ANNOTATION: &str = "sotto.dev/paused";

/// Whether somebody wants the object left as it is.
pub fn is_paused(meta: &ObjectMeta) -> bool {
    meta.annotations.as_ref().and_then(|all| all.get(PAUSED_ANNOTATION)).is_some_and(|value| value == "true")
}

/// An object of ours within its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectId {
    /// The object of this kind and name.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// The objects of one namespace that are wanted: those that are being deleted are not among them.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// All Networks of the namespace: they must not have the same domain, and may be each other's peers.
    pub networks: Vec<Arc<Network>>,
    /// Security groups.
    pub groups: Vec<Arc<SecurityGroup>>,
    /// Users.
    pub users: Vec<Arc<User>>,
    /// Retention policies.
    pub policies: Vec<Arc<RetentionPolicy>>,
    /// The networks that are asked for, by name; `None`: all. Groups, users and policies of others need not be here.
    pub only: Option<BTreeSet<String>>,
    /// Objects that are there but cannot be read. What the relay holds of them stays as it is.
    pub unreadable: BTreeSet<ObjectId>,
    /// Names of the Secrets in the namespace that objects may refer to, as far as they were looked for; `None` where nobody
    /// looked (then they are taken to be there).
    pub secret_names: Option<BTreeSet<String>>,
    /// Names of the Secrets in the namespace that the operator has made, where it is known: no object may refer to them.
    pub own_secrets: BTreeSet<String>,
}
