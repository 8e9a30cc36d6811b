//! What is done rather than said: edits, reactions, receipts, deletions, pins, and the events of rooms. Pure.
//!
//! The numbers and the names `control`, `edit`, `originalmessageid`, `msgid`, `isrecall`, `masters`, `members`, `bor`, `ttl` and
//! `changemask` are those that administrators know (AWS Wickr, "message formats" and "control messages"); `bor` and `ttl` are
//! seconds there. What has no documented field says so in plain words.

use serde::Serialize;
use sotto_crypto::{Address, Signed};
use sotto_wire::content::{Body, MessageRef, ReceiptKind};
use sotto_wire::room::{Created, RoomChange, RoomEvent, SignedRoomEvent};

use super::{FILE, TEXT, UNREADABLE, rfc3339, texts};

const CREATE_ROOM: u16 = 4001;
const MODIFY_MEMBERS: u16 = 4002;
const LEAVE_ROOM: u16 = 4003;
const MODIFY_ROOM: u16 = 4004;
const DELETE_ROOM: u16 = 4005;
const DELETE_MESSAGE: u16 = 4011;
const MESSAGE_ATTRIBUTES: u16 = 4012;
const SYNC_REQUEST: u16 = 4013;
const EDIT: u16 = 9000;
const REACTION: u16 = 9100;
const RECEIPT: u16 = 9200;

/// Bits of `changemask`.
const MASTERS: u8 = 1;
const TTL: u8 = 2;
const TITLE: u8 = 4;
const DESCRIPTION: u8 = 8;
const BOR: u8 = 32;

/// What a body does, for the document.
#[derive(Default)]
pub(super) struct Deed {
    pub(super) msgtype: u16,
    pub(super) edit: Option<Edit>,
    pub(super) receipt: Option<Receipt>,
    pub(super) control: Option<Control>,
    /// The events of a room, where more than one came: a new member gets all of them.
    pub(super) events: Vec<Control>,
}

/// New words for a message, or a reaction to it.
#[derive(Serialize)]
pub(super) struct Edit {
    originalmessageid: String,
    originalsender: String,
    text: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<bool>,
}

/// Messages that have come, or were read.
#[derive(Serialize)]
pub(super) struct Receipt {
    kind: &'static str,
    messages: Vec<Target>,
}

#[derive(Serialize)]
struct Target {
    message_id: String,
    sender: String,
}

/// A change of a room, or of a message in its conversation.
#[derive(Default, Serialize)]
pub(super) struct Control {
    msgtype: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    changemask: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// As the room was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    masters: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addedmembers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removedmembers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addedmasters: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removedmasters: Option<Vec<String>>,
    /// Seconds from sending; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    /// Seconds from reading; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    bor: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msgid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msgsender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    isrecall: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<bool>,
    /// Who did it and when, by the author's own clock: an event may be passed on by somebody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authored_at: Option<String>,
}

impl Deed {
    /// What `body` does, when `sender` sends it.
    pub(super) fn of(body: &Body, sender: Option<&Address>) -> Self {
        match body {
            Body::Text(_) => Self { msgtype: TEXT, ..Self::default() },
            Body::File(_) => Self { msgtype: FILE, ..Self::default() },
            Body::Typing(_) | Body::Presence(_) | Body::Again(..) => Self { msgtype: UNREADABLE, ..Self::default() },
            Body::Edit(target, words) => Self::edit(EDIT, target, words, "text", None),
            Body::React(target, emoji, on) => Self::edit(REACTION, target, emoji, "reaction", Some(!on)),
            Body::Receipt(kind, messages) => {
                let kind = match kind {
                    ReceiptKind::Delivered => "delivered",
                    ReceiptKind::Read => "read",
                };
                let messages = messages
                    .iter()
                    .map(|m| Target { message_id: m.message.to_string(), sender: m.sender.to_string() })
                    .collect();
                Self { msgtype: RECEIPT, receipt: Some(Receipt { kind, messages }), ..Self::default() }
            }
            Body::Delete(target) => Self::control(Control {
                msgtype: DELETE_MESSAGE,
                isrecall: Some(sender == Some(&target.sender)),
                ..Control::on(target)
            }),
            Body::Pin(target, on) => {
                Self::control(Control { msgtype: MESSAGE_ATTRIBUTES, pinned: Some(*on), ..Control::on(target) })
            }
            Body::Room(events) => Self::room(events),
            Body::RoomAsk(_)
            | Body::Resend(..)
            | Body::Gone(..)
            | Body::Head(_)
            | Body::ResendById(..)
            | Body::GoneById(..) => Self::control(Control { msgtype: SYNC_REQUEST, ..Control::default() }),
        }
    }

    fn edit(msgtype: u16, target: &MessageRef, text: &str, kind: &'static str, removed: Option<bool>) -> Self {
        let edit = Edit {
            originalmessageid: target.message.to_string(),
            originalsender: target.sender.to_string(),
            text: text.to_owned(),
            kind,
            removed,
        };
        Self { msgtype, edit: Some(edit), ..Self::default() }
    }

    fn control(control: Control) -> Self {
        Self { msgtype: control.msgtype, control: Some(control), ..Self::default() }
    }

    /// One event is a control message of its own; several say what the room has become for somebody who is new.
    fn room(events: &[SignedRoomEvent]) -> Self {
        let mut controls: Vec<Control> = events.iter().map(|signed| Control::of(&signed.event)).collect();
        match controls.len() {
            1 => controls.pop().map(Self::control).unwrap_or_default(),
            _ => Self { msgtype: MODIFY_MEMBERS, events: controls, ..Self::default() },
        }
    }
}

impl Control {
    fn on(target: &MessageRef) -> Self {
        Self { msgid: Some(target.message.to_string()), msgsender: Some(target.sender.to_string()), ..Self::default() }
    }

    /// An event; whether its author may do what it says is for the members to decide.
    fn of(event: &Signed<RoomEvent>) -> Self {
        let Ok(event) = event.unverified() else { return Self { msgtype: UNREADABLE, ..Self::default() } };
        let change = match event.change {
            RoomChange::Create(created) => Self::created(&event.author, created),
            RoomChange::Add(people) => {
                Self { msgtype: MODIFY_MEMBERS, addedmembers: Some(texts(&people)), ..Self::default() }
            }
            RoomChange::Remove(people) => {
                Self { msgtype: MODIFY_MEMBERS, removedmembers: Some(texts(&people)), ..Self::default() }
            }
            RoomChange::Leave => Self { msgtype: LEAVE_ROOM, ..Self::default() },
            RoomChange::Moderator(who, on) => {
                let who = Some(texts(&[who]));
                let (addedmasters, removedmasters) = if on { (who, None) } else { (None, who) };
                Self { addedmasters, removedmasters, ..Self::modified(MASTERS) }
            }
            RoomChange::Title(title) => Self { title: Some(title), ..Self::modified(TITLE) },
            RoomChange::Description(text) => Self { description: Some(text), ..Self::modified(DESCRIPTION) },
            RoomChange::Expiry(seconds) => Self { ttl: Some(seconds.unwrap_or(0)), ..Self::modified(TTL) },
            RoomChange::Burn(seconds) => Self { bor: Some(seconds.unwrap_or(0)), ..Self::modified(BOR) },
            RoomChange::Close => Self { msgtype: DELETE_ROOM, ..Self::default() },
        };
        Self { author: Some(event.author.to_string()), authored_at: Some(rfc3339(event.at_ms)), ..change }
    }

    fn created(author: &Address, created: Created) -> Self {
        let with_author = |people: &[Address]| {
            let mut all = texts(people);
            all.push(author.to_string());
            all.sort();
            all
        };
        Self {
            msgtype: CREATE_ROOM,
            changemask: Some(MASTERS | TTL | TITLE | DESCRIPTION | BOR),
            members: Some(with_author(&created.members)),
            masters: Some(with_author(&created.moderators)),
            ttl: Some(created.expires_in_s.unwrap_or(0)),
            bor: Some(created.burn_after_read_s.unwrap_or(0)),
            title: Some(created.title),
            description: Some(String::new()),
            ..Self::default()
        }
    }

    fn modified(changemask: u8) -> Self {
        Self { msgtype: MODIFY_ROOM, changemask: Some(changemask), ..Self::default() }
    }
}
