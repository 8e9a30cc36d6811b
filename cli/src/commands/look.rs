//! `sotto history show`, `search` and `save`: what is in the local store.

use sotto_client::{Client, MessageView, ViewBody};

use super::profile::open;
use super::talk;
use super::trust;
use crate::args::{HistorySaveArgs, HistorySearchArgs, HistoryShowArgs, TextFormat};
use crate::error::CliError;
use crate::ui::Ui;

/// Runs `sotto history show`.
pub(crate) async fn show(args: &HistoryShowArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let views = if let Some(id) = talk::id_of(&client, &args.place).await? {
        trust::warn_in(&client, &id, ui).await?;
        client.conversations().messages(&id, args.before, args.limit).await?
    } else {
        let views = client.conversations().all_messages(args.before, args.limit).await?;
        warn(&client, &views, ui).await?;
        views
    };
    talk::print(&views, args.output, ui)
}

/// Runs `sotto history search`.
pub(crate) async fn search(args: &HistorySearchArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let views = client.conversations().search(&args.words.join(" "), args.limit).await?;
    warn(&client, &views, ui).await?;
    talk::print(&views, args.output, ui)
}

/// Tells whose identity has changed, of those who sent these.
async fn warn(client: &Client, views: &[MessageView], ui: Ui) -> Result<(), CliError> {
    let changed: Vec<_> =
        views.iter().filter(|view| view.identity_changed).map(|view| view.key.sender.clone()).collect();
    trust::warn(client, &changed, ui).await
}

/// Runs `sotto history save`.
pub(crate) async fn save(args: &HistorySaveArgs, ui: Ui) -> Result<(), CliError> {
    std::fs::create_dir_all(&args.dir).map_err(|e| CliError::usage(format!("{}: {e}", args.dir.display())))?;
    let client = open(&args.profile, ui).await?;
    let ViewBody::File(file) = talk::message(&client, &args.message).await?.body else {
        return Err(CliError::usage(format!("`{}` is no file", args.message)));
    };
    let path = super::receive::save(&client, &file, &args.dir, ui).await?;
    let path = path.ok_or_else(|| CliError::new(crate::error::Kind::Refused, "the file was not saved"))?;
    match args.output {
        TextFormat::Text => ui.result(&path.display().to_string()),
        TextFormat::Json => ui.json(&serde_json::json!({ "path": path.display().to_string(), "size": file.size })),
    }
}
