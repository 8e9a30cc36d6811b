//! What objects leave behind when they are removed: kept or deleted as their deletion policy said.
//!
//! The policy is written beside the data while the object is there, so that it is known when the object is not.

use std::collections::BTreeSet;

use sotto_crds::DeletionPolicy;

use super::folder::{self, Folder, FolderError};
use super::objects::Objects;
use super::places::{retention_dir, volume_dir};
use super::snapshot::network_dir;
use crate::plan::ValidNetwork;

const FILE: &str = "deletion-policy";

/// Notes what is to become of a network's data and of its retention policies' data.
pub(super) fn note(folder: &Folder, namespace: &str, network: &ValidNetwork) -> Result<(), FolderError> {
    let write = |dir: String, policy: DeletionPolicy| {
        let word = if policy == DeletionPolicy::Delete { "Delete" } else { "Retain" };
        folder::write_if_changed(&folder.path(dir).join(FILE), word.as_bytes()).map(drop)
    };
    write(network_dir(namespace, &network.name), network.deletion)?;
    for (name, policy) in &network.policies {
        write(retention_dir(namespace, &network.name, name), policy.deletion)?;
    }
    Ok(())
}

/// Deletes what belonged to objects that are not there any more, where their policy says so; and invites of users who are
/// gone in any case.
pub(super) fn collect(folder: &Folder, objects: &Objects) -> Result<(), FolderError> {
    let names = |kind: &str| -> BTreeSet<(String, String)> {
        objects.iter().filter(|(k, _)| k.kind == kind).map(|(k, _)| (k.namespace.clone(), k.name.clone())).collect()
    };
    let (networks, policies, users) = (names("Network"), names("RetentionPolicy"), names("User"));
    let deletes = |dir: &str| std::fs::read(folder.path(dir).join(FILE)).is_ok_and(|word| word == b"Delete");
    for own in folder.folders("networks") {
        let Some((namespace, network)) = own.split_once('.') else { continue };
        let dir = network_dir(namespace, network);
        for policy in folder.folders(format!("{dir}/retention")) {
            let gone = !policies.contains(&(namespace.to_owned(), policy.clone()));
            let policy_dir = retention_dir(namespace, network, &policy);
            if gone && deletes(&policy_dir) {
                folder.remove(volume_dir(namespace, &policy))?;
                folder.remove(&policy_dir)?;
            }
        }
        let network_gone = !networks.contains(&(namespace.to_owned(), network.to_owned()));
        for user in folder.folders(format!("{dir}/invites")) {
            if network_gone || !users.contains(&(namespace.to_owned(), user.clone())) {
                folder.remove(format!("{dir}/invites/{user}"))?;
            }
        }
        if network_gone && deletes(&dir) {
            folder.remove(&dir)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_or_deleted_as_the_policy_says() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        let has = |path: &str| folder.path(path).exists();
        for (network, word) in [("keep", "Retain"), ("drop", "Delete")] {
            let own = network_dir("default", network);
            folder::write(&folder.path(&own).join(FILE), word.as_bytes()).unwrap();
            folder::write(&folder.path(&own).join("invites/alice/code"), b"x").unwrap();
            folder::write(&folder.path(retention_dir("default", network, network)).join(FILE), word.as_bytes())
                .unwrap();
            folder::write(&folder.path(volume_dir("default", network)).join("record"), b"x").unwrap();
        }
        collect(&folder, &Objects::default()).unwrap();
        assert!(has("networks/default.keep/deletion-policy") && has("volumes/default.keep/record"));
        assert!(!has("networks/default.keep/invites/alice"));
        assert!(!has("networks/default.drop") && !has("volumes/default.drop"));
    }
}
