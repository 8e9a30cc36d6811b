//! `sotto room`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use sotto_client::{Client, ConversationKind, ConversationView, NewRoom, RoomView};
use sotto_crypto::Address;
use sotto_wire::room::RoomChange;

use super::profile::{address, open};
use super::talk::{called, called_all};
use super::trust;
use crate::args::{ProfileArgs, TextFormat, duration};
use crate::error::CliError;
use crate::ui::Ui;

/// How long a change waits for the relay. It is durable before, and sent later where this is too short.
const SENDING: Duration = Duration::from_secs(30);

/// `sotto room`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct RoomArgs {
    #[command(subcommand)]
    verb: Verb,
}

/// Examples of `sotto room`.
pub(crate) const EXAMPLES: &str = "\
Examples:
  sotto room create -p alice Plans bob@chat.acme.example carol@chat.beta.example --expires 30d
  sotto room list -p alice
  sotto room show -p alice Plans -o json | jq -r '.members[]'
  sotto room add -p alice Plans dave@chat.acme.example
  sotto room remove -p alice Plans carol@chat.beta.example
  sotto room moderator -p alice Plans bob@chat.acme.example
  sotto room leave -p bob Plans

A room is named by its title, where only one has it, or by its id or the beginning of it. Moderators change a room; other
members may leave. A moderator can be removed or demoted only by one who became a moderator earlier. What was said
before somebody was added is not shown to them, and nothing after somebody was removed.";

/// What is done.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a room and print its id
    Create(CreateArgs),
    /// List the rooms of this profile
    List(ListArgs),
    /// Show one room
    Show(NamedArgs),
    /// Take people in
    Add(PeopleArgs),
    /// Put people out
    Remove(PeopleArgs),
    /// Go; where the last moderator goes, the longest-standing member follows
    Leave(NamedArgs),
    /// Make a member a moderator, or with --off take that away
    Moderator(ModeratorArgs),
    /// Give the room another title
    Title(TextArgs),
    /// Say what the room is for
    Description(TextArgs),
    /// Delete messages this time after they were sent, such as 7d; `off` keeps them
    Expiry(TimeArgs),
    /// Delete messages this time after they were read, such as 10m; `off` keeps them
    Burn(TimeArgs),
    /// End the room: nobody may write any more
    Close(NamedArgs),
}

/// What every form of the command has.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    profile: ProfileArgs,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    output: TextFormat,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// 1 to 100 characters
    title: String,
    /// Who is in it, beside you
    #[arg(value_name = "ADDRESS")]
    members: Vec<String>,
    /// Who is a moderator, beside you; once for each
    #[arg(long, value_name = "ADDRESS")]
    moderator: Vec<String>,
    /// Delete messages this time after they were sent, such as 1h or 7d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
    /// Delete a reader's copy this time after it was read
    #[arg(long, value_name = "TIME", value_parser = duration)]
    burn: Option<Duration>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Also rooms that you are not in any more, or that have ended
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct NamedArgs {
    /// Title or id
    room: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct PeopleArgs {
    /// Title or id
    room: String,
    /// Whom
    #[arg(required = true, value_name = "ADDRESS")]
    people: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct ModeratorArgs {
    /// Title or id
    room: String,
    /// Whom
    #[arg(value_name = "ADDRESS")]
    member: String,
    /// A moderator no more
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct TextArgs {
    /// Title or id
    room: String,
    /// The new words
    text: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct TimeArgs {
    /// Title or id
    room: String,
    /// Such as 30s, 10m, 1h or 7d; or `off`
    #[arg(value_parser = time_or_off)]
    time: Time,
    #[command(flatten)]
    common: Common,
}

/// A time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time(Option<Duration>);

fn time_or_off(text: &str) -> Result<Time, String> {
    if text == "off" { Ok(Time(None)) } else { duration(text).map(|time| Time(Some(time))) }
}

/// Runs the command.
pub(crate) async fn run(args: &RoomArgs, ui: Ui) -> Result<(), CliError> {
    match &args.verb {
        Verb::Create(args) => create(args, ui).await,
        Verb::List(args) => list(args, ui).await,
        Verb::Show(args) => {
            let client = open(&args.common.profile, ui).await?;
            let id = find(&client, &args.room).await?.id;
            trust::warn_in(&client, &id, ui).await?;
            show(&client, &id, args.common.output, ui).await
        }
        Verb::Add(args) => change(&args.room, RoomChange::Add(addresses(&args.people)?), &args.common, ui).await,
        Verb::Remove(args) => change(&args.room, RoomChange::Remove(addresses(&args.people)?), &args.common, ui).await,
        Verb::Leave(args) => change(&args.room, RoomChange::Leave, &args.common, ui).await,
        Verb::Moderator(args) => {
            let wanted = RoomChange::Moderator(address(&args.member)?, !args.off);
            change(&args.room, wanted, &args.common, ui).await
        }
        Verb::Title(args) => change(&args.room, RoomChange::Title(args.text.clone()), &args.common, ui).await,
        Verb::Description(args) => {
            change(&args.room, RoomChange::Description(args.text.clone()), &args.common, ui).await
        }
        Verb::Expiry(args) => change(&args.room, RoomChange::Expiry(seconds(args.time)), &args.common, ui).await,
        Verb::Burn(args) => change(&args.room, RoomChange::Burn(seconds(args.time)), &args.common, ui).await,
        Verb::Close(args) => change(&args.room, RoomChange::Close, &args.common, ui).await,
    }
}

fn seconds(time: Time) -> Option<u64> {
    time.0.map(|time| time.as_secs())
}

fn addresses(words: &[String]) -> Result<Vec<Address>, CliError> {
    words.iter().map(|word| address(word)).collect()
}

async fn create(args: &CreateArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.common.profile, ui).await?;
    let new = NewRoom {
        title: args.title.clone(),
        members: addresses(&args.members)?,
        moderators: addresses(&args.moderator)?,
        expires_in: args.expires,
        burn_after_read: args.burn,
    };
    let id = client.rooms().create(new).await?;
    send(&client, ui).await?;
    trust::warn_in(&client, &id, ui).await?;
    match args.common.output {
        TextFormat::Text => ui.result(&id),
        TextFormat::Json => show(&client, &id, TextFormat::Json, ui).await,
    }
}

async fn change(room: &str, change: RoomChange, common: &Common, ui: Ui) -> Result<(), CliError> {
    let client = open(&common.profile, ui).await?;
    let room = find(&client, room).await?;
    let id = room.id;
    client.rooms().change(&id, change).await?;
    send(&client, ui).await?;
    // Of whoever is in it now, and of whoever was.
    trust::warn_all(&client, &id, room.members, ui).await?;
    match common.output {
        TextFormat::Text => Ok(()),
        TextFormat::Json => show(&client, &id, TextFormat::Json, ui).await,
    }
}

/// Tells everybody. What cannot be sent now is in the outbox.
async fn send(client: &Client, ui: Ui) -> Result<(), CliError> {
    let flushed = client.outbox().flush(SENDING).await?;
    if flushed.left > 0 {
        ui.note("done here, and not sent yet: it waits in the outbox, and goes with the next `sotto send` or `sotto receive`");
    }
    Ok(())
}

async fn list(args: &ListArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.common.profile, ui).await?;
    let mut rooms = rooms(&client).await?;
    rooms.retain(|room| args.all || !room.left);
    let changed: Vec<Address> = rooms.iter().flat_map(|room| room.changed.clone()).collect();
    trust::warn(&client, &changed, ui).await?;
    for room in &rooms {
        match args.common.output {
            TextFormat::Json => show(&client, &room.id, TextFormat::Json, ui).await?,
            TextFormat::Text => ui.result(&format!(
                "{}  {}  {} members{}{}",
                room.id,
                title(room),
                room.members.len(),
                if room.unread > 0 { format!("  {} unread", room.unread) } else { String::new() },
                if room.left { "  (not in it any more)" } else { "" },
            ))?,
        }
    }
    Ok(())
}

async fn rooms(client: &Client) -> Result<Vec<ConversationView>, CliError> {
    let mut views = client.conversations().list().await?;
    views.retain(|view| view.kind == ConversationKind::Room);
    Ok(views)
}

fn title(room: &ConversationView) -> &str {
    room.title.as_deref().unwrap_or("")
}

/// The room that somebody means: by its id, by the only title, or by the beginning of its id.
pub(crate) async fn find(client: &Client, word: &str) -> Result<ConversationView, CliError> {
    choose(rooms(client).await?, word)
}

fn choose(mut rooms: Vec<ConversationView>, word: &str) -> Result<ConversationView, CliError> {
    if let Some(at) = rooms.iter().position(|room| room.id == word) {
        return Ok(rooms.swap_remove(at));
    }
    let titled = |room: &ConversationView| room.title.as_deref() == Some(word);
    // One that the user is in goes before those that are over.
    let mut found: Vec<usize> = (0..rooms.len()).filter(|n| titled(&rooms[*n]) && !rooms[*n].left).collect();
    if found.is_empty() {
        found = (0..rooms.len()).filter(|n| titled(&rooms[*n])).collect();
    }
    if found.is_empty() && word.len() >= 4 {
        found = (0..rooms.len()).filter(|n| rooms[*n].id.starts_with(word)).collect();
    }
    match found.as_slice() {
        [one] => Ok(rooms.swap_remove(*one)),
        [] => Err(CliError::usage(format!("there is no room `{word}` here"))
            .hint("`sotto room list --all` shows titles and ids; `sotto receive` fetches what you were added to")),
        more => {
            let ids: Vec<&str> = more.iter().map(|n| rooms[*n].id.as_str()).collect();
            Err(CliError::usage(format!("`{word}` means several rooms: {}", ids.join(", "))).hint("name it by its id"))
        }
    }
}

/// What `-o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    room: String,
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    members: Vec<String>,
    moderators: Vec<String>,
    /// How members are called, by address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    names: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burn_after_read_seconds: Option<u64>,
    closed: bool,
    left: bool,
    events: usize,
    incomplete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_by: Option<String>,
}

impl Line {
    fn of(room: RoomView, called: &BTreeMap<Address, String>) -> Self {
        let names = |people: &[Address]| people.iter().map(ToString::to_string).collect();
        Self {
            members: names(&room.members),
            moderators: names(&room.moderators),
            names: called_all(called),
            room: room.id,
            title: room.title,
            description: room.description,
            expires_in_seconds: room.expires_in_s,
            burn_after_read_seconds: room.burn_after_read_s,
            closed: room.closed,
            left: room.left,
            events: room.events,
            incomplete: room.incomplete,
            stopped_by: room.stopped_by.map(|who| who.to_string()),
        }
    }
}

async fn show(client: &Client, id: &str, format: TextFormat, ui: Ui) -> Result<(), CliError> {
    let room = client.rooms().get(id).await?.ok_or_else(|| CliError::usage(format!("there is no room `{id}` here")))?;
    let names = client.contacts().names(&room.members).await?;
    if format == TextFormat::Json {
        return ui.json(&Line::of(room, &names));
    }
    ui.result(&format!("{}  {}", room.id, room.title))?;
    if !room.description.is_empty() {
        ui.result(&room.description)?;
    }
    for (what, time) in [("sending", room.expires_in_s), ("reading", room.burn_after_read_s)] {
        if let Some(seconds) = time {
            ui.result(&format!("messages are deleted {seconds} s after {what}"))?;
        }
    }
    for member in &room.members {
        let place = room.moderators.iter().position(|who| who == member);
        let mark = place.map(|place| format!("  moderator {}", place + 1)).unwrap_or_default();
        let member = called(member, names.get(member).map(String::as_str));
        ui.result(&format!("  {member}{mark}"))?;
    }
    if let Some(who) = &room.stopped_by {
        ui.result(&format!(
            "the room stands still: {who} made too many changes that contradict others; make a new room without them"
        ))?;
    } else if room.closed {
        ui.result("the room has ended")?;
    } else if room.left {
        ui.result("you are not in it any more")?;
    }
    if room.incomplete {
        ui.note("some changes of the room have not come yet; they are being asked for");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(id: &str, title: &str, left: bool) -> ConversationView {
        ConversationView {
            id: id.into(),
            kind: ConversationKind::Room,
            title: Some(title.into()),
            members: Vec::new(),
            moderators: Vec::new(),
            names: BTreeMap::new(),
            unread: 0,
            mentioned: false,
            last: None,
            retained: false,
            retained_by: Vec::new(),
            retention_unknown: Vec::new(),
            changed: Vec::new(),
            left,
            expires_in_s: None,
            burn_after_read_s: None,
        }
    }

    #[test]
    fn a_room_is_named_by_title_or_id() {
        let there =
            || vec![room("Sabcd1", "plans", false), room("Sabcd2", "plans", true), room("Sbbbb", "other", false)];
        let id = |word: &str| choose(there(), word).map(|room| room.id).map_err(|e| e.message);
        assert_eq!(id("plans").unwrap(), "Sabcd1", "the one that goes on");
        assert_eq!(id("Sabcd2").unwrap(), "Sabcd2");
        assert_eq!(id("Sbbb").unwrap(), "Sbbbb");
        assert!(id("Sabcd").unwrap_err().contains("several rooms"));
        assert!(id("nothing").unwrap_err().contains("no room"));
        let twice = vec![room("Sa", "plans", false), room("Sb", "plans", false)];
        assert!(choose(twice, "plans").err().unwrap().message.contains("Sa, Sb"));
    }

    #[test]
    fn a_time_may_be_off() {
        assert_eq!(time_or_off("off"), Ok(Time(None)));
        assert_eq!(time_or_off("2h"), Ok(Time(Some(Duration::from_hours(2)))));
        assert!(time_or_off("never").unwrap_err().contains("30s"));
    }
}
