//! The local runner.

pub mod folder;
pub(crate) mod logs;
pub mod manifests;
pub mod objects;
pub mod ports;
pub mod processes;
pub mod watch;

use serde::{Deserialize, Serialize};

/// Who runs on a state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunnerInfo {
    /// Process id.
    pub pid: u32,
}
