//! Where the parts of a network are in a cluster: Services, ports, mount points.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::pki;
use crate::plan::{GatewayPlace, Places, RelayPlace, RetentionPlace, ValidNetwork, ValidTls};

/// Port of the client interface, and of the gateway's interface for its own relay.
pub(super) const MAIN_PORT: u16 = 8443;
/// Port of the admin interface, and of the gateway's interface for peers.
pub(super) const SECOND_PORT: u16 = 8444;
/// Port of health and metrics.
pub(super) const TELEMETRY_PORT: u16 = 9090;

/// Mount point of the configuration.
pub(super) const CONFIG: &str = "/etc/sotto/config";
/// Mount point of the certificate of the network's authority.
pub(super) const TLS: &str = "/etc/sotto/tls";
/// Mount point of the certificate that the administrator brings.
pub(super) const OWN_TLS: &str = "/etc/sotto/own-tls";
/// Mount point of the component's own secrets.
pub(super) const SECRETS: &str = "/etc/sotto/secrets";
/// Mount point of the state volume.
pub(super) const STATE: &str = "/var/lib/sotto";
/// Mount point of the volume for records.
pub(super) const RECORDS: &str = "/var/lib/sotto-records";

/// Names of a network's objects.
pub(super) fn relay_name(network: &str) -> String {
    format!("{network}-relay")
}

pub(super) fn relay_admin_name(network: &str) -> String {
    format!("{network}-relay-admin")
}

pub(super) fn gateway_name(network: &str) -> String {
    format!("{network}-gateway")
}

pub(super) fn gateway_inner_name(network: &str) -> String {
    format!("{network}-gateway-inner")
}

pub(super) fn retention_name(policy: &str) -> String {
    format!("{policy}-retention")
}

/// The places of a network in `namespace`.
pub fn places(network: &ValidNetwork, namespace: &str) -> Places {
    let host = |service: &str| format!("{service}.{namespace}.svc");
    let listen = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let (relay, admin) = (relay_name(&network.name), relay_admin_name(&network.name));
    let (gateway, inner) = (gateway_name(&network.name), gateway_inner_name(&network.name));
    let scheme = if network.relay.tls == ValidTls::Disabled { "http" } else { "https" };
    let standard = if scheme == "https" { 443 } else { 80 };
    let port = if network.relay.port == standard { String::new() } else { format!(":{}", network.relay.port) };
    let peer_port = network.federation.as_ref().map_or(SECOND_PORT, |f| f.port);
    Places {
        relay: RelayPlace {
            listen: listen(MAIN_PORT),
            admin_listen: listen(SECOND_PORT),
            telemetry_listen: listen(TELEMETRY_PORT),
            url: format!("{scheme}://{}{port}", host(&relay)),
            use_public_url: true,
            admin_url: format!("https://{}:{SECOND_PORT}", host(&admin)),
            names: names(&[&relay, &admin], namespace),
            tls: PathBuf::from(TLS),
            own_tls: PathBuf::from(OWN_TLS),
            secrets: PathBuf::from(SECRETS),
            state: PathBuf::from(STATE),
        },
        gateway: GatewayPlace {
            listen: listen(MAIN_PORT),
            peer_listen: listen(SECOND_PORT),
            telemetry_listen: listen(TELEMETRY_PORT),
            url: format!("https://{}:{MAIN_PORT}", host(&inner)),
            peer_endpoint: format!("{}:{peer_port}", host(&gateway)),
            names: names(&[&gateway, &inner], namespace),
            tls: PathBuf::from(TLS),
            authorities: PathBuf::from(CONFIG),
        },
        retention: network.policies.keys().map(|policy| (policy.clone(), retention())).collect::<BTreeMap<_, _>>(),
    }
}

fn retention() -> RetentionPlace {
    RetentionPlace {
        telemetry_listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, TELEMETRY_PORT)),
        secrets: PathBuf::from(SECRETS),
        authority: PathBuf::from(CONFIG).join(pki::CA_CERTIFICATE),
        state: PathBuf::from(STATE),
        volume: PathBuf::from(RECORDS),
    }
}

/// Every form in which cluster DNS answers for these Services.
fn names(services: &[&str], namespace: &str) -> Vec<String> {
    services
        .iter()
        .flat_map(|s| {
            [
                (*s).to_owned(),
                format!("{s}.{namespace}"),
                format!("{s}.{namespace}.svc"),
                format!("{s}.{namespace}.svc.cluster.local"),
            ]
        })
        .collect()
}
