//! What the commands about conversations have in common: finding what is meant, and printing it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use sotto_client::{
    Client, ConversationView, DeliveryState, Error, MessageView, Missing, Refusal, Target, TrustError, TrustState,
    ViewBody,
};
use sotto_crypto::Address;
use sotto_wire::content::{FileKind, MessageRef};

use super::profile::address;
use super::send::{LeftOutLine, remarks};
use crate::args::{TextFormat, WhereArgs};
use crate::commands::time;
use crate::error::{CliError, Kind, hint};
use crate::ui::Ui;

/// A command that changes something waits this long for the relay to have it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The one message whose id begins like this.
pub(crate) async fn message(client: &Client, id: &str) -> Result<MessageView, CliError> {
    let mut found = client.conversations().find(id).await?;
    match (found.pop(), found.len()) {
        (Some(view), 0) => Ok(view),
        (None, _) => Err(CliError::failed(format!("there is no message `{id}` in the local history"))
            .hint("`sotto history show` prints the ids")),
        (Some(_), more) => Err(CliError::usage(format!("`{id}` could be {} messages; give more of the id", more + 1))),
    }
}

/// The one conversation whose id begins like this.
pub(crate) async fn conversation(client: &Client, id: &str) -> Result<ConversationView, CliError> {
    let mut found = client.conversations().list().await?;
    let wanted = id.to_lowercase();
    found.retain(|c| !wanted.is_empty() && c.id.to_lowercase().starts_with(&wanted));
    match (found.pop(), found.len()) {
        (Some(view), 0) => Ok(view),
        (None, _) => Err(CliError::failed(format!("there is no conversation `{id}` here"))
            .hint("`sotto conversations` lists those that there are")),
        (Some(_), more) => {
            Err(CliError::usage(format!("`{id}` could be {} conversations; give more of the id", more + 1)))
        }
    }
}

/// Where something goes. `None` when neither addresses nor a conversation were given.
pub(crate) async fn target(client: &Client, place: &WhereArgs) -> Result<Option<Target>, CliError> {
    if let Some(id) = &place.conversation {
        return Ok(Some(Target::Conversation(conversation(client, id).await?.id)));
    }
    if place.people.is_empty() {
        return Ok(None);
    }
    let people = place.people.iter().map(|a| address(a)).collect::<Result<_, _>>()?;
    Ok(Some(Target::People(people)))
}

/// The id of the conversation that is meant, where one is.
pub(crate) async fn id_of(client: &Client, place: &WhereArgs) -> Result<Option<String>, CliError> {
    match target(client, place).await? {
        None => Ok(None),
        Some(Target::Conversation(id)) => Ok(Some(id)),
        Some(Target::People(people)) => {
            let me = client.address().clone();
            let conversation = sotto_wire::content::Conversation::of(people.into_iter().chain([me]));
            Ok(conversation.map(|c| c.id()))
        }
    }
}

/// Sends what a command has put into the outbox, and says what became of it.
pub(crate) async fn settle(
    client: &Client,
    key: &MessageRef,
    queue: bool,
    format: TextFormat,
    ui: Ui,
) -> Result<(), CliError> {
    let mut state = "queued";
    if !queue {
        client.outbox().flush(PATIENCE).await?;
        if client.outbox().list().await?.iter().any(|e| &e.key == key) {
            return Err(CliError::new(
                Kind::Unreachable,
                format!("{} waits in the outbox: the relay cannot be reached", key.message),
            )
            .hint("`sotto outbox --flush`, `sotto receive --follow` and `sotto chat` send it later"));
        }
        if let Some(view) = client.conversations().message(key).await? {
            if let Some(error) = not_sent(key, view.state, view.reason) {
                let hint = remedy(client, &view.conversation).await?;
                return Err(CliError { hint: hint.or(error.hint), ..error });
            }
            remarks(&view.retained_by, &view.left_out, ui);
        }
        state = "accepted";
    }
    match format {
        TextFormat::Text => ui.result(&key.message.to_string()),
        TextFormat::Json => ui.json(&serde_json::json!({ "messageId": key.message.to_string(), "state": state })),
    }
}

/// What is said of a message that was refused.
fn not_sent(key: &MessageRef, state: DeliveryState, reason: Option<String>) -> Option<CliError> {
    let reason = Error::from(Refusal::Elsewhere(reason.unwrap_or_else(|| "refused".to_owned())));
    match state {
        DeliveryState::Refused => Some(reason.into()),
        DeliveryState::Uncertain => Some(Error::Uncertain { message: key.message, source: Box::new(reason) }.into()),
        _ => None,
    }
}

/// What to do where nothing is sent because somebody's identity has changed. Why a message was refused is in the history in words
/// only, so this is looked up.
async fn remedy(client: &Client, conversation: &str) -> Result<Option<String>, CliError> {
    let mut conversations = client.conversations().list().await?.into_iter();
    let Some(conversation) = conversations.find(|c| c.id == conversation) else { return Ok(None) };
    let mut contacts = client.contacts().list().await?.into_iter();
    let changed = contacts.find(|c| c.state == TrustState::Changed && conversation.members.contains(&c.address));
    Ok(changed.and_then(|contact| hint(&TrustError::IdentityChanged(contact.address).into())))
}

/// How far a message has got, in a word.
pub(crate) fn state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Received => "received",
        DeliveryState::Queued => "queued",
        DeliveryState::Sending => "sending",
        DeliveryState::Accepted => "accepted",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Read => "read",
        DeliveryState::Refused => "refused",
        DeliveryState::Uncertain => "uncertain",
    }
}

/// The word for a kind of file.
pub(crate) fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Voice => "voice",
        FileKind::Video => "video",
    }
}

/// What a message says, on one line for people.
pub(crate) fn said(body: &ViewBody) -> String {
    match body {
        ViewBody::Text(text) | ViewBody::Event(text) => text.clone(),
        ViewBody::File(file) => {
            let what = file.kind.map_or("file", kind);
            let caption = file.caption.as_deref().map(|c| format!(" {c}")).unwrap_or_default();
            format!("[{what} {}, {} bytes]{caption}", file.name, file.size)
        }
        ViewBody::Deleted => "[deleted]".to_owned(),
        ViewBody::Missing(missing) => format!("[{}]", self::missing(*missing)),
        ViewBody::Unknown => "[needs a newer version of this program]".to_owned(),
    }
}

/// That messages have not come, without whose they are.
pub(crate) fn missing(missing: Missing) -> String {
    let what = match missing.count {
        1 if missing.unopened && missing.gone == 0 => {
            return "a message COULD NOT BE OPENED: its key is gone; its sender's device is asked for it again"
                .to_owned();
        }
        1 if missing.unopened => "a message COULD NOT BE OPENED: its key is gone".to_owned(),
        1 => "a message is MISSING".to_owned(),
        count => format!("{count} messages are MISSING"),
    };
    match (missing.gone, missing.count) {
        (0, _) => what,
        (1, 1) if missing.unopened => format!("{what}, and its sender does not have it any more"),
        (1, 1) => format!("{what}: its sender does not have it any more"),
        (gone, count) if gone == count => format!("{what}: their sender does not have them any more"),
        (gone, _) => format!("{what}: {gone} of them their sender does not have any more"),
    }
}

/// A message for people.
pub(crate) fn line(view: &MessageView) -> String {
    let mut marks = if view.own { format!(" ({})", state(view.state)) } else { String::new() };
    for (on, mark) in [
        (view.edited, "edited"),
        (view.pinned, "pinned"),
        (view.forwarded.is_some(), "forwarded"),
        (view.retained, "retained"),
        (view.verified && !view.own, "verified"),
        (view.identity_changed, "IDENTITY CHANGED"),
        (view.late, "came late"),
        (view.sent_in_future, "sent in the FUTURE, as it says"),
        (view.removed.from, "FROM A REMOVED DEVICE"),
        (view.removed.to, "ALSO TO A DEVICE YOU REMOVED"),
        (view.conflict, "DOES NOT FOLLOW what its sender's device said before"),
    ] {
        if on {
            marks.extend([" [", mark, "]"]);
        }
    }
    let answer = view.reply_to.as_ref().map(|r| format!(" ↳{}", short(&r.message.to_string()))).unwrap_or_default();
    let reactions: Vec<String> =
        view.reactions.iter().map(|(emoji, people)| format!("  {emoji} {}", people.len())).collect();
    let reactions = reactions.concat();
    let mut reason = view.reason.as_deref().map(|r| format!("  ({r})")).unwrap_or_default();
    for member in &view.left_out {
        reason.extend(["  (not to ", member.address.as_str(), ": ", &member.reason, ")"]);
    }
    let id = view.key.message.to_string();
    let (sender, said) = (called(&view.key.sender, view.sender_name.as_deref()), said(&view.body));
    format!("{} {} {sender}{marks}{answer}: {said}{reactions}{reason}", short(&id), time(view.sent_at_ms))
}

/// As much of an id as tells it from others.
pub(crate) fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}

/// A message for programs.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageLine {
    message_id: String,
    from: String,
    /// How the sender is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    device: String,
    conversation: String,
    position: u64,
    own: bool,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    sent_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// `text`, `file`, `event`, `deleted`, `missing` or `unknown`.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileLine>,
    /// Messages that have not come, of the kind `missing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<MissingLine>,
    edited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    mentions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_from: Option<String>,
    reactions: Vec<ReactionLine>,
    pinned: bool,
    delivered_to: Vec<String>,
    read_by: Vec<String>,
    retained: bool,
    retained_by: Vec<String>,
    left_out: Vec<LeftOutLine>,
    retention_missing: bool,
    /// Whether it was missing before it came.
    late: bool,
    /// Whether it says that it was sent later than it came: a clock is wrong.
    sent_in_future: bool,
    /// Whether it came sealed to a one-time prekey, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_secret: Option<bool>,
    /// Whether it does not follow what the same device has said before.
    conflict: bool,
    /// The device that it is from is none of its sender's any more.
    from_removed_device: bool,
    /// It was sealed to a device that its recipient had removed before, too.
    to_removed_device: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflicts_with: Option<String>,
    verified: bool,
    identity_changed: bool,
}

/// What is missing, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MissingLine {
    count: u64,
    /// Those of them that their sender's device does not have any more.
    gone: u64,
    /// Whether it has come, and could not be opened.
    unopened: bool,
}

/// A file for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileLine {
    name: String,
    size: u64,
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
}

#[derive(Serialize)]
struct ReactionLine {
    emoji: String,
    by: Vec<String>,
}

/// Somebody for people: the address first, whatever they are called.
pub(crate) fn called(who: &Address, name: Option<&str>) -> String {
    name.map_or_else(|| who.to_string(), |name| format!("{who} ({name})"))
}

/// How people are called, by address, for programs.
pub(crate) fn called_all(names: &BTreeMap<Address, String>) -> BTreeMap<String, String> {
    names.iter().map(|(who, name)| (who.to_string(), name.clone())).collect()
}

/// Addresses for programs.
pub(crate) fn names(people: &[Address]) -> Vec<String> {
    people.iter().map(ToString::to_string).collect()
}

impl From<&MessageView> for MessageLine {
    fn from(view: &MessageView) -> Self {
        let (what, text, file) = match &view.body {
            ViewBody::Text(text) => ("text", Some(text.clone()), None),
            ViewBody::Event(text) => ("event", Some(text.clone()), None),
            ViewBody::File(file) => {
                let line = FileLine {
                    name: file.name.clone(),
                    size: file.size,
                    media_type: file.media_type.clone(),
                    kind: file.kind.map(kind),
                    duration_ms: file.duration_ms,
                };
                ("file", file.caption.clone(), Some(line))
            }
            ViewBody::Deleted => ("deleted", None, None),
            ViewBody::Missing(_) => ("missing", None, None),
            ViewBody::Unknown => ("unknown", None, None),
        };
        let missing = match view.body {
            ViewBody::Missing(Missing { count, gone, unopened }) => Some(MissingLine { count, gone, unopened }),
            _ => None,
        };
        Self {
            message_id: view.key.message.to_string(),
            from: view.key.sender.to_string(),
            name: view.sender_name.clone(),
            device: view.key.device.to_string(),
            conversation: view.conversation.clone(),
            position: view.position,
            own: view.own,
            state: state(view.state),
            reason: view.reason.clone(),
            sent_at: time(view.sent_at_ms),
            expires_at: view.expires_at_ms.map(time),
            kind: what,
            text,
            file,
            missing,
            edited: view.edited,
            reply_to: view.reply_to.as_ref().map(|r| r.message.to_string()),
            mentions: names(&view.mentions),
            forwarded_from: view.forwarded.as_ref().map(|f| f.from.to_string()),
            reactions: view
                .reactions
                .iter()
                .map(|(emoji, people)| ReactionLine { emoji: emoji.clone(), by: names(people) })
                .collect(),
            pinned: view.pinned,
            delivered_to: names(&view.delivered_to),
            read_by: names(&view.read_by),
            retained: view.retained,
            retained_by: names(&view.retained_by),
            left_out: view.left_out.iter().map(LeftOutLine::from).collect(),
            retention_missing: view.retention_missing,
            late: view.late,
            sent_in_future: view.sent_in_future,
            forward_secret: view.forward_secret,
            conflict: view.conflict,
            from_removed_device: view.removed.from,
            to_removed_device: view.removed.to,
            conflicts_with: view.conflicts_with.map(|id| id.to_string()),
            verified: view.verified,
            identity_changed: view.identity_changed,
        }
    }
}

/// Prints messages.
pub(crate) fn print(views: &[MessageView], format: TextFormat, ui: Ui) -> Result<(), CliError> {
    views.iter().try_for_each(|view| match format {
        TextFormat::Text => ui.result(&line(view)),
        TextFormat::Json => ui.json(&MessageLine::from(view)),
    })
}
