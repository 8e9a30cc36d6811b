//! What the runner has told of itself: the objects with their status, who runs, what is wrong, which invites are open.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::folder::{Folder, FolderError};
use super::manifests::Problem;
use crate::invites;

/// Who runs on a state folder, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerInfo {
    /// Process id of the runner.
    pub pid: u32,
    /// The folder of manifests.
    pub dir: String,
    /// The objects have a status by this runner.
    pub reported: bool,
    /// Every object is ready and nothing is wrong with the manifests.
    pub ready: bool,
    /// Nothing is on its way any more: what is not ready needs a person.
    pub settled: bool,
    /// What is wrong with the manifests.
    pub problems: Vec<Problem>,
}

/// Name of [`RunnerInfo`]'s file.
pub const INFO: &str = "runner.json";
/// Name of the file with the objects and their status.
pub const STATUS: &str = "status.json";

/// All that a person wants to see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The runner, as it wrote last.
    pub info: RunnerInfo,
    /// The objects with their status.
    pub items: Vec<Value>,
}

impl Snapshot {
    /// Reads what the runner wrote last.
    pub fn read(folder: &Folder) -> Result<Self, FolderError> {
        let info = folder.read_json(INFO)?.unwrap_or_default();
        let list: Value = folder.read_json(STATUS)?.unwrap_or_default();
        let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Self { info, items })
    }

    /// Writes it, the objects first.
    pub fn write(&self, folder: &Folder) -> Result<(), FolderError> {
        folder.write_json(STATUS, &self.list())?;
        folder.write_json(INFO, &self.info)
    }

    /// The objects as a Kubernetes `List`.
    pub fn list(&self) -> Value {
        list(&self.items)
    }
}

/// Objects as a Kubernetes `List`.
pub fn list(items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": items })
}

/// The folder of a network, of a kind of its parts, of one of them.
pub fn network_dir(namespace: &str, network: &str) -> String {
    format!("networks/{namespace}.{network}")
}

/// The folder of a user's invite.
pub fn invite_dir(namespace: &str, network: &str, user: &str) -> String {
    format!("{}/invites/{user}", network_dir(namespace, network))
}

/// An invite that has not been used.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenInvite {
    /// Name of the `User` object.
    pub user: String,
    /// Name of its network.
    pub network: String,
    /// The address.
    pub address: String,
    /// The URL: a secret until it is used.
    pub url: String,
}

/// The invites that have not been opened, in the order of the objects.
pub fn open_invites(folder: &Folder, items: &[Value]) -> Result<Vec<OpenInvite>, FolderError> {
    let mut open = Vec::new();
    for item in items.iter().filter(|i| i["kind"] == "User" && i["status"]["inviteSecretName"].is_string()) {
        let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (user, network) = (text("/metadata/name"), text("/spec/networkRef/name"));
        let secret = folder.read_secret(invite_dir(text("/metadata/namespace"), network, user))?;
        if let (Some(url), Some(address)) = (secret.text(invites::URL), secret.text(invites::ADDRESS)) {
            open.push(OpenInvite {
                user: user.to_owned(),
                network: network.to_owned(),
                address: address.to_owned(),
                url: url.to_owned(),
            });
        }
    }
    Ok(open)
}
