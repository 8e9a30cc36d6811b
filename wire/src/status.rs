//! What a retention process says of its work beside its health: `GET /status` on its telemetry port, JSON. Counts and times only:
//! nothing of people or conversations.

use serde::{Deserialize, Serialize};

/// Where it says it.
pub const STATUS_PATH: &str = "/status";

/// Whether its record is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionState {
    /// Messages that somebody has sent and it has not got.
    pub missing: u64,
    /// When the first of them was noticed (milliseconds since the epoch).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_since_ms: Option<u64>,
}
