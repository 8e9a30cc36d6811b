//! Where the parts of one network listen, keep their files and reach each other: all in which deployments differ.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The places of one network's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The relay.
    pub relay: RelayPlace,
    /// The gateway; used where federation is on.
    pub gateway: GatewayPlace,
    /// Retention processes by name of the policy; one for each valid policy.
    pub retention: BTreeMap<String, RetentionPlace>,
}

/// Where the relay is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayPlace {
    /// Client interface.
    pub listen: SocketAddr,
    /// Admin interface.
    pub admin_listen: SocketAddr,
    /// Health and metrics.
    pub telemetry_listen: SocketAddr,
    /// Where clients reach it, `http(s)://HOST[:PORT]` with the scheme that [`ValidTls`](super::ValidTls) says: goes into
    /// invites, unless the object names a public URL and `use_public_url` is set.
    pub url: String,
    /// Whether the object's public URL counts here. The local runner's relay is never there.
    pub use_public_url: bool,
    /// `https://HOST:PORT` where the operator and the gateway reach the admin interface.
    pub admin_url: String,
    /// DNS names and addresses for its certificate.
    pub names: Vec<String>,
    /// Folder with the contents of [`SecretId::RelayTls`](super::SecretId::RelayTls): `tls.crt`, `tls.key`, `ca.crt`.
    pub tls: PathBuf,
    /// Folder with the contents of the Secret that the object names (`tls.mode: Secret`): `tls.crt`, `tls.key`.
    pub own_tls: PathBuf,
    /// Folder with the contents of [`SecretId::RelaySecret`](super::SecretId::RelaySecret).
    pub secrets: PathBuf,
    /// Folder of its store.
    pub state: PathBuf,
}

/// Where the gateway is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayPlace {
    /// For the own relay.
    pub listen: SocketAddr,
    /// For peer gateways.
    pub peer_listen: SocketAddr,
    /// Health and metrics.
    pub telemetry_listen: SocketAddr,
    /// `https://HOST:PORT` where the own relay reaches it.
    pub url: String,
    /// `HOST:PORT` where gateways of other networks in the namespace reach it.
    pub peer_endpoint: String,
    /// DNS names and addresses for its certificate, beside the network's domain.
    pub names: Vec<String>,
    /// Folder with the contents of [`SecretId::GatewayTls`](super::SecretId::GatewayTls).
    pub tls: PathBuf,
    /// Folder with the authorities of peers, one file `DOMAIN.crt` each.
    pub authorities: PathBuf,
}

/// Where a retention process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPlace {
    /// Health and metrics.
    pub telemetry_listen: SocketAddr,
    /// Folder with the contents of [`SecretId::Retention`](super::SecretId::Retention).
    pub secrets: PathBuf,
    /// File with the network's authority (`ca.crt`).
    pub authority: PathBuf,
    /// Folder of its own state.
    pub state: PathBuf,
    /// Folder of the volume, where records go to one.
    pub volume: PathBuf,
}
