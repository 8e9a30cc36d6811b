//! Networks whose documents are of a time that is over: told with every command that works by them.

use std::time::Duration;

use serde::Serialize;
use sotto_client::{Client, StaleNetwork};

use crate::commands::time;
use crate::error::CliError;
use crate::ui::Ui;

/// How often a command that goes on looks again.
pub(crate) const LOOK: Duration = Duration::from_mins(10);

/// What is told of one.
pub(crate) fn words(stale: &StaleNetwork) -> String {
    let StaleNetwork { domain, since_ms, refused_from_ms, .. } = stale;
    let since = time(*since_ms);
    let end = refused_from_ms
        .map_or_else(String::new, |from| format!(" From {} on, nothing is sent that concerns it.", time(from)));
    format!(
        "Nothing has confirmed what is known of {domain} since {since}: whoever runs its relay may be holding back who has left, whose keys \
         have changed and what the rules are; or its operator stands still, or the clock of this machine is wrong. Tell the \
         administrator.{end}"
    )
}

/// Tells of these networks.
pub(crate) fn warn(stale: &[StaleNetwork], ui: Ui) {
    for one in stale {
        ui.note(&format!("WARNING: {}", words(one)));
    }
}

/// Tells of the own network, which the relay is asked about where it can be.
pub(crate) async fn warn_of_own(client: &Client, ui: Ui) -> Result<(), CliError> {
    warn(client.stale().await?.as_slice(), ui);
    Ok(())
}

/// For programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StaleLine {
    network: String,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_from: Option<String>,
}

impl From<&StaleNetwork> for StaleLine {
    fn from(stale: &StaleNetwork) -> Self {
        let refused_from = stale.refused_from_ms.map(time);
        Self { network: stale.domain.to_string(), since: time(stale.since_ms), refused_from }
    }
}
