//! Labels, annotations and names of what the operator makes. Our own label domain: tools that prune by
//! `app.kubernetes.io/instance` must not take our objects for theirs.

/// On every object that the operator makes; what it watches.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`], and the name under which it applies fields.
pub(super) const MANAGER: &str = "sotto-operator";
/// The network's name.
pub(super) const NETWORK: &str = "sotto.dev/network";
/// What part of the network it is: `relay`, `gateway`, `retention`, `keys`, `invite`.
pub(super) const COMPONENT: &str = "sotto.dev/component";
/// The retention policy's name, on the parts of a retention process.
pub(super) const POLICY: &str = "sotto.dev/policy";
/// Annotation: digest of what the operator applied last, so that an unchanged object is left alone.
pub(super) const APPLIED: &str = "sotto.dev/applied";
/// Annotation of pods: digest of the configuration and certificates they run with, so that a change rolls them.
pub(super) const CONFIG: &str = "sotto.dev/config";
/// Finalizer of users and retention policies: the relay has an account of them.
pub(super) const FINALIZER: &str = "sotto.dev/relay-account";

/// Annotation of a Network: "true" has a new authority or policy key made in the place of one that is lost.
pub(super) const NEW_KEYS: &str = "sotto.dev/accept-new-keys";
/// Annotation of a user or policy that is being deleted: "true" lets it go without the relay.
pub(super) const ORPHAN: &str = "sotto.dev/orphan";

/// What a part of a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Relay,
    Gateway,
    Retention,
    Keys,
    Invite,
}

impl Component {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Gateway => "gateway",
            Self::Retention => "retention",
            Self::Keys => "keys",
            Self::Invite => "invite",
        }
    }
}

/// Name of the relay's workload, Service, configuration and account.
pub(super) fn relay(network: &str) -> String {
    format!("{network}-relay")
}
/// Name of the Service of the relay's admin interface and metrics.
pub(super) fn relay_admin(network: &str) -> String {
    format!("{network}-relay-admin")
}
/// Name of the relay's volume.
pub(super) fn relay_data(network: &str) -> String {
    format!("{network}-relay-data")
}
/// Name of the gateway's workload, Service for peers, configuration and account.
pub(super) fn gateway(network: &str) -> String {
    format!("{network}-gateway")
}
/// Name of the Service of the gateway's interface for the own relay, and metrics.
pub(super) fn gateway_internal(network: &str) -> String {
    format!("{network}-gateway-internal")
}
/// Name of the retention process' workload, configuration and account.
pub(super) fn retention(policy: &str) -> String {
    format!("{policy}-retention")
}
/// Name of the volume of the retention process' own state.
pub(super) fn retention_state(policy: &str) -> String {
    format!("{policy}-retention-state")
}
/// Name of the volume of retained records.
pub(super) fn retention_records(policy: &str) -> String {
    format!("{policy}-retention-records")
}
