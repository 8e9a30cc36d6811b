//! `sotto edit`, `delete`, `react`, `pin`, `forward`: what is done to messages.

use sotto_client::{Client, MessageView};
use sotto_wire::content::MessageRef;

use super::profile::open;
use super::talk::{message, settle, target};
use super::trust;
use crate::args::{ChangeArgs, EditArgs, ForwardArgs, PinArgs, ReactArgs, TextFormat};
use crate::error::CliError;
use crate::ui::Ui;

/// Runs `sotto edit`.
pub(crate) async fn edit(args: &EditArgs, ui: Ui) -> Result<(), CliError> {
    let (client, view) = begin(&args.change, ui).await?;
    let key = client.outbox().edit(&view.key, args.text.clone()).await?;
    end(&client, &view, &key, &args.change, ui).await
}

/// Runs `sotto delete`.
pub(crate) async fn delete(args: &ChangeArgs, ui: Ui) -> Result<(), CliError> {
    let (client, view) = begin(args, ui).await?;
    match client.outbox().take_back(&view.key).await? {
        Some(key) => end(&client, &view, &key, args, ui).await,
        // It had not left yet.
        None => match args.output {
            TextFormat::Text => ui.result(&view.key.message.to_string()),
            TextFormat::Json => {
                ui.json(&serde_json::json!({ "messageId": view.key.message.to_string(), "state": "cancelled" }))
            }
        },
    }
}

/// Runs `sotto react`.
pub(crate) async fn react(args: &ReactArgs, ui: Ui) -> Result<(), CliError> {
    let (client, view) = begin(&args.change, ui).await?;
    let key = client.outbox().react(&view.key, &args.emoji, !args.remove).await?;
    end(&client, &view, &key, &args.change, ui).await
}

/// Runs `sotto pin`.
pub(crate) async fn pin(args: &PinArgs, ui: Ui) -> Result<(), CliError> {
    let (client, view) = begin(&args.change, ui).await?;
    let key = client.outbox().pin(&view.key, !args.remove).await?;
    end(&client, &view, &key, &args.change, ui).await
}

/// Runs `sotto forward`.
pub(crate) async fn forward(args: &ForwardArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.change.profile, ui).await?;
    let to = target(&client, &args.to).await?;
    let to = to.ok_or_else(|| CliError::usage("where to?").hint("give addresses, or --conversation ID"))?;
    let view = message(&client, &args.change.message).await?;
    let key = client.outbox().forward(&view.key, to.clone()).await?;
    let settled = settle(&client, &key, args.change.queue, args.change.output, ui).await;
    trust::warn_of(&client, &to, ui).await?;
    settled
}

async fn begin(args: &ChangeArgs, ui: Ui) -> Result<(Client, MessageView), CliError> {
    let client = open(&args.profile, ui).await?;
    let view = message(&client, &args.message).await?;
    Ok((client, view))
}

/// Waits for the relay, and tells whose identity has changed, whether or not the change of the message was sent.
async fn end(client: &Client, view: &MessageView, key: &MessageRef, args: &ChangeArgs, ui: Ui) -> Result<(), CliError> {
    let settled = settle(client, key, args.queue, args.output, ui).await;
    trust::warn_in(client, &view.conversation, ui).await?;
    settled
}
