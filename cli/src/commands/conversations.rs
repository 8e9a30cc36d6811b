//! `sotto conversations`, `sotto read`, `sotto settings`.

use std::collections::BTreeMap;

use serde::Serialize;
use sotto_client::{ConversationKind, ConversationView};

use super::profile::open;
use super::talk::{self, MessageLine, called, called_all, names, short};
use super::trust;
use crate::args::{ConversationsArgs, ReadArgs, SettingsArgs, TextFormat};
use crate::commands::time;
use crate::error::CliError;
use crate::ui::Ui;

/// A conversation for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    members: Vec<String>,
    moderators: Vec<String>,
    /// How members are called, by address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    names: BTreeMap<String, String>,
    unread: u32,
    mentioned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<MessageLine>,
    retained: bool,
    /// Retention processes that get what is said in it, as far as they are known.
    retained_by: Vec<String>,
    /// Networks of members of which it is not known.
    retention_unknown: Vec<String>,
    /// Members whose identity has changed, which the user has not acknowledged.
    changed: Vec<String>,
    left: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burn_after_read_seconds: Option<u64>,
}

fn kind(kind: ConversationKind) -> &'static str {
    match kind {
        ConversationKind::Direct => "direct",
        ConversationKind::Group => "group",
        ConversationKind::Room => "room",
    }
}

/// Runs `sotto conversations`. Does not talk to the relay.
pub(crate) async fn run(args: &ConversationsArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let me = client.address().clone();
    let mut views = client.conversations().list().await?;
    views.retain(|view| !args.unread || view.unread > 0);
    let changed: Vec<_> = views.iter().flat_map(|view| view.changed.clone()).collect();
    trust::warn(&client, &changed, ui).await?;
    for view in &views {
        match args.output {
            TextFormat::Json => ui.json(&json(view))?,
            TextFormat::Text => ui.result(&text(view, me.as_str()))?,
        }
    }
    Ok(())
}

fn json(view: &ConversationView) -> Line {
    Line {
        id: view.id.clone(),
        kind: kind(view.kind),
        title: view.title.clone(),
        members: names(&view.members),
        moderators: names(&view.moderators),
        names: called_all(&view.names),
        unread: view.unread,
        mentioned: view.mentioned,
        last: view.last.as_ref().map(MessageLine::from),
        retained: view.retained,
        retained_by: names(&view.retained_by),
        retention_unknown: view.retention_unknown.iter().map(ToString::to_string).collect(),
        changed: names(&view.changed),
        left: view.left,
        expires_in_seconds: view.expires_in_s,
        burn_after_read_seconds: view.burn_after_read_s,
    }
}

fn text(view: &ConversationView, me: &str) -> String {
    let others = view.members.iter().filter(|who| who.as_str() != me);
    let others: Vec<String> = others.map(|who| called(who, view.names.get(who).map(String::as_str))).collect();
    let name = match &view.title {
        Some(title) => title.clone(),
        None if others.is_empty() => "notes to yourself".to_owned(),
        None => others.join(", "),
    };
    let mut marks = String::new();
    if view.unread > 0 {
        let named = if view.mentioned { ", you are named" } else { "" };
        marks = format!(" {} unread{named}", view.unread);
    }
    if view.retained {
        marks.push_str(" [retained]");
    }
    if !view.retained_by.is_empty() {
        marks.extend([" by ", &names(&view.retained_by).join(", ")]);
    }
    for (on, mark) in [(!view.changed.is_empty(), " [IDENTITY CHANGED]"), (view.left, " [left]")] {
        marks.push_str(if on { mark } else { "" });
    }
    let last = view.last.as_ref().map_or_else(String::new, |last| {
        format!("  {} {}: {}", time(last.sent_at_ms), last.key.sender, talk::said(&last.body).replace('\n', " "))
    });
    format!("{} {:6} {name}{marks}{last}", short(&view.id), kind(view.kind))
}

/// Runs `sotto read`.
pub(crate) async fn read(args: &ReadArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let id = talk::id_of(&client, &args.place).await?;
    let id = id.ok_or_else(|| CliError::usage("which conversation?").hint("give addresses, or --conversation ID"))?;
    trust::warn_in(&client, &id, ui).await?;
    client.conversations().mark_read(&id, u64::MAX).await?;
    // Best effort: word of it waits in the outbox otherwise.
    client.outbox().flush(std::time::Duration::from_secs(5)).await?;
    Ok(())
}

/// What `sotto settings` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    read_receipts: bool,
    quick_responses: Vec<String>,
}

/// Runs `sotto settings`.
pub(crate) async fn settings(args: &SettingsArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    if let Some(on) = args.read_receipts {
        client.conversations().set_read_receipts(on).await?;
        if client.conversations().read_receipts().await? != on {
            ui.note("the network decides about read receipts for now; your choice counts when it leaves it to you");
        }
    }
    let settings = Settings {
        read_receipts: client.conversations().read_receipts().await?,
        quick_responses: client.conversations().quick_responses().await?,
    };
    match args.output {
        TextFormat::Json => ui.json(&settings),
        TextFormat::Text => {
            ui.result(&format!("read receipts  {}", if settings.read_receipts { "on" } else { "off" }))?;
            let mut numbered = (1..).zip(&settings.quick_responses);
            numbered.try_for_each(|(n, text)| ui.result(&format!("quick {n:<8} {text}")))
        }
    }
}
