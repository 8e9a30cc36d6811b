//! `sotto whoami`.

use serde::Serialize;

use super::profile::open;
use crate::args::{TextFormat, WhoamiArgs};
use crate::commands::time;
use crate::error::CliError;
use crate::ui::Ui;

/// What `-o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Me {
    address: String,
    /// How others are shown this user, beside the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    network: String,
    device: String,
    label: String,
    relay: String,
    fingerprint: String,
    device_fingerprint: String,
    policy_key: String,
    /// When the newest directory head that was seen was signed, and until when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    directory_signed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory_expires_at: Option<String>,
}

/// Runs the command. Does not talk to the relay.
pub(crate) async fn run(args: &WhoamiArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let (me, directory) = (client.whoami(), client.directory_times().await?);
    let me = Me {
        name: client.contacts().names(std::slice::from_ref(&me.address)).await?.remove(&me.address),
        address: me.address.to_string(),
        network: me.network.to_string(),
        device: me.device.to_string(),
        label: me.label,
        relay: me.relay,
        fingerprint: me.fingerprint.to_string(),
        device_fingerprint: me.device_fingerprint.to_string(),
        policy_key: me.policy_key.to_string(),
        directory_signed_at: directory.map(|times| time(times.signed_at_ms)),
        directory_expires_at: directory.map(|times| time(times.expires_at_ms)),
    };
    match args.output {
        TextFormat::Json => ui.json(&me),
        TextFormat::Text => ui.result(&format!(
            "address             {}{}\nnetwork             {}\ndevice              {} ({})\nrelay               {}\n\
             identity            {}\ndevice key          {}\nnetwork policy key  {}\n\
             directory           signed {}, holds until {}",
            me.address,
            me.name.map(|name| format!(" ({name})")).unwrap_or_default(),
            me.network,
            me.device,
            me.label,
            me.relay,
            me.fingerprint,
            me.device_fingerprint,
            me.policy_key,
            me.directory_signed_at.as_deref().unwrap_or("never"),
            me.directory_expires_at.as_deref().unwrap_or("now")
        )),
    }
}
