//! One event: its name, its form, who made it.

use sotto_crypto::{Device, IdentityPublic, Known, Signed, SigningKey};
use sotto_wire::room::{
    Created, EventId, MAX_MEMBERS, MAX_PARENTS, MAX_TITLE, RoomChange, RoomEvent, RoomId, SignedRoomEvent,
};

use crate::store::account::Account;

/// Before what is hashed for an event's name.
const ID_LABEL: &[u8] = b"sotto/2 room event\0";
/// Longest description in characters.
pub(crate) const MAX_DESCRIPTION: usize = 1000;
/// Bytes of one event's payload, so that it fits a message with its signature and certificate. Who has more to say makes
/// several.
pub(crate) const MAX_PAYLOAD: usize = 32 * 1024;
/// Longest expiry and burn time (seconds): ten years.
pub(crate) const MAX_SECONDS: u64 = 10 * 365 * 86_400;

/// An event with its name. Its form is good; its signature was verified by whoever made this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: EventId,
    pub(crate) event: RoomEvent,
}

/// Why something is no event of a room.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadEvent {
    /// Certificate, signature or encoding.
    #[error("it does not verify: {0}")]
    Signature(String),
    /// Certificate and event name different people or devices.
    #[error("its author is not whom its certificate names")]
    Author,
    /// Not of the form that an event must have.
    #[error("its form: {0}")]
    Form(&'static str),
}

/// The name of the event with this payload.
pub(crate) fn event_id(payload: &[u8]) -> EventId {
    EventId::from_bytes(sotto_crypto::digest(&[ID_LABEL, payload].concat()))
}

impl Entry {
    /// Of an event that was just made.
    pub(crate) fn of(event: RoomEvent) -> Result<Self, BadEvent> {
        let payload = sotto_crypto::encode(&event);
        check_form(&event, payload.len())?;
        Ok(Self { id: event_id(&payload), event })
    }

    /// The room that it belongs to.
    pub(crate) fn room(&self) -> RoomId {
        self.event.room.unwrap_or_else(|| self.id.into())
    }
}

/// Signs an event by this device.
pub(crate) fn sign(event: &RoomEvent, account: &Account) -> SignedRoomEvent {
    sign_as(event, &account.device_key, account.certificate.clone(), account.identity.clone())
}

pub(crate) fn sign_as(
    event: &RoomEvent,
    key: &SigningKey<Device>,
    certificate: Signed<sotto_crypto::DeviceCertificate>,
    identity: IdentityPublic,
) -> SignedRoomEvent {
    SignedRoomEvent { event: Signed::sign(event, key), certificate, identity }
}

/// Verifies that the device of the author made it, under the identity that came along. Whether that identity is the author's
/// is not known yet: the caller compares it with the pin.
pub(crate) fn verify(signed: &SignedRoomEvent, known: &mut Known) -> Result<Entry, BadEvent> {
    let device = known.device(&signed.identity, &signed.certificate).map_err(|e| BadEvent::Signature(e.to_string()))?;
    let event = signed.event.verify(device.key()).map_err(|e| BadEvent::Signature(e.to_string()))?;
    if &event.author != device.address() || event.device != device.device() {
        return Err(BadEvent::Author);
    }
    check_form(&event, signed.event.payload().len())?;
    Ok(Entry { id: event_id(signed.event.payload()), event })
}

/// What can be said of an event without its room.
fn check_form(event: &RoomEvent, payload: usize) -> Result<(), BadEvent> {
    let want = |good: bool, what| if good { Ok(()) } else { Err(BadEvent::Form(what)) };
    want(event.version == 1, "version 1 is known")?;
    want(payload <= MAX_PAYLOAD, "it has more than 32 KiB")?;
    let first = matches!(event.change, RoomChange::Create(_));
    want(first == event.room.is_none(), "the event that creates a room, and no other, names none")?;
    want(first == event.parents.is_empty(), "the event that creates a room, and no other, has no parents")?;
    want(event.parents.len() <= MAX_PARENTS, "it has more than 32 parents")?;
    want(ascending(&event.parents), "its parents are not in ascending order")?;
    match &event.change {
        RoomChange::Create(created) => check_created(event, created),
        RoomChange::Add(people) | RoomChange::Remove(people) => {
            want((1..=MAX_MEMBERS).contains(&people.len()), "1 to 500 people at a time")?;
            want(ascending(people), "its people are not in ascending order")
        }
        RoomChange::Title(title) => want(is_title(title), "a title has 1 to 100 characters"),
        RoomChange::Description(text) => want(is_description(text), "a description has at most 1,000 characters"),
        RoomChange::Expiry(time) | RoomChange::Burn(time) => want(is_time(*time), "a time is 1 s to ten years"),
        RoomChange::Leave | RoomChange::Moderator(..) | RoomChange::Close => Ok(()),
    }
}

fn check_created(event: &RoomEvent, created: &Created) -> Result<(), BadEvent> {
    let want = |good: bool, what| if good { Ok(()) } else { Err(BadEvent::Form(what)) };
    want(is_title(&created.title), "a title has 1 to 100 characters")?;
    want(created.members.len() < MAX_MEMBERS, "at most 500 members, with the author")?;
    want(ascending(&created.members) && ascending(&created.moderators), "its people are not in ascending order")?;
    want(!created.members.contains(&event.author), "the author is not listed among the members")?;
    let members = |who| created.members.binary_search(who).is_ok();
    want(created.moderators.iter().all(members), "a moderator is not listed among the members")?;
    want(is_time(created.expires_in_s) && is_time(created.burn_after_read_s), "a time is 1 s to ten years")
}

/// Whether a room may be called so: 1 to 100 characters, none of them a control character, not just space.
pub(crate) fn is_title(title: &str) -> bool {
    !title.trim().is_empty() && title.chars().count() <= MAX_TITLE && !title.chars().any(char::is_control)
}

/// Whether a room may be described so.
pub(crate) fn is_description(text: &str) -> bool {
    text.chars().count() <= MAX_DESCRIPTION
}

fn is_time(seconds: Option<u64>) -> bool {
    seconds.is_none_or(|s| (1..=MAX_SECONDS).contains(&s))
}

fn ascending<T: Ord>(items: &[T]) -> bool {
    items.is_sorted_by(|a, b| a < b)
}
