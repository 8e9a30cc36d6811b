//! `sotto devices`.

use serde::Serialize;

use sotto_client::{DeviceChange, DeviceEvent};
use sotto_crypto::DeviceId;

use super::profile::{code, open};
use crate::args::{ApproveArgs, ConfirmArgs, DevicesAction, DevicesArgs, RemoveArgs, ShowArgs, TextFormat};
use crate::commands::time;
use crate::error::{CliError, Kind};
use crate::qr;
use crate::ui::Ui;

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
}

/// Runs the command.
pub(crate) async fn run(args: &DevicesArgs, ui: Ui) -> Result<(), CliError> {
    match &args.action {
        None => list(args, ui).await,
        Some(DevicesAction::Link(args)) => link(args, ui).await,
        Some(DevicesAction::Approve(args)) => approve(args, ui).await,
        Some(DevicesAction::Remove(args)) => remove(args, ui).await,
        Some(DevicesAction::Reset(args)) => reset(args, ui).await,
    }
}

/// What has become of one of the own devices, for people.
pub(crate) fn own_device(event: &DeviceEvent) -> String {
    let device = event.device;
    match event.change {
        DeviceChange::Added => format!(
            "another device can read what you are sent: {device}; where that was not you, run `sotto devices remove {device}` and change your password"
        ),
        DeviceChange::Removed => {
            format!("the device {device} is none of yours any more; another device has removed it")
        }
        DeviceChange::PutRight => format!(
            "WARNING: the relay shows an old list of your devices, with another word on {device}: it was set back, or is not honest. This device signs the right list again; tell the administrator"
        ),
    }
}

/// What `link -o json` prints.
#[derive(Serialize)]
struct LinkLine {
    link: String,
}

async fn link(args: &ShowArgs, ui: Ui) -> Result<(), CliError> {
    let link = open(&args.profile, ui).await?.devices().link_url()?.to_url();
    if ui.shows()
        && let Some(picture) = qr::picture(&link)
    {
        ui.note(&picture);
    }
    match args.output {
        TextFormat::Json => ui.json(&LinkLine { link })?,
        TextFormat::Text => ui.result(&link)?,
    }
    ui.note("on the new device: sotto join 'LINK' --profile NAME, with your password");
    Ok(())
}

/// What `approve -o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Approved {
    device: String,
    label: String,
    fingerprint: String,
}

async fn approve(args: &ApproveArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let code = code(args.code.as_deref(), ui)?;
    let request = client.devices().request(&code).await?;
    let label = request.label.clone();
    let what = format!("Make {label} ({}, key {}) one of your devices?", request.device, request.fingerprint);
    if !args.yes && !ui.confirm(&what)? {
        return Err(CliError::new(Kind::Refused, "the device was not approved"));
    }
    client.devices().approve(&request).await?;
    match args.output {
        TextFormat::Json => ui.json(&Approved {
            device: request.device.to_string(),
            label,
            fingerprint: request.fingerprint.to_string(),
        }),
        TextFormat::Text => ui.result(&format!("approved {label} ({})", request.device)),
    }
}

async fn remove(args: &RemoveArgs, ui: Ui) -> Result<(), CliError> {
    let device: DeviceId = args
        .device
        .parse()
        .map_err(|e| CliError::usage(format!("`{}`: {e}", args.device)).hint("`sotto devices` prints the ids"))?;
    let client = open(&args.profile, ui).await?;
    if !args.yes && !ui.confirm(&format!("Remove the device {device}? It gets nothing from now on."))? {
        return Err(CliError::new(Kind::Refused, "nothing was removed"));
    }
    client.devices().remove(device).await?;
    ui.result(&format!("removed {device}"))
}

async fn reset(args: &ConfirmArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    if !args.yes && !ui.confirm("Remove all your devices but this one?")? {
        return Err(CliError::new(Kind::Refused, "nothing was removed"));
    }
    client.devices().reset().await?;
    ui.result("this is your only device now")
}

async fn list(args: &DevicesArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    for device in client.devices().list().await? {
        let line = Line {
            device: device.device.to_string(),
            label: device.label,
            fingerprint: device.fingerprint.to_string(),
            created_at: time(device.created_at_ms),
            last_seen_at: device.last_seen_ms.map(time),
            this: device.this,
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
