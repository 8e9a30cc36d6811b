//! What goes into the interface and what comes out of it, as values.

use std::path::PathBuf;

use ratatui::crossterm::event::{KeyEvent, MouseEvent};
use sotto_client::{Contact, ConversationId, ConversationView, MessageView, Target, Waiting};
use sotto_crypto::{Address, Fingerprint};
use sotto_wire::content::{File, MessageRef, Presence};

/// What happens to the interface.
pub(crate) enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The mouse.
    Mouse(MouseEvent),
    /// The terminal has another size now.
    Resize(u16, u16),
    /// The terminal's window is looked at, or not any more.
    Focus(bool),
    /// The time (milliseconds since the epoch); about once a second.
    Tick(u64),
    /// Something came back from the client.
    News(News),
}

/// What is to be done outside of the interface. All of it takes time and is done beside it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The list of conversations is asked for.
    Conversations,
    /// Messages of a conversation are asked for: the newest ones, or those before a position.
    Messages { id: ConversationId, before: Option<u64>, limit: u32 },
    /// Messages of a conversation are asked for, from this one to the newest.
    Since { id: ConversationId, position: u64 },
    /// The local history is searched.
    Search { words: String },
    /// A message is wanted, wherever it is.
    Jump(MessageRef),
    /// Everybody whose identity is known.
    Contacts,
    /// Whose messages wait until they can be shown.
    Waiting,
    /// Who retains a conversation is asked for, where it is not known.
    Learn(ConversationId),
    /// What is known of the conversation with these people, in which nothing was said yet, and what can be learned of it.
    Begin(Vec<Address>),
    /// Somebody's identity is asked for at the relay.
    Identity(Address),
    /// The number of this contact was compared, and is the same.
    MarkVerified(Box<ContactKey>),
    /// The mark is taken away.
    Unverify(Address),
    /// Somebody's new identity is accepted.
    AcceptChange { who: Address, told: Fingerprint },
    /// What the network and the group allow.
    Rules,
    /// A message is sent.
    Post { id: ConversationId, to: Target, words: Words },
    /// A file is sent.
    SendFile { transfer: u64, id: ConversationId, to: Target, path: PathBuf, words: Words },
    /// A file is fetched and saved. The path may be a folder.
    SaveFile { transfer: u64, file: Box<File>, path: PathBuf },
    /// Somebody's words are changed.
    Edit { key: MessageRef, text: String },
    /// A message is taken back.
    Delete(MessageRef),
    /// A reaction is put on or taken away.
    React { key: MessageRef, emoji: String, on: bool },
    /// A pin is put on or taken away.
    Pin { key: MessageRef, on: bool },
    /// A message is sent on.
    Forward { key: MessageRef, to: Target },
    /// A message that waits in the outbox is not to be sent after all.
    Cancel(MessageRef),
    /// Everything up to here was read.
    MarkRead { id: ConversationId, up_to: u64 },
    /// The user types, or has stopped.
    Typing { id: ConversationId, on: bool },
    /// The user's presence.
    Presence(Presence),
    /// A room is made.
    NewRoom { title: String, members: Vec<Address> },
    /// A room is changed.
    Room { id: ConversationId, change: RoomWish },
    /// Whether the documents of the network are of a time that is over.
    Stale,
    /// What could be meant by the begin of a path.
    Paths(String),
    /// The terminal rings: somebody is asking for this user.
    Bell,
    /// The whole screen is drawn anew.
    Redraw,
    /// The interface ends.
    End,
}

/// What is said, and how.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Words {
    /// The text; of a file its caption.
    pub(crate) text: String,
    pub(crate) reply_to: Option<MessageRef>,
    pub(crate) mentions: Vec<Address>,
    pub(crate) expires_in_s: Option<u64>,
    pub(crate) burn_after_read_s: Option<u64>,
}

/// What is to change in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RoomWish {
    Add(Vec<Address>),
    Remove(Address),
    Moderator(Address, bool),
    Title(String),
    /// Seconds from sending after which messages are deleted; nothing: no rule.
    Expiry(Option<u64>),
    /// Seconds from reading after which they are.
    Burn(Option<u64>),
    Leave,
}

/// A contact as it was shown when its number was compared.
#[derive(Clone)]
pub(crate) struct ContactKey(pub(crate) Contact);

impl PartialEq for ContactKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.address == other.0.address && self.0.fingerprint == other.0.fingerprint
    }
}

impl Eq for ContactKey {}

/// What comes back from the client.
pub(crate) enum News {
    /// How it is with the connection to the relay.
    Link(Link),
    /// What there is to say of documents of a time that is over, if anything.
    Stale(Option<String>),
    /// What is shown of a conversation has changed.
    Changed(ConversationId),
    /// A message came.
    Came { id: ConversationId, sender: Address, identity_changed: bool },
    /// Somebody types, or has stopped.
    Typing { id: ConversationId, who: Address, on: bool },
    /// Somebody's presence.
    Presence { who: Address, state: Presence },
    /// To be told, and seen before it goes away.
    Warning(String),
    /// Whose messages wait until they can be shown.
    Waiting(Vec<Waiting>),
    /// A conversation in which nothing was said yet.
    Begun(Box<ConversationView>),
    /// To be told in passing.
    Note(String),
    /// The list of conversations.
    Conversations(Vec<ConversationView>),
    /// Messages, oldest first, as asked for.
    Messages { id: ConversationId, before: Option<u64>, limit: u32, found: Vec<MessageView> },
    /// All messages from a position on.
    Since { id: ConversationId, position: u64, found: Vec<MessageView> },
    /// What a search has found.
    Found { words: String, found: Vec<MessageView> },
    /// The message that was to be jumped to.
    Jump(Option<Box<MessageView>>),
    /// Everybody whose identity is known.
    Contacts(Vec<Contact>),
    /// Somebody's identity, as asked for or as changed.
    Contact(Box<Contact>),
    /// What the network and the group allow.
    Rules(Rules),
    /// An effect has done its work.
    Done(Box<Effect>),
    /// An effect has not.
    Failed { effect: Box<Effect>, reason: String },
    /// A room was made.
    RoomMade(ConversationId),
    /// A file has got so far.
    Progress { transfer: u64, done: u64, total: u64 },
    /// A file was saved.
    Saved { transfer: u64, path: PathBuf },
    /// What could be meant by the begin of a path.
    Paths { typed: String, paths: Vec<String> },
}

/// How it is with the connection to the relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    /// Being made.
    Connecting,
    /// Made; everything that was waiting has come.
    Online,
    /// Broken; made again at this time (milliseconds since the epoch).
    Away { reason: String, again_at_ms: u64 },
    /// Another process on this profile receives; tried again at this time.
    Elsewhere { reason: String, again_at_ms: u64 },
}

/// What the network and the group allow.
#[expect(clippy::struct_excessive_bools, reason = "independent permissions")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    pub(crate) files: bool,
    pub(crate) download: bool,
    pub(crate) forwarding: bool,
    pub(crate) presence: bool,
    /// Names of the retention processes by which everything that this user says or gets is retained.
    pub(crate) retained_by: Vec<String>,
    /// Sentences to choose from.
    pub(crate) quick: Vec<String>,
}

impl Default for Rules {
    /// Before the relay has answered: the client refuses what is not allowed anyway.
    fn default() -> Self {
        Self {
            files: true,
            download: true,
            forwarding: true,
            presence: true,
            retained_by: Vec::new(),
            quick: Vec::new(),
        }
    }
}
