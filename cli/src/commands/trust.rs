//! Changes of identity that the user has not acknowledged: told with every command that touches the contact, until they are.

use std::collections::BTreeSet;

use serde::Serialize;
use sotto_client::{Client, Contact, IdentityChange, SeenIn, Target, TrustState, Waiting, WaitsFor, WrongClock};
use sotto_crypto::{Address, Fingerprint};

use crate::commands::time;
use crate::error::CliError;
use crate::ui::Ui;

/// The relay would have handed out prekeys that were used.
pub(crate) const RELAY_WENT_BACK: &str = "the relay has forgotten what it has handed out: it, or this profile, was restored from a backup, or it is not \
     honest. This device has given it new keys; messages that cannot be opened for that are asked for again by themselves. If the administrator has restored \
     nothing, tell them.";

/// The clocks of this machine and the relay are apart.
pub(crate) fn set_the_clock(clock: WrongClock) -> String {
    format!("{clock}. Set it: times are wrong until then, and what is in order may be refused.")
}

/// Says so, where it is known.
pub(crate) fn warn_of_clock(client: &Client, ui: Ui) {
    if let Some(clock) = client.wrong_clock() {
        ui.note(&format!("WARNING: {}", set_the_clock(clock)));
    }
}

/// Tells of the changes of these people, each once.
pub(crate) async fn warn(client: &Client, people: &[Address], ui: Ui) -> Result<(), CliError> {
    Watch::default().tell(client, people, ui).await
}

/// Tells of the changes of those in a conversation.
pub(crate) async fn warn_in(client: &Client, conversation: &str, ui: Ui) -> Result<(), CliError> {
    warn_all(client, conversation, Vec::new(), ui).await
}

/// Tells of the changes of those in a conversation, and of these people.
pub(crate) async fn warn_all(
    client: &Client,
    conversation: &str,
    mut people: Vec<Address>,
    ui: Ui,
) -> Result<(), CliError> {
    people.extend(client.conversations().get(conversation).await?.into_iter().flat_map(|view| view.changed));
    warn(client, &people, ui).await
}

/// Tells of the changes of those whom something goes to, and of a clock that is wrong.
pub(crate) async fn warn_of(client: &Client, to: &Target, ui: Ui) -> Result<(), CliError> {
    warn_of_clock(client, ui);
    match to {
        Target::People(people) => warn(client, people, ui).await,
        Target::Conversation(id) => warn_in(client, id, ui).await,
    }
}

/// Changes while a command runs: which were there before, and whom was told of already.
#[derive(Default)]
pub(crate) struct Watch {
    before: BTreeSet<(Address, [Fingerprint; 2])>,
    told: BTreeSet<Address>,
}

impl Watch {
    /// From now on.
    pub(crate) async fn begin(client: &Client) -> Result<Self, CliError> {
        let contacts = client.contacts().list().await?;
        Ok(Self { before: contacts.iter().filter_map(named).collect(), told: BTreeSet::new() })
    }

    /// Tells of the changes of these people, of each once.
    pub(crate) async fn tell(&mut self, client: &Client, people: &[Address], ui: Ui) -> Result<(), CliError> {
        let people: Vec<Address> = people.iter().filter(|who| !self.told.contains(*who)).cloned().collect();
        if !people.is_empty() {
            client.contacts().known(&people).await?.iter().for_each(|contact| self.say(contact, ui));
        }
        Ok(())
    }

    /// Tells of what has changed since the begin, whatever it came with.
    pub(crate) async fn tell_new(&mut self, client: &Client, ui: Ui) -> Result<(), CliError> {
        let contacts = client.contacts().list().await?;
        for contact in &contacts {
            if named(contact).is_some_and(|name| !self.before.contains(&name)) {
                self.say(contact, ui);
            }
        }
        Ok(())
    }

    fn say(&mut self, contact: &Contact, ui: Ui) {
        if let Some(words) = words(contact)
            && self.told.insert(contact.address.clone())
        {
            ui.note(&words);
        }
    }
}

/// What tells one change from another.
fn named(contact: &Contact) -> Option<(Address, [Fingerprint; 2])> {
    contact.change.as_ref().map(|change| (contact.address.clone(), [change.old, change.new]))
}

/// A change for people.
fn words(contact: &Contact) -> Option<String> {
    let (who, change) = (&contact.address, contact.change.as_ref()?);
    let effect = match contact.state {
        TrustState::Changed => {
            " You had verified the old one: nothing is sent to them, and what they send is held back."
        }
        _ => "",
    };
    let invited = change.invited_at_ms.map(|at| format!(" The administrator invited them anew {}.", time(at)));
    let invited = invited.unwrap_or_default();
    Some(format!(
        "WARNING: the identity of {who} has changed, first seen {} {}: it was {} and is {} now.{effect}{invited} They registered \
         anew, or somebody is in between: ask them by another way, or compare the number that `sotto verify {who}` prints. \
         `sotto verify {who} --accept-change` when you know.",
        time(change.since_ms),
        place(change.seen_in),
        change.old,
        change.new
    ))
}

/// Where a change was seen, for people.
pub(crate) fn place(seen_in: SeenIn) -> &'static str {
    match seen_in {
        SeenIn::Message => "in a message from them",
        SeenIn::Receipt => "in a receipt from them",
        SeenIn::Recipients => "when something was sent to them",
        SeenIn::Room => "in a change of a room",
        SeenIn::Lookup => "when they were looked up",
        SeenIn::OtherDevice => "on another device of yours",
    }
}

/// How far an identity is known, in a word.
pub(crate) fn state(state: TrustState) -> &'static str {
    match state {
        TrustState::Verified => "verified",
        TrustState::Replaced => "replaced",
        TrustState::Changed => "changed",
        _ => "pinned",
    }
}

/// A change for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangeLine {
    old: String,
    new: String,
    since: String,
    /// `message`, `receipt`, `recipients`, `room`, `lookup` or `device`.
    seen_in: &'static str,
    /// When they were invited by which the new identity came.
    #[serde(skip_serializing_if = "Option::is_none")]
    invited_at: Option<String>,
}

impl From<&IdentityChange> for ChangeLine {
    fn from(change: &IdentityChange) -> Self {
        Self {
            old: change.old.to_string(),
            new: change.new.to_string(),
            since: time(change.since_ms),
            seen_in: change.seen_in.word(),
            invited_at: change.invited_at_ms.map(time),
        }
    }
}

/// Messages that have come and cannot be shown yet, for people. `remedy` says how a change of identity is looked at.
pub(crate) fn waits(waiting: &Waiting, remedy: &str) -> String {
    wait(&waiting.sender, waiting.waits_for, (waiting.count, waiting.dropped), remedy)
}

fn wait(who: &Address, waits_for: WaitsFor, (count, dropped): (u64, u64), remedy: &str) -> String {
    let (messages, wait, are) = if count == 1 { ("message", "waits", "is") } else { ("messages", "wait", "are") };
    let why = match waits_for {
        WaitsFor::RoomEvents => format!("{wait} for changes of their room that have not come"),
        WaitsFor::Acknowledgement => format!("{are} held back: the identity of {who} has changed; {remedy}"),
        _ => format!("{wait} for a newer version of this program"),
    };
    let more = match dropped {
        0 => String::new(),
        1 => ", and 1 more was not kept".to_owned(),
        more => format!(", and {more} more were not kept"),
    };
    format!("{count} {messages} of {who} {why}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_one_line() {
        let carol = Address::parse("carol@x.example").unwrap();
        let said = |waits_for, counts| wait(&carol, waits_for, counts, "see `sotto verify carol@x.example`");
        assert_eq!(
            said(WaitsFor::NewerVersion, (3, 0)),
            "3 messages of carol@x.example wait for a newer version of this program"
        );
        assert_eq!(
            said(WaitsFor::RoomEvents, (1, 1)),
            "1 message of carol@x.example waits for changes of their room that have not come, and 1 more was not kept"
        );
        assert_eq!(
            said(WaitsFor::Acknowledgement, (200, 40)),
            "200 messages of carol@x.example are held back: the identity of carol@x.example has changed; see `sotto verify \
             carol@x.example`, and 40 more were not kept"
        );
    }
}
