//! `sotto recovery-key`.

use serde::Serialize;

use super::profile::open;
use crate::args::{RecoveryArgs, TextFormat};
use crate::error::CliError;
use crate::ui::Ui;

/// What `-o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_key: Option<&'a str>,
    removed: bool,
}

/// Runs the command.
pub(crate) async fn run(args: &RecoveryArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    if args.remove {
        client.devices().remove_recovery_key().await?;
        return match args.output {
            TextFormat::Json => ui.json(&Line { recovery_key: None, removed: true }),
            TextFormat::Text => ui.result("the recovery key opens nothing any more"),
        };
    }
    let key = client.devices().new_recovery_key().await?.to_text();
    match args.output {
        TextFormat::Json => ui.json(&Line { recovery_key: Some(&key), removed: false })?,
        TextFormat::Text => ui.result(&key)?,
    }
    ui.note(
        "Write it down and keep it where no device is. With it and the password a new device becomes yours; one that was \
         made before opens nothing any more.",
    );
    Ok(())
}
