//! `sotto devices`.

use serde::Serialize;

use super::profile::open;
use crate::args::{DevicesArgs, TextFormat};
use crate::commands::time;
use crate::error::CliError;
use crate::ui::{Ui, printable};

/// What `-o json` prints, one a line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    device: String,
    label: String,
    fingerprint: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_at: Option<String>,
    this: bool,
    genuine: bool,
}

/// Runs the command.
pub(crate) async fn run(args: &DevicesArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    for device in client.devices().await? {
        if !device.genuine {
            ui.note(&format!(
                "WARNING: device {} does not stand under your identity: it is not yours; tell the administrator",
                device.device
            ));
        }
        let line = Line {
            device: device.device.to_string(),
            label: printable(&device.label),
            fingerprint: device.fingerprint.to_string(),
            created_at: time(device.created_at_ms),
            last_seen_at: device.last_seen_ms.map(time),
            this: device.this,
            genuine: device.genuine,
        };
        match args.output {
            TextFormat::Json => ui.json(&line)?,
            TextFormat::Text => ui.result(&format!(
                "{}  {}  {}{}{}",
                line.device,
                line.fingerprint,
                line.label,
                line.last_seen_at.map(|t| format!("  last seen {t}")).unwrap_or_default(),
                if line.this { "  (this device)" } else { "" }
            ))?,
        }
    }
    Ok(())
}
