//! Where the parts of a network are in a cluster.

use std::net::{Ipv4Addr, SocketAddr};

use super::labels;
use crate::plan::{GatewayPlace, Places, RelayPlace, RetentionPlace, ValidNetwork, ValidTls};

/// The relay's client interface, in its pod.
pub(super) const CLIENT_PORT: u16 = 8443;
/// The admin interface of a relay, and the internal interface of a gateway.
pub(super) const INTERNAL_PORT: u16 = 9443;
/// A gateway's interface for peers, in its pod.
pub(super) const PEER_PORT: u16 = 8448;
/// Health and metrics of every part.
pub(super) const TELEMETRY_PORT: u16 = 8080;

/// Folders in the pods.
pub(super) const CONFIG_DIR: &str = "/etc/sotto";
pub(super) const TLS_DIR: &str = "/run/sotto/tls";
pub(super) const OWN_TLS_DIR: &str = "/run/sotto/own-tls";
pub(super) const SECRETS_DIR: &str = "/run/sotto/secrets";
pub(super) const STATE_DIR: &str = "/var/lib/sotto";
pub(super) const VOLUME_DIR: &str = "/var/lib/records";

fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

/// The names under which a Service is reached; the cluster's own domain is not known and not needed.
fn service_names(service: &str, namespace: &str) -> Vec<String> {
    vec![
        service.to_owned(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ]
}

/// Where the operator reaches a relay.
pub(super) fn admin_url(network: &str, namespace: &str) -> String {
    format!("https://{}.{namespace}.svc:{INTERNAL_PORT}", labels::relay_admin(network))
}

/// Where the operator reaches the telemetry port of a retention process: host, and port.
pub(super) fn retention_host(policy: &str, namespace: &str) -> (String, u16) {
    (format!("{}.{namespace}.svc", labels::retention(policy)), TELEMETRY_PORT)
}

pub(super) fn places(network: &ValidNetwork, namespace: &str) -> Places {
    let host = |service: String| format!("{service}.{namespace}.svc");
    let (scheme, usual) = if network.relay.tls == ValidTls::Disabled { ("http", 80) } else { ("https", 443) };
    let port = network.relay.port;
    let port = if port == usual { String::new() } else { format!(":{port}") };
    let relay = labels::relay(&network.name);
    let admin = labels::relay_admin(&network.name);
    let gateway = labels::gateway(&network.name);
    let internal = labels::gateway_internal(&network.name);
    let peer_port = network.federation.as_ref().map_or(PEER_PORT, |f| f.port);
    Places {
        relay: RelayPlace {
            listen: any(CLIENT_PORT),
            admin_listen: any(INTERNAL_PORT),
            telemetry_listen: any(TELEMETRY_PORT),
            url: format!("{scheme}://{}{port}", host(relay.clone())),
            use_public_url: true,
            admin_url: admin_url(&network.name, namespace),
            names: [service_names(&relay, namespace), service_names(&admin, namespace)].concat(),
            tls: TLS_DIR.into(),
            own_tls: OWN_TLS_DIR.into(),
            secrets: SECRETS_DIR.into(),
            state: STATE_DIR.into(),
        },
        gateway: GatewayPlace {
            listen: any(INTERNAL_PORT),
            peer_listen: any(PEER_PORT),
            telemetry_listen: any(TELEMETRY_PORT),
            url: format!("https://{}:{INTERNAL_PORT}", host(internal.clone())),
            peer_endpoint: format!("{}:{peer_port}", host(gateway.clone())),
            names: [service_names(&gateway, namespace), service_names(&internal, namespace)].concat(),
            tls: TLS_DIR.into(),
            authorities: CONFIG_DIR.into(),
        },
        retention: network
            .policies
            .keys()
            .map(|policy| {
                let place = RetentionPlace {
                    telemetry_listen: any(TELEMETRY_PORT),
                    secrets: SECRETS_DIR.into(),
                    authority: format!("{CONFIG_DIR}/ca.crt").into(),
                    state: STATE_DIR.into(),
                    volume: VOLUME_DIR.into(),
                };
                (policy.clone(), place)
            })
            .collect(),
    }
}
