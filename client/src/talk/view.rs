//! What is shown: conversations and messages as values, with all that was done to them folded in. No Debug on what holds
//! clear text.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use sotto_crypto::{Address, DeviceId, Domain, MessageId};
use sotto_wire::content::{Body, File, FileKind, Forwarded, MessageRef};

use crate::store::{GapEvent, LeftOut, Missing, RemovedDevices};

/// Names a conversation: [`sotto_wire::content::Conversation::id`].
pub type ConversationId = String;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To these people, who are one conversation with the sender. Only the sender: a note to oneself.
    People(Vec<Address>),
    /// To a conversation that is known here.
    Conversation(ConversationId),
}

/// What a message has beside its words or its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DraftOptions {
    pub(crate) reply_to: Option<MessageRef>,
    pub(crate) mentions: Vec<Address>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) burn_after_read: Option<Duration>,
    pub(crate) forwarded: Option<Forwarded>,
}

/// A message that is to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    pub(crate) body: Body,
    pub(crate) options: DraftOptions,
}

impl Draft {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { body: Body::Text(text.into()), options: DraftOptions::default() }
    }

    /// A file that a relay holds already, such as one that has come. A file of this machine goes by
    /// [`Outbox::post_file`](crate::Outbox::post_file).
    pub fn file(file: File) -> Self {
        Self { body: Body::File(file), options: DraftOptions::default() }
    }
}

/// A file of this machine that is to be sent: what is known of it beside its bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FileDraft {
    pub(crate) caption: Option<String>,
    pub(crate) kind: Option<FileKind>,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) preview: Option<Vec<u8>>,
    pub(crate) options: DraftOptions,
}

impl FileDraft {
    /// A file with nothing beside it.
    pub fn new() -> Self {
        Self::default()
    }

    /// With words.
    #[must_use]
    pub fn caption(mut self, words: impl Into<String>) -> Self {
        self.caption = Some(words.into());
        self
    }

    /// A voice or video message.
    #[must_use]
    pub fn kind(mut self, kind: FileKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// That plays this long.
    #[must_use]
    pub fn plays_for(mut self, time: Duration) -> Self {
        self.duration_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// With a small picture (JPEG or PNG, at most 16 KiB).
    #[must_use]
    pub fn preview(mut self, picture: Vec<u8>) -> Self {
        self.preview = Some(picture);
        self
    }
}

macro_rules! with_options {
    ($name:ident) => {
        impl $name {
            /// As the answer to a message of the same conversation.
            #[must_use]
            pub fn reply_to(mut self, message: MessageRef) -> Self {
                self.options.reply_to = Some(message);
                self
            }

            /// Names somebody in it, who is told of it.
            #[must_use]
            pub fn mention(mut self, who: Address) -> Self {
                self.options.mentions.push(who);
                self
            }

            /// Every copy but a retained one is deleted after this time, counted from sending.
            #[must_use]
            pub fn expires_in(mut self, time: Duration) -> Self {
                self.options.expires_in = Some(time);
                self
            }

            /// A reader's copy is deleted after this time, counted from reading; the sender's, counted from sending.
            #[must_use]
            pub fn burn_after_read(mut self, time: Duration) -> Self {
                self.options.burn_after_read = Some(time);
                self
            }
        }
    };
}

with_options!(Draft);
with_options!(FileDraft);

/// What kind of conversation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConversationKind {
    /// Between two people, or a note to oneself.
    Direct,
    /// Between more, without moderation.
    Group,
    /// A room with members that change, and with moderators.
    Room,
}

/// A conversation as it is now.
#[derive(Clone, PartialEq, Eq)]
pub struct ConversationView {
    /// Names it.
    pub id: ConversationId,
    /// What kind it is.
    pub kind: ConversationKind,
    /// A room's title.
    pub title: Option<String>,
    /// Everybody in it, the own address too.
    pub members: Vec<Address>,
    /// A room's moderators.
    pub moderators: Vec<Address>,
    /// How people call its members, as far as the administrators of their networks say: to be shown beside the addresses.
    pub names: BTreeMap<Address, String>,
    /// Messages of others that have not been read.
    pub unread: u32,
    /// Whether one of them names this user.
    pub mentioned: bool,
    /// The newest message.
    pub last: Option<MessageView>,
    /// Whether what is said in it goes to a retention process too, as far as is known.
    pub retained: bool,
    /// Which processes.
    pub retained_by: Vec<Address>,
    /// Networks of members of which it is not known yet: [`Conversations::learn`](crate::Conversations::learn) asks.
    pub retention_unknown: Vec<Domain>,
    /// Members whose identity has changed, which the user has not acknowledged.
    pub changed: Vec<Address>,
    /// Whether this user has left the room, or was put out of it, or the room has ended: nothing can be sent.
    pub left: bool,
    /// A room's rule: seconds from sending after which messages are deleted.
    pub expires_in_s: Option<u64>,
    /// A room's rule: seconds from reading after which a reader's copy is deleted.
    pub burn_after_read_s: Option<u64>,
}

/// A message as it is now.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each shown by itself")]
#[derive(Clone, PartialEq, Eq)]
pub struct MessageView {
    /// Names it.
    pub key: MessageRef,
    /// How people call its sender now, as the administrator of their network says: to be shown beside the address.
    pub sender_name: Option<String>,
    /// Its place in the local history: grows, with gaps; stays.
    pub position: u64,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// Whether this user sent it, from any device.
    pub own: bool,
    /// When it was sent by the sender's clock (milliseconds since the epoch).
    pub sent_at_ms: u64,
    /// What it says now.
    pub body: ViewBody,
    /// Whether its sender has changed its words.
    pub edited: bool,
    /// The message that it answers.
    pub reply_to: Option<MessageRef>,
    /// Who is named in it.
    pub mentions: Vec<Address>,
    /// Where it was forwarded from, as its sender says.
    pub forwarded: Option<Forwarded>,
    /// Each emoji with those who put it on, in order.
    pub reactions: Vec<(String, Vec<Address>)>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// When it is deleted, where it is (milliseconds since the epoch).
    pub expires_at_ms: Option<u64>,
    /// How far it has got.
    pub state: DeliveryState,
    /// Why it was refused.
    pub reason: Option<String>,
    /// To whose devices it has come, as they say: with those who have read it.
    pub delivered_to: Vec<Address>,
    /// Who has read it, as they say.
    pub read_by: Vec<Address>,
    /// Whether a retention process has it too.
    pub retained: bool,
    /// Which, where that is known.
    pub retained_by: Vec<Address>,
    /// Members of its room whom it could not be sent to.
    pub left_out: Vec<LeftOut>,
    /// Whether a retention process that should have it was left out by its sender.
    pub retention_missing: bool,
    /// Whether it was missing before it came.
    pub late: bool,
    /// Whether it says that it was sent later than it came: its sender's clock is wrong, or this machine's was.
    pub sent_in_future: bool,
    /// Whether it came sealed to a one-time prekey, so that nobody can open a recording of it; where that is known. Otherwise it can be
    /// opened for as long as the secret of the device's medium-term prekey is kept.
    pub forward_secret: Option<bool>,
    /// Whether it does not follow what the same device has said before: there are two of it, or it was put back.
    pub conflict: bool,
    /// What devices that were removed have to do with it.
    pub removed: RemovedDevices,
    /// The id that it bears, where that is another message's: then it is named by one of its own.
    pub conflicts_with: Option<MessageId>,
    /// Whether the sender's identity was verified by the user.
    pub verified: bool,
    /// Whether the sender's identity has changed, which the user has not acknowledged.
    pub identity_changed: bool,
}

/// What a message says.
#[expect(
    clippy::large_enum_variant,
    reason = "a view is shown and dropped; boxes would only make it harder to match on"
)]
#[derive(Clone, PartialEq, Eq)]
pub enum ViewBody {
    /// Text.
    Text(String),
    /// A file.
    File(File),
    /// It was taken back.
    Deleted,
    /// What happened in a room, in words.
    Event(String),
    /// Messages of this sender's device that have not come.
    Missing(Missing),
    /// Something that this program is too old for.
    Unknown,
}

/// How far a message has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// Came from somebody.
    Received,
    /// Waits in the outbox.
    Queued,
    /// Is on its way to the relay, which may have it already.
    Sending,
    /// The relay has it durably.
    Accepted,
    /// It has come to a device of everybody in the conversation.
    Delivered,
    /// Everybody in the conversation has read it, and says so.
    Read,
    /// It was refused; [`MessageView::reason`] says why.
    Refused,
    /// It was refused when it was to go again, and [`MessageView::reason`] says why: whether it went out before, nobody knows.
    Uncertain,
}

/// What is known of messages of somebody's device that are missing, or that do not follow each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// Where.
    pub conversation: ConversationId,
    /// Whose.
    pub sender: Address,
    /// Of which of their devices.
    pub device: DeviceId,
    /// The number of the first message, of all that the device has said in the conversation.
    pub from: u64,
    /// The number behind the last.
    pub to: u64,
    /// When it was noticed, or has happened (milliseconds since the epoch).
    pub at_ms: u64,
    /// [`GapEvent::Missing`], or what has happened.
    pub what: GapEvent,
    /// The message that it happened with.
    pub message: Option<MessageId>,
}

impl Gap {
    /// Something that has happened to messages with these numbers.
    pub fn new(
        conversation: ConversationId,
        sender: Address,
        device: DeviceId,
        numbers: Range<u64>,
        at_ms: u64,
        what: GapEvent,
    ) -> Self {
        Self { conversation, sender, device, from: numbers.start, to: numbers.end, at_ms, what, message: None }
    }
}

/// Something that waits in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Names the message.
    pub key: MessageRef,
    /// Where it goes.
    pub conversation: ConversationId,
    /// What it is: `text`, `file`, `edit`, `delete`, `reaction`, `pin`, `room`.
    pub what: &'static str,
    /// Since when it waits (milliseconds since the epoch).
    pub queued_at_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether the relay may have it already: the last attempt broke off before its answer came.
    pub uncertain: bool,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

/// What became of the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// The relay has them.
    pub sent: u32,
    /// Were refused, for good; their messages say why.
    pub refused: u32,
    /// Still wait.
    pub left: u32,
}
