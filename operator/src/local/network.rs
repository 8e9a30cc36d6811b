//! Applies one network on this machine: Secrets and configuration become files, parts become processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use super::folder::{self, Folder, FolderError};
use super::places::{process_name, retention_dir, secret_dir};
use super::processes::Spec;
use super::snapshot::network_dir;
use crate::plan::{NetworkPlan, Places, SecretId, Secrets, ValidNetwork, secret_ids};
use crate::secret::SecretData;

/// The Secrets of the network as they are.
pub(super) fn read_secrets(
    folder: &Folder,
    namespace: &str,
    network: &ValidNetwork,
) -> Result<BTreeMap<SecretId, SecretData>, FolderError> {
    let mut existing = BTreeMap::new();
    for id in secret_ids(network) {
        let data = folder.read_secret(secret_dir(namespace, &network.name, &id))?;
        if !data.is_empty() {
            existing.insert(id, data);
        }
    }
    Ok(existing)
}

/// Writes the Secrets that are new, and removes the invites that are used up.
pub(super) fn write_secrets(
    folder: &Folder,
    namespace: &str,
    network: &ValidNetwork,
    secrets: &Secrets,
) -> Result<(), FolderError> {
    for (id, ensured) in secrets.iter().filter(|(_, ensured)| ensured.changed()) {
        folder.write_secret(secret_dir(namespace, &network.name, id), &ensured.data)?;
    }
    for user in network.users.keys() {
        let id = SecretId::Invite(user.clone());
        if secrets.get(&id).is_none() {
            folder.remove(secret_dir(namespace, &network.name, &id))?;
        }
    }
    Ok(())
}

/// Writes the configuration of the network's parts; answers its processes by name: relay and gateway, and the retention
/// processes for which `start` says so.
pub(super) fn write_parts(
    folder: &Folder,
    namespace: &str,
    plan: &NetworkPlan,
    places: &Places,
    secrets: &Secrets,
    network: &str,
    start: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, Spec>, FolderError> {
    let dir = network_dir(namespace, network);
    let process = |part: &str| process_name(namespace, network, part);
    let mut parts = BTreeMap::new();
    folder::make_dir(&places.relay.state)?;

    let relay = Part { folder, name: process("relay"), verb: "relay", file: format!("{dir}/relay.yaml") };
    let listens =
        [&plan.relay.listen, &plan.relay.admin_listen, &plan.relay.telemetry.listen].map(std::net::SocketAddr::port);
    let inputs = [secrets.get(&SecretId::RelayTls), secrets.get(&SecretId::RelaySecret)];
    parts.insert(relay.name.clone(), relay.write(&plan.relay, &listens, &inputs, &[])?);

    if let Some(gateway) = &plan.gateway {
        write_authorities(&places.gateway.authorities, &gateway.authorities)?;
        let part = Part { folder, name: process("gateway"), verb: "gateway", file: format!("{dir}/gateway.yaml") };
        let config = &gateway.config;
        let listens = [&config.listen, &config.peer_listen, &config.telemetry.listen].map(std::net::SocketAddr::port);
        let inputs = [secrets.get(&SecretId::GatewayTls)];
        let authorities: Vec<&str> = gateway.authorities.values().map(String::as_str).collect();
        parts.insert(part.name.clone(), part.write(config, &listens, &inputs, &authorities)?);
    }
    for (policy, config) in &plan.retention {
        let name = process(&format!("retention-{policy}"));
        if !start(policy) {
            continue;
        }
        let own = retention_dir(namespace, network, policy);
        if let Some(place) = places.retention.get(policy) {
            folder::make_dir(&place.state)?;
            folder::make_dir(&place.volume)?;
        }
        let part = Part { folder, name: name.clone(), verb: "retention", file: format!("{own}/retention.yaml") };
        let inputs = [secrets.get(&SecretId::Retention(policy.clone()))];
        parts.insert(name, part.write(config, &[config.telemetry.listen.port()], &inputs, &[])?);
    }
    Ok(parts)
}

struct Part<'a> {
    folder: &'a Folder,
    name: String,
    verb: &'static str,
    file: String,
}

impl Part<'_> {
    /// Writes the configuration file and describes the process. The health port is the last one.
    fn write(
        &self,
        config: &impl Serialize,
        ports: &[u16],
        secrets: &[Option<&SecretData>],
        texts: &[&str],
    ) -> Result<Spec, FolderError> {
        let path = self.folder.path(&self.file);
        let text = serde_yaml::to_string(config)
            .map_err(|e| FolderError::Content { path: path.display().to_string(), why: e.to_string() })?;
        let text = format!("# Written by `sotto up`; changes are lost.\n{text}");
        folder::write_if_changed(&path, text.as_bytes())?;
        let mut inputs = Zeroizing::new(text.into_bytes());
        for (name, value) in secrets.iter().flatten().flat_map(|secret| secret.iter()) {
            inputs.extend_from_slice(name.as_bytes());
            inputs.extend_from_slice(value);
        }
        for text in texts {
            inputs.extend_from_slice(text.as_bytes());
        }
        Ok(Spec {
            arguments: vec![self.verb.into(), "--config".into(), OsString::from(path)],
            log: self.folder.log(&self.name),
            pid_file: self.folder.pid_file(&self.name),
            ports: ports.to_vec(),
            health_port: ports.last().copied().unwrap_or_default(),
            inputs: sotto_crypto::digest(&inputs),
        })
    }
}

/// Writes the authorities of peers, and removes those of networks that are no peers any more.
fn write_authorities(dir: &Path, authorities: &BTreeMap<String, String>) -> Result<(), FolderError> {
    for (name, pem) in authorities {
        folder::write_if_changed(&dir.join(name), pem.as_bytes())?;
    }
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| authorities.contains_key(name)) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}
