//! What is inside a sealed message: known to sender and recipients, never to the relay.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, BlobId, DeviceId, Domain, MessageId};

use crate::room::{EventId, RoomId, SignedRoomEvent};

/// The clear content of a message.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Content {
    /// Content version, 1. A reader shows a newer one as "needs a newer client" and keeps it.
    #[n(0)]
    pub version: u8,
    /// Which conversation it belongs to.
    #[n(1)]
    pub conversation: Conversation,
    /// When it was sent by the sender's clock (milliseconds since the epoch).
    #[n(2)]
    pub sent_at_ms: u64,
    /// Seconds from sending after which every copy but the retained one is deleted.
    #[n(3)]
    pub expires_in_s: Option<u64>,
    /// Seconds from reading after which the reader's copy is deleted.
    #[n(4)]
    pub burn_after_read_s: Option<u64>,
    /// What was said.
    #[n(5)]
    pub body: Body,
    /// The message that this one answers.
    #[n(6)]
    pub reply_to: Option<MessageRef>,
    /// People who are named in it, to be told of it: in order, no repeats; never an empty list.
    #[n(7)]
    pub mentions: Option<Vec<Address>>,
    /// Where a forwarded message comes from, as its forwarder says.
    #[n(8)]
    pub forwarded: Option<Forwarded>,
    /// In a room: the newest events that the sender knows (in order, no repeats), so that who lacks one asks for it.
    #[n(9)]
    pub heads: Option<Vec<EventId>>,
    /// Its place behind what this device has said before in the conversation; none in what goes to some of its members only.
    #[n(10)]
    pub link: Option<Link>,
    /// Serial of the list of the sender's devices, as this device knows it.
    #[n(11)]
    pub devices: Option<u64>,
}

/// A message's place in the chain of all that one device has said to everybody in one conversation, so that whoever lacks one
/// of them notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Link {
    /// Its number, from 0.
    #[n(0)]
    pub index: u64,
    /// From this number on, every device that this message is sealed to has been sealed to: who knows of nothing before has
    /// to have what lies between.
    #[n(1)]
    pub since: u64,
    /// [`Link::digest_of`] of the message before it; zeros for the first.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub previous: [u8; 32],
}

impl Link {
    /// What the next message says of this one: SHA-512/256 of its content as it was sealed.
    pub fn digest_of(content: &[u8]) -> [u8; 32] {
        sotto_crypto::digest(content)
    }
}

impl Content {
    /// A content of version 1 with nothing that is optional.
    pub fn new(conversation: Conversation, sent_at_ms: u64, body: Body) -> Self {
        Self {
            version: 1,
            conversation,
            sent_at_ms,
            expires_in_s: None,
            burn_after_read_s: None,
            body,
            reply_to: None,
            mentions: None,
            forwarded: None,
            heads: None,
            link: None,
            devices: None,
        }
    }
}

impl Content {
    /// When every copy but the retained one ends (milliseconds since the epoch): the expiry counts from sending, as its sender has signed
    /// it, and a sender's clock that runs ahead of the receiver's, to whom it came at this time, does not lengthen it. What a relay says
    /// of times does not count: one that lies could end a message before it is seen.
    pub fn ends_at_ms(&self, came_at_ms: u64) -> Option<u64> {
        let sent = self.sent_at_ms.min(came_at_ms);
        self.expires_in_s.map(|s| sent.saturating_add(s.saturating_mul(1000)))
    }
}

/// Names a message: an id alone would let one sender hide another's message by using its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct MessageRef {
    /// Who sent it.
    #[n(0)]
    pub sender: Address,
    /// From which device.
    #[n(1)]
    pub device: DeviceId,
    /// Its id.
    #[n(2)]
    pub message: MessageId,
}

/// Where a forwarded message comes from, as its forwarder says: nobody signs for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Forwarded {
    /// Who wrote it.
    #[n(0)]
    pub from: Address,
    /// When it was sent (milliseconds since the epoch).
    #[n(1)]
    pub sent_at_ms: u64,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Conversation {
    /// Between two people. Identified by the two addresses in order.
    #[n(0)]
    Direct(#[n(0)] Address, #[n(1)] Address),
    /// Between these people (with the sender, in order, no repeats), without moderation.
    #[n(1)]
    Group(#[n(0)] Vec<Address>),
    /// A room: its members, title and rules are what its signed events say ([`crate::room`]).
    #[n(2)]
    Room(#[n(0)] RoomId),
}

impl Conversation {
    /// The conversation of these people: direct for two (or a note to oneself), a group for more.
    pub fn of(people: impl IntoIterator<Item = Address>) -> Option<Self> {
        let mut members: Vec<Address> = people.into_iter().collect();
        members.sort();
        members.dedup();
        match members.as_slice() {
            [] => None,
            [only] => Some(Self::Direct(only.clone(), only.clone())),
            [a, b] => Some(Self::Direct(a.clone(), b.clone())),
            _ => Some(Self::Group(members)),
        }
    }

    /// Everybody in it; nobody for a room, whose members are not part of its name.
    pub fn members(&self) -> Vec<Address> {
        match self {
            Self::Direct(a, b) if a == b => vec![a.clone()],
            Self::Direct(a, b) => vec![a.clone(), b.clone()],
            Self::Group(members) => members.clone(),
            Self::Room(_) => Vec::new(),
        }
    }

    /// 64 characters that name it, the same on every device (settings.md: 64 hex; "G…" for a group, "S…" for a room):
    /// SHA-512/256 over label, kind and members in hex, for a group with its first digit replaced by `G`; for a room
    /// its id in hex with the first digit replaced by `S`.
    pub fn id(&self) -> String {
        if let Self::Room(room) = self {
            let mut id = data_encoding::HEXLOWER.encode(room.as_bytes());
            id.replace_range(0..1, "S");
            return id;
        }
        let mut input = b"sotto/2 conversation\0".to_vec();
        input.extend_from_slice(&sotto_crypto::encode(self));
        let mut id = data_encoding::HEXLOWER.encode(&sotto_crypto::digest(&input));
        if matches!(self, Self::Group(_)) {
            id.replace_range(0..1, "G");
        }
        id
    }
}

/// What was said, or done to what was said. What is done to a message by somebody who may not is ignored by everybody:
/// only its sender edits; its sender and a room's moderators delete and only they; members react, pin and send receipts.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// Text.
    #[n(0)]
    Text(#[n(0)] String),
    /// A file, a voice message or a video message.
    #[n(1)]
    File(#[n(0)] File),
    /// New words for a message, in place of its text or caption.
    #[n(2)]
    Edit(#[n(0)] MessageRef, #[n(1)] String),
    /// Takes a message back: every copy but a retained one is deleted.
    #[n(3)]
    Delete(#[n(0)] MessageRef),
    /// A reaction: one emoji (at most 64 bytes), put on or taken away.
    #[n(4)]
    React(#[n(0)] MessageRef, #[n(1)] String, #[n(2)] bool),
    /// These messages have come, or have been read; at most 256.
    #[n(5)]
    Receipt(#[n(0)] ReceiptKind, #[n(1)] Vec<MessageRef>),
    /// Pins a message in its conversation, or takes the pin away.
    #[n(6)]
    Pin(#[n(0)] MessageRef, #[n(1)] bool),
    /// The sender is typing, or has stopped. Travels as a signal only: never queued, never kept.
    #[n(7)]
    Typing(#[n(0)] bool),
    /// The sender's presence. Travels as a signal only.
    #[n(8)]
    Presence(#[n(0)] Presence),
    /// Events of the room that this conversation is: a new one, or all for a new member.
    #[n(9)]
    Room(#[n(0)] Vec<SignedRoomEvent>),
    /// Asks for the room's events that the sender lacks; the list is the newest ones it has.
    #[n(10)]
    RoomAsk(#[n(0)] Vec<EventId>),
    /// Asks this device for what has not come: messages of its chain in the conversation with this id, by number, in order; at
    /// most [`limits::MAX_RESEND`](crate::limits::MAX_RESEND). Only the device that is named answers.
    #[n(11)]
    Resend(#[n(0)] String, #[n(1)] DeviceId, #[n(2)] Vec<u64>),
    /// The sender's own message with this id, which somebody has asked for: its content as it was sealed.
    #[n(12)]
    Again(#[n(0)] MessageId, #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>),
    /// Of the sender's messages that somebody has asked for, in the conversation with this id: the numbers of those that its
    /// device does not have any more, and of those that were not sent to who asks.
    #[n(13)]
    Gone(#[n(0)] String, #[n(1)] Vec<u64>, #[n(2)] Vec<u64>),
    /// How far the sender's chain in this conversation has come: the place of the next message, so that who lacks the last one
    /// notices.
    #[n(14)]
    Head(#[n(0)] Link),
    /// Asks this device for messages that have come and could not be opened, by their ids, in order; at most
    /// [`limits::MAX_RESEND`](crate::limits::MAX_RESEND). Only the device that is named answers.
    #[n(15)]
    ResendById(#[n(0)] DeviceId, #[n(1)] Vec<MessageId>),
    /// Of the sender's messages that somebody has asked for by their ids: those that its device does not have any more, and those that
    /// have said nothing to anybody (questions and answers between devices).
    #[n(16)]
    GoneById(#[n(0)] Vec<MessageId>, #[n(1)] Vec<MessageId>),
}

/// What a receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ReceiptKind {
    /// It has come to a device.
    #[n(0)]
    Delivered,
    /// A person has read it.
    #[n(1)]
    Read,
}

/// Presence, as a person shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Presence {
    /// Active now.
    #[n(0)]
    Available,
    /// Not at the keyboard.
    #[n(1)]
    Away,
    /// Has closed the program.
    #[n(2)]
    Offline,
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum FileKind {
    /// Recorded speech, to be played in place.
    #[n(0)]
    Voice,
    /// A recorded video, to be played in place.
    #[n(1)]
    Video,
}

/// A file that travels as a sealed blob.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct File {
    /// Name without folders.
    #[n(0)]
    pub name: String,
    /// Clear size in bytes.
    #[n(1)]
    pub size: u64,
    /// Media type.
    #[n(2)]
    pub media_type: String,
    /// The network whose relay holds the blob.
    #[n(3)]
    pub domain: Domain,
    /// The blob there.
    #[n(4)]
    pub blob: BlobId,
    /// Opens the blob ([`sotto_crypto::AttachmentKey`]).
    #[cbor(n(5), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// SHA-512/256 of the sealed bytes.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// Words that came with it.
    #[n(7)]
    pub caption: Option<String>,
    /// What it is, where it is more than a file.
    #[n(8)]
    pub kind: Option<FileKind>,
    /// How long it plays (milliseconds).
    #[n(9)]
    pub duration_ms: Option<u64>,
    /// A small picture of it (JPEG or PNG, at most 16 KiB), to show before it is fetched.
    #[cbor(n(10), with = "minicbor::bytes")]
    pub preview: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a(s: &str) -> Address {
        Address::parse(s).unwrap()
    }

    /// What protocol 2 has added to what each device gets: the place in the chain and the list of devices. Header, wrap and body have
    /// nothing new.
    #[test]
    fn what_a_message_says_of_its_device_takes_64_bytes_at_most() {
        let conversation = Conversation::of([a("a@x.example"), a("b@x.example")]).unwrap();
        let bare = Content::new(conversation, 1_800_000_000_000, Body::Text("x".repeat(1024)));
        for number in [0, 1_000, u64::from(u32::MAX)] {
            let link = Link { index: number, since: number, previous: [7; 32] };
            let said = Content { link: Some(link), devices: Some(1_800_000_000_000), ..bare.clone() };
            let more = sotto_crypto::encode(&said).len() - sotto_crypto::encode(&bare).len();
            assert!(more <= 64, "{more} bytes for message {number}");
        }
    }

    #[test]
    fn a_conversation_is_the_same_from_both_sides() {
        let one = Conversation::of([a("a@x.example"), a("b@x.example")]).unwrap();
        let two = Conversation::of([a("b@x.example"), a("a@x.example"), a("b@x.example")]).unwrap();
        assert_eq!(one, two);
        assert_eq!(one.id(), two.id());
        assert_eq!(one.id().len(), 64);
    }

    #[test]
    fn a_group_says_so_in_its_id() {
        let g = Conversation::of([a("a@x.example"), a("b@x.example"), a("c@y.example")]).unwrap();
        assert!(g.id().starts_with('G'));
        assert_eq!(g.id().len(), 64);
        assert_eq!(g.members().len(), 3);
        assert_eq!(Conversation::of([]), None);
    }
}
