//! `sotto outbox`.

use serde::Serialize;
use sotto_client::OutboxEntry;

use super::profile::open;
use super::talk::short;
use crate::args::{OutboxArgs, TextFormat};
use crate::commands::time;
use crate::error::{CliError, Kind};
use crate::ui::Ui;

/// An entry for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    message_id: String,
    conversation: String,
    what: &'static str,
    queued_at: String,
    attempts: u32,
    uncertain: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(args: &OutboxArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    if let Some(id) = &args.cancel {
        let mut found = client.outbox().list().await?;
        found.retain(|e| e.key.message.to_string().starts_with(&id.to_lowercase()));
        let entry = match (found.pop(), found.len()) {
            (Some(entry), 0) => entry,
            (None, _) => return Err(CliError::failed(format!("there is no `{id}` in the outbox"))),
            (Some(_), _) => return Err(CliError::usage(format!("`{id}` is ambiguous; give more of the id"))),
        };
        if !client.outbox().cancel(&entry.key).await? {
            return Err(CliError::new(Kind::Refused, "it is too late: the relay has it, or may have it")
                .hint("take it back with `sotto delete`"));
        }
        return match args.output {
            TextFormat::Text => ui.result(&entry.key.message.to_string()),
            TextFormat::Json => ui.json(&serde_json::json!({ "cancelled": entry.key.message.to_string() })),
        };
    }
    if args.flush {
        let flushed = client.outbox().flush(args.timeout).await?;
        match args.output {
            TextFormat::Text => {
                ui.result(&format!("{} sent, {} refused, {} waiting", flushed.sent, flushed.refused, flushed.left))?;
            }
            TextFormat::Json => {
                ui.json(
                    &serde_json::json!({ "sent": flushed.sent, "refused": flushed.refused, "left": flushed.left }),
                )?;
            }
        }
        return match flushed {
            f if f.left > 0 => Err(CliError::new(Kind::Unreachable, "not everything could be sent in time")),
            f if f.refused > 0 => {
                Err(CliError::new(Kind::Refused, "some messages were refused").hint("`sotto history show` says why"))
            }
            _ => Ok(()),
        };
    }
    client.outbox().list().await?.iter().try_for_each(|entry| print(entry, args.output, ui))
}

fn print(entry: &OutboxEntry, format: TextFormat, ui: Ui) -> Result<(), CliError> {
    let id = entry.key.message.to_string();
    match format {
        TextFormat::Json => ui.json(&Line {
            message_id: id,
            conversation: entry.conversation.clone(),
            what: entry.what,
            queued_at: time(entry.queued_at_ms),
            attempts: entry.attempts,
            uncertain: entry.uncertain,
            reason: entry.reason.clone(),
        }),
        TextFormat::Text => {
            let reason = entry.reason.as_deref().map(|r| format!("  ({r})")).unwrap_or_default();
            let uncertain = if entry.uncertain { ", the relay may have it" } else { "" };
            ui.result(&format!(
                "{} {} {:8} to {}  {} attempts{uncertain}{reason}",
                short(&id),
                time(entry.queued_at_ms),
                entry.what,
                short(&entry.conversation),
                entry.attempts
            ))
        }
    }
}
