//! Where the parts of a network are on this machine: loopback ports and folders of the state folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::folder::Folder;
use super::manifests::DEFAULT_NAMESPACE;
use super::ports::{NoPort, Ports};
use super::snapshot::{invite_dir, network_dir};
use crate::plan::{GatewayPlace, Places, RelayPlace, RetentionPlace, SecretId, ValidNetwork};

/// The places of one network.
pub(super) fn places(
    folder: &Folder,
    ports: &mut Ports,
    namespace: &str,
    network: &ValidNetwork,
) -> Result<Places, NoPort> {
    let dir = network_dir(namespace, &network.name);
    let name = |part: &str| format!("{namespace}.{}/{part}", network.name);
    let secret = |id: &SecretId| folder.path(secret_dir(namespace, &network.name, id));
    let relay = RelayPlace {
        listen: ports.address(&name("relay"))?,
        admin_listen: ports.address(&name("relay-admin"))?,
        telemetry_listen: ports.address(&name("relay-health"))?,
        url: format!("http://127.0.0.1:{}", ports.get(&name("relay"))?),
        use_public_url: false,
        admin_url: format!("https://127.0.0.1:{}", ports.get(&name("relay-admin"))?),
        names: Vec::new(),
        tls: secret(&SecretId::RelayTls),
        own_tls: folder.path(format!("{dir}/secrets/own-tls")),
        secrets: secret(&SecretId::RelaySecret),
        state: folder.path(format!("{dir}/relay")),
    };
    let gateway = GatewayPlace {
        listen: ports.address(&name("gateway"))?,
        peer_listen: ports.address(&name("gateway-peers"))?,
        telemetry_listen: ports.address(&name("gateway-health"))?,
        url: format!("https://127.0.0.1:{}", ports.get(&name("gateway"))?),
        peer_endpoint: format!("127.0.0.1:{}", ports.get(&name("gateway-peers"))?),
        names: Vec::new(),
        tls: secret(&SecretId::GatewayTls),
        authorities: folder.path(format!("{dir}/authorities")),
    };
    let mut retention = BTreeMap::new();
    for policy in network.policies.keys() {
        let place = RetentionPlace {
            telemetry_listen: ports.address(&name(&format!("retention-{policy}-health")))?,
            secrets: secret(&SecretId::Retention(policy.clone())),
            authority: relay.tls.join(crate::pki::CA_CERTIFICATE),
            state: folder.path(format!("{}/state", retention_dir(namespace, &network.name, policy))),
            volume: volume(folder, namespace, policy),
        };
        retention.insert(policy.clone(), place);
    }
    Ok(Places { relay, gateway, retention })
}

/// The folder of a Secret of a network, within the state folder.
pub(super) fn secret_dir(namespace: &str, network: &str, id: &SecretId) -> String {
    let name = match id {
        SecretId::Authority => "authority",
        SecretId::PolicyKey => "policy-key",
        SecretId::OperatorTls => "operator-tls",
        SecretId::RelayTls => "relay-tls",
        SecretId::RelaySecret => "relay-secret",
        SecretId::GatewayTls => "gateway-tls",
        SecretId::Retention(policy) => return format!("{}/secrets", retention_dir(namespace, network, policy)),
        SecretId::Invite(user) => return invite_dir(namespace, network, user),
    };
    format!("{}/secrets/{name}", network_dir(namespace, network))
}

/// The folder of a retention process, within the state folder.
pub(super) fn retention_dir(namespace: &str, network: &str, policy: &str) -> String {
    format!("{}/retention/{policy}", network_dir(namespace, network))
}

/// What a volume is to a retention policy in a cluster. Not below the network: records outlive everything.
pub(super) fn volume(folder: &Folder, namespace: &str, policy: &str) -> PathBuf {
    folder.path(volume_dir(namespace, policy))
}

/// The same, within the state folder.
pub(super) fn volume_dir(namespace: &str, policy: &str) -> String {
    format!("volumes/{namespace}.{policy}")
}

/// The name of a process, of its log and of its process id's file.
pub(super) fn process_name(namespace: &str, network: &str, part: &str) -> String {
    if namespace == DEFAULT_NAMESPACE { format!("{network}-{part}") } else { format!("{namespace}.{network}-{part}") }
}
