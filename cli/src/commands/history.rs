//! `sotto history send` and `sotto history receive`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;
use sotto_client::{Client, OtherDevice, Transferred};
use sotto_crypto::LinkCode;

use super::look;
use super::profile::{code, open};
use crate::args::{HistoryAction, HistoryArgs, TextFormat, TransferArgs};
use crate::error::{CliError, Kind};
use crate::qr;
use crate::ui::Ui;

/// What `-o json` prints: the code where this side shows it, and the end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
enum Line<'a> {
    #[serde(rename_all = "camelCase")]
    Waiting { code: &'a str },
    #[serde(rename_all = "camelCase")]
    Done { records: u64, new: u64, bytes: u64 },
}

/// Runs the command.
pub(crate) async fn run(args: &HistoryArgs, ui: Ui) -> Result<(), CliError> {
    let (args, sends) = match &args.action {
        HistoryAction::Send(args) => (args, true),
        HistoryAction::Receive(args) => (args, false),
        HistoryAction::Show(args) => return look::show(args, ui).await,
        HistoryAction::Search(args) => return look::search(args, ui).await,
        HistoryAction::Save(args) => return look::save(args, ui).await,
    };
    let client = open(&args.profile, ui).await?;
    if args.cancel {
        let begun = client.history().cancel().await?;
        return ui.result(if begun { "the transfer is left" } else { "no transfer was begun" });
    }
    let given = args.code.as_deref().map(|typed| code(Some(typed), ui)).transpose()?;
    let shows = given.is_none();
    let transfer = async {
        if sends { send(&client, given, args, shows, ui).await } else { receive(&client, given, args, shows, ui).await }
    };
    let done = match args.timeout {
        Some(time) => tokio::time::timeout(time, transfer).await.map_err(|_| not_in_time())?,
        None => transfer.await,
    }?;
    let (verb, new) = if sends { ("sent", String::new()) } else { ("received", format!(", {} of them new", done.new)) };
    match args.output {
        TextFormat::Json => ui.json(&Line::Done { records: done.records, new: done.new, bytes: done.bytes }),
        TextFormat::Text => ui.result(&format!("{verb} {} records{new} ({} bytes)", done.records, done.bytes)),
    }
}

async fn send(
    client: &Client,
    code: Option<LinkCode>,
    args: &TransferArgs,
    shows: bool,
    ui: Ui,
) -> Result<Transferred, CliError> {
    ui.note("sealing the history …");
    let mut sender = client.history().send(code).await?;
    if sender.resumed() {
        ui.note("going on with the transfer that was begun");
    }
    if !sender.confirmed() {
        if shows {
            show(&sender.code(), "sotto history receive", args, ui)?;
        }
        ui.note("waiting for the other device …");
        let other = sender.other_device().await?;
        let question = format!("Send {} records to {}?", sender.records(), described(&other));
        if !agreed(&question, args, ui).await? {
            client_cancel(client, sender).await?;
            return Err(CliError::new(Kind::Refused, "nothing was sent"));
        }
    }
    let progress = Progress::new(ui, "sent");
    Ok(sender.run(move |done, all| progress.show(done, all)).await?)
}

async fn client_cancel(client: &Client, sender: sotto_client::HistorySender) -> Result<(), CliError> {
    // It holds the profile's lock.
    drop(sender);
    client.history().cancel().await?;
    Ok(())
}

async fn receive(
    client: &Client,
    code: Option<LinkCode>,
    args: &TransferArgs,
    shows: bool,
    ui: Ui,
) -> Result<Transferred, CliError> {
    let mut receiver = client.history().receive(code).await?;
    if receiver.resumed() {
        ui.note("going on with the transfer that was begun");
    }
    if !receiver.confirmed() {
        if shows {
            show(&receiver.code(), "sotto history send", args, ui)?;
        }
        ui.note("waiting for the other device …");
    }
    let (other, records) = receiver.other_device().await?;
    if !receiver.confirmed() {
        let question = format!("Receive {records} records from {}?", described(&other));
        if !agreed(&question, args, ui).await? {
            receiver.decline().await?;
            return Err(CliError::new(Kind::Refused, "nothing was received; the other device is told"));
        }
    }
    let progress = Progress::new(ui, "received and imported");
    Ok(receiver.run(move |done, all| progress.show(done, all)).await?)
}

fn described(other: &OtherDevice) -> String {
    format!("your device {} ({}, key {})", other.label, other.device, other.fingerprint)
}

/// Asks, unless the answer was given.
async fn agreed(question: &str, args: &TransferArgs, ui: Ui) -> Result<bool, CliError> {
    if args.yes {
        ui.note(question);
        return Ok(true);
    }
    let question = question.to_owned();
    let asked = tokio::task::spawn_blocking(move || ui.confirm(&question)).await;
    asked.map_err(|e| CliError::failed(e.to_string()))?
}

/// Shows a code that is to be typed or scanned on the other device.
fn show(code: &str, command: &str, args: &TransferArgs, ui: Ui) -> Result<(), CliError> {
    if args.output == TextFormat::Json {
        ui.json(&Line::Waiting { code })?;
    }
    show_code(code, &format!("{command} {code}"), ui);
    Ok(())
}

/// A code with the command that takes it; as a picture too where there is a terminal.
pub(crate) fn show_code(code: &str, command: &str, ui: Ui) {
    if ui.shows()
        && let Some(picture) = qr::picture(code)
    {
        ui.note(&picture);
    }
    ui.note(&format!("code: {code}\nOn your other device: {command}"));
}

fn not_in_time() -> CliError {
    CliError::new(Kind::Unreachable, "the transfer did not end in time")
        .hint("run the same again without a code: it goes on")
}

/// Says how far it is, not too often.
struct Progress {
    ui: Ui,
    verb: &'static str,
    last: Mutex<Instant>,
}

impl Progress {
    fn new(ui: Ui, verb: &'static str) -> Self {
        Self { ui, verb, last: Mutex::new(Instant::now()) }
    }

    fn show(&self, done: u64, all: u64) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= Duration::from_secs(1) {
            *last = Instant::now();
            let percent = done.min(all).saturating_mul(100) / all.max(1);
            self.ui.note(&format!("{} {percent} %", self.verb));
        }
    }
}
