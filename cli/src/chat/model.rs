//! All that the interface knows: values, no I/O. [`super::update`] changes it, [`super::view`] shows it.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use sotto_client::{
    Contact, ConversationId, ConversationKind, ConversationView, MessageView, Target, TrustState, Waiting,
};
use sotto_crypto::Address;
use sotto_wire::content::{MessageRef, Presence};

use super::complete::Completion;
use super::dialog::Dialog;
use super::editor::Editor;
use super::effect::{Link, Rules};
use super::keys::Focus;
use super::text::one_line;

/// A line of text in passing is shown this long (milliseconds).
const NOTE_MS: u64 = 8_000;
/// Who has said that they type is shown as typing this long without hearing more.
pub(crate) const TYPING_MS: u64 = 8_000;
/// What somebody has shown of their presence is believed this long without hearing more. It is repeated after half of it.
pub(crate) const PRESENCE_MS: u64 = 600_000;

/// The whole state. Holds clear text: no Debug.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Model {
    /// The user.
    pub(crate) me: Address,
    /// For the times that are shown.
    pub(crate) zone: TimeZone,
    /// Whether colours may be used; all that they say is said without them too.
    pub(crate) color: bool,
    /// Milliseconds since the epoch.
    pub(crate) now_ms: u64,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    pub(crate) link: Link,
    pub(crate) rules: Rules,
    /// Newest first, as the client gives them.
    pub(crate) conversations: Vec<ConversationView>,
    /// One that has no message yet, and so is not in the list of the client.
    pub(crate) begun: Option<ConversationView>,
    pub(crate) list_load: Load,
    /// The conversation under the cursor of the list, where it is not the open one.
    pub(crate) cursor: Option<ConversationId>,
    pub(crate) open: Option<Open>,
    /// Texts that are being written, by conversation.
    pub(crate) composers: HashMap<ConversationId, Composer>,
    pub(crate) completion: Option<Completion>,
    pub(crate) focus: Focus,
    pub(crate) dialog: Option<Dialog>,
    /// Who types where, until when it is believed.
    pub(crate) typing: Vec<(ConversationId, Address, u64)>,
    /// What others have shown, and when.
    pub(crate) presence: BTreeMap<Address, (Presence, u64)>,
    pub(crate) contacts: BTreeMap<Address, Contact>,
    /// Whose messages have come and cannot be shown yet.
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) next_transfer: u64,
    /// Something in passing, until when it is shown.
    pub(crate) note: Option<(String, u64)>,
    /// What must be seen, oldest first; each stays until it is put away.
    pub(crate) warnings: Vec<String>,
    /// Whether the terminal's window is looked at, as far as it tells.
    pub(crate) looked_at: bool,
    /// The last key (milliseconds since the epoch).
    pub(crate) active_ms: u64,
    /// The presence that was last shown to others, and when.
    pub(crate) shown_presence: Option<(Presence, u64)>,
    /// The conversation whose others were told that the user types, and when.
    pub(crate) told_typing: Option<(ConversationId, u64)>,
    /// Where the last file was saved.
    pub(crate) save_to: String,
    /// Ctrl+C was the last key.
    pub(crate) leaving: bool,
    pub(crate) ended: bool,
}

/// Asking for something that may change while it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Load {
    #[default]
    Idle,
    Running,
    /// It has changed since it was asked for.
    Stale,
}

impl Load {
    /// Whether to ask now; otherwise it is asked again when the answer is there.
    pub(crate) fn want(&mut self) -> bool {
        let now = *self == Self::Idle;
        *self = if now { Self::Running } else { Self::Stale };
        now
    }

    /// The answer is there. Whether to ask again.
    pub(crate) fn done(&mut self) -> bool {
        let again = *self == Self::Stale;
        *self = if again { Self::Running } else { Self::Idle };
        again
    }
}

/// The conversation that is shown.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Open {
    pub(crate) id: ConversationId,
    /// Oldest first.
    pub(crate) messages: Vec<MessageView>,
    /// Whether the messages were asked for and have come.
    pub(crate) loaded: bool,
    /// Whether there are none before these.
    pub(crate) complete: bool,
    pub(crate) load: Load,
    /// Whether older ones are being asked for.
    pub(crate) loading_older: bool,
    /// The message at the pane's last row and how many rows of it are below; the newest when absent.
    pub(crate) anchor: Option<(u64, usize)>,
    /// Position of the message under the cursor.
    pub(crate) selected: Option<u64>,
    /// Position of the first message that was not read when the conversation was opened.
    pub(crate) new_from: Option<u64>,
    /// How many had not been read when it was opened, until the messages are there.
    pub(crate) unread: u32,
    /// Up to where it was marked as read.
    pub(crate) read_to: u64,
    /// A position to go to once it is there.
    pub(crate) jump: Option<u64>,
    /// Whether it was asked who retains it.
    pub(crate) learned: bool,
}

impl Open {
    pub(crate) fn new(id: ConversationId, unread: u32) -> Self {
        Self {
            id,
            messages: Vec::new(),
            loaded: false,
            complete: false,
            load: Load::Idle,
            loading_older: false,
            anchor: None,
            selected: None,
            new_from: None,
            unread,
            read_to: 0,
            jump: None,
            learned: false,
        }
    }

    /// The message under the cursor.
    pub(crate) fn selected(&self) -> Option<&MessageView> {
        let position = self.selected?;
        self.messages.iter().find(|m| m.position == position)
    }

    /// The message with this name.
    pub(crate) fn message(&self, key: &MessageRef) -> Option<&MessageView> {
        self.messages.iter().find(|m| &m.key == key)
    }

    /// Index of the message at this position, or of the next older one that is still there.
    pub(crate) fn index_of(&self, position: u64) -> usize {
        self.messages.partition_point(|m| m.position <= position).saturating_sub(1)
    }
}

/// A text that is being written.
#[derive(Clone, Default)]
pub(crate) struct Composer {
    pub(crate) editor: Editor,
    pub(crate) mode: Mode,
    /// What was being written when editing a message began.
    pub(crate) aside: Option<Editor>,
    /// Seconds from sending after which messages are deleted.
    pub(crate) expires_in_s: Option<u64>,
    /// Seconds from reading after which they are.
    pub(crate) burn_after_read_s: Option<u64>,
}

/// What becomes of the text.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A new message.
    #[default]
    New,
    /// The answer to a message.
    Reply(MessageRef),
    /// New words for a message.
    Edit(MessageRef),
}

/// A file on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Transfer {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) sending: bool,
    /// It is in the outbox: it goes on by itself, also after a new start.
    pub(crate) durable: bool,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

impl Model {
    pub(crate) fn new(me: Address, zone: TimeZone, now_ms: u64, size: (u16, u16)) -> Self {
        Self {
            me,
            zone,
            color: false,
            now_ms,
            size,
            link: Link::Connecting,
            rules: Rules::default(),
            conversations: Vec::new(),
            begun: None,
            list_load: Load::Idle,
            cursor: None,
            open: None,
            composers: HashMap::new(),
            completion: None,
            focus: Focus::List,
            dialog: None,
            typing: Vec::new(),
            presence: BTreeMap::new(),
            contacts: BTreeMap::new(),
            waiting: Vec::new(),
            transfers: Vec::new(),
            next_transfer: 1,
            note: None,
            warnings: Vec::new(),
            looked_at: true,
            active_ms: now_ms,
            shown_presence: None,
            told_typing: None,
            save_to: "~/Downloads".to_owned(),
            leaving: false,
            ended: false,
        }
    }

    /// The list as it is shown: one that was just begun is first until the client has it.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &ConversationView> {
        let begun = self.begun.iter().filter(|b| !self.conversations.iter().any(|c| c.id == b.id));
        begun.chain(&self.conversations)
    }

    /// A conversation by its id.
    pub(crate) fn conversation(&self, id: &str) -> Option<&ConversationView> {
        self.listed().find(|c| c.id == id)
    }

    /// The open conversation.
    pub(crate) fn current(&self) -> Option<&ConversationView> {
        self.conversation(&self.open.as_ref()?.id)
    }

    /// The text that is being written in the open conversation.
    pub(crate) fn composer(&self) -> Option<&Composer> {
        self.composers.get(&self.open.as_ref()?.id)
    }

    /// The same, to write in.
    pub(crate) fn composer_mut(&mut self) -> Option<&mut Composer> {
        let id = &self.open.as_ref()?.id;
        Some(self.composers.entry(id.clone()).or_default())
    }

    /// Everybody in a conversation but the user.
    pub(crate) fn others(&self, conversation: &ConversationView) -> Vec<Address> {
        conversation.members.iter().filter(|m| **m != self.me).cloned().collect()
    }

    /// Where a message to this conversation goes.
    pub(crate) fn target(&self, id: &str) -> Target {
        match &self.begun {
            Some(begun) if begun.id == id && !self.conversations.iter().any(|c| c.id == id) => {
                Target::People(self.others(begun))
            }
            _ => Target::Conversation(id.to_owned()),
        }
    }

    /// How somebody is called: by the name alone in the own network.
    pub(crate) fn name(&self, who: &Address) -> String {
        if who == &self.me {
            "you".to_owned()
        } else if who.domain_str() == self.me.domain_str() {
            who.local().to_owned()
        } else {
            who.to_string()
        }
    }

    /// What a conversation is called.
    pub(crate) fn title(&self, conversation: &ConversationView) -> String {
        let others = self.others(conversation);
        let names = || others.iter().map(|who| self.name(who)).collect::<Vec<_>>().join(", ");
        match (conversation.kind, &conversation.title) {
            (ConversationKind::Room, Some(title)) => format!("# {}", one_line(title)),
            (ConversationKind::Room, None) => "# room".to_owned(),
            _ if others.is_empty() => "Notes to yourself".to_owned(),
            (ConversationKind::Direct, _) => format!("{}{}", names(), beside(conversation, &others)),
            _ => names(),
        }
    }

    /// Members whose identity has changed, which the user has not acknowledged; and whether the user had verified the old one:
    /// then nothing can be sent to them.
    pub(crate) fn changed<'a>(
        &'a self,
        conversation: &'a ConversationView,
    ) -> impl Iterator<Item = (&'a Address, bool)> {
        conversation.members.iter().filter_map(|who| {
            let contact = self.contacts.get(who);
            let changed = conversation.changed.contains(who) || contact.is_some_and(|c| c.change.is_some());
            let verified = matches!(contact.map(|c| c.state), Some(TrustState::Verified | TrustState::Changed));
            changed.then_some((who, verified))
        })
    }

    /// Whether every other member's identity was verified by the user.
    pub(crate) fn all_verified(&self, conversation: &ConversationView) -> bool {
        let others = self.others(conversation);
        let verified = |who: &Address| self.contacts.get(who).is_some_and(|c| c.state == TrustState::Verified);
        !others.is_empty() && others.iter().all(verified)
    }

    /// What somebody shows of their presence, unless it was too long ago.
    pub(crate) fn presence_of(&self, who: &Address) -> Option<Presence> {
        let (state, at) = self.presence.get(who)?;
        (at.saturating_add(PRESENCE_MS) > self.now_ms).then_some(*state)
    }

    /// The files on their way that are shown: not those that wait in the outbox, which their messages say.
    pub(crate) fn moving(&self) -> impl Iterator<Item = &Transfer> {
        self.transfers.iter().filter(|t| !t.durable || t.total > 0)
    }

    /// Who types in the open conversation.
    pub(crate) fn typing_here(&self) -> Vec<&Address> {
        let Some(open) = &self.open else { return Vec::new() };
        let here = self.typing.iter().filter(|(id, _, until)| *id == open.id && *until > self.now_ms);
        here.map(|(_, who, _)| who).collect()
    }

    /// Says something in passing.
    pub(crate) fn say(&mut self, words: impl Into<String>) {
        self.note = Some((one_line(&words.into()), self.now_ms.saturating_add(NOTE_MS)));
    }

    /// Says something that must be seen.
    pub(crate) fn warn(&mut self, words: impl Into<String>) {
        let words = one_line(&words.into());
        if !self.warnings.contains(&words) {
            self.warnings.push(words);
        }
    }
}

/// How the other one of a conversation of two is called, to stand behind the address.
pub(crate) fn beside(conversation: &ConversationView, others: &[Address]) -> String {
    let [other] = others else { return String::new() };
    conversation.names.get(other).map(|name| format!(" ({name})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{a, direct, model};
    use super::*;

    #[test]
    fn what_changes_while_it_is_asked_for_is_asked_for_again() {
        let mut load = Load::default();
        assert!(load.want());
        assert!(!load.want() && !load.want());
        assert!(load.done());
        assert!(!load.done());
        assert!(load.want());
    }

    #[test]
    fn names_are_short_in_the_own_network() {
        let m = model();
        assert_eq!(m.name(&a("bob@x.example")), "bob");
        assert_eq!(m.name(&a("carol@y.example")), "carol@y.example");
        let mut bob = direct("bob@x.example");
        assert_eq!(m.title(&bob), "bob");
        // A name stands behind the address, whatever it says.
        bob.names.insert(a("bob@x.example"), "carol".into());
        assert_eq!(m.title(&bob), "bob (carol)");
    }
}
