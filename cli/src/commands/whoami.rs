//! `sotto whoami`.

use serde::Serialize;

use super::profile::open;
use crate::args::{TextFormat, WhoamiArgs};
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
}

/// Runs the command. Does not talk to the relay.
pub(crate) async fn run(args: &WhoamiArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let me = client.whoami();
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
    };
    match args.output {
        TextFormat::Json => ui.json(&me),
        TextFormat::Text => ui.result(&format!(
            "address             {}{}\nnetwork             {}\ndevice              {} ({})\nrelay               {}\n\
             identity            {}\ndevice key          {}\nnetwork policy key  {}",
            me.address,
            me.name.map(|name| format!(" ({name})")).unwrap_or_default(),
            me.network,
            me.device,
            me.label,
            me.relay,
            me.fingerprint,
            me.device_fingerprint,
            me.policy_key
        )),
    }
}
