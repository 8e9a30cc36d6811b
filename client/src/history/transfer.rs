//! What of the store travels to another device of the same user. Everything that a person would miss is in [`KINDS`]: a new
//! kind of record is added there, and nowhere else. What belongs to a device alone (keys, prekeys, the outbox, the memory of
//! repeats) stays.

use sotto_crypto::{decode_strict, encode};

use crate::core::error::StoreError;
use crate::store::{
    AccountRecord, Annotation, ConversationRecord, MessageState, Pin, Record, RoomEventRecord, SettingsRecord,
    StoredMessage, Tx, list_all,
};
use crate::talk::apply;
use crate::trust::pins::take_over;

/// Messages in one piece of work.
const PAGE: u32 = 200;

/// One kind of record that travels.
pub(crate) struct Kind {
    /// Its name in the stream.
    pub(crate) name: &'static str,
    /// The next records from a cursor on, and the cursor behind them; `None` at the end. A first call has the cursor `None`.
    pub(crate) export: fn(&Tx<'_>, Option<&[u8]>) -> Result<Page, StoreError>,
    /// Puts a record into the store, unless what is there says more. Whether anything has changed.
    pub(crate) import: fn(&Tx<'_>, &[u8], u64) -> Result<Imported, StoreError>,
}

/// A piece of an export.
pub(crate) struct Page {
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) next: Option<Vec<u8>>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Imported {
    /// It is in the store now.
    New,
    /// It was there, or what is there counts for more.
    Known,
    /// It cannot be read: a newer version has made it.
    Unreadable,
}

/// All kinds, in the order in which they travel: conversations before their messages, messages before what was done to them.
pub(crate) const KINDS: &[Kind] = &[
    Kind { name: "pin", export: all::<Pin>, import: import_pin },
    Kind { name: "room event", export: export_room_events, import: import_room_event },
    Kind { name: "conversation", export: all::<ConversationRecord>, import: import_conversation },
    Kind { name: "message", export: export_messages, import: import_message },
    Kind { name: "annotation", export: export_annotations, import: import_annotation },
    Kind { name: "settings", export: all::<SettingsRecord>, import: import_settings },
];

/// A table that is small enough to go at once.
fn all<R: Record>(tx: &Tx<'_>, _: Option<&[u8]>) -> Result<Page, StoreError> {
    Ok(Page { records: list_all::<R>(tx)?.iter().map(|record| encode(record)).collect(), next: None })
}

/// Newest first, so that each that comes in can go before all that are there.
fn export_messages(tx: &Tx<'_>, before: Option<&[u8]>) -> Result<Page, StoreError> {
    let before = before.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    let page = tx.page(None, before, PAGE)?;
    let first = page.first().filter(|_| page.len() == PAGE as usize);
    let next = first.map(|placed| placed.position.to_be_bytes().to_vec());
    // What is being sent is this device's to finish; when it is, the other one gets a copy.
    let own = |state| matches!(state, MessageState::Sending | MessageState::Queued);
    // What is missing here need not be missing there.
    let travels = |message: &StoredMessage| !own(message.state) && message.missing.is_none();
    let sent = page.iter().rev().filter(|placed| travels(&placed.message));
    Ok(Page { records: sent.map(|placed| encode(&placed.message)).collect(), next })
}

fn export_annotations(tx: &Tx<'_>, after: Option<&[u8]>) -> Result<Page, StoreError> {
    let (annotations, next) = tx.annotations_after(after, PAGE)?;
    Ok(Page { records: annotations.iter().map(encode).collect(), next })
}

fn export_room_events(tx: &Tx<'_>, after: Option<&[u8]>) -> Result<Page, StoreError> {
    let after = after.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes);
    let events = tx.all_room_events(after, PAGE)?;
    let next = events.last().filter(|_| events.len() == PAGE as usize).map(|(seq, _)| seq.to_be_bytes().to_vec());
    Ok(Page { records: events.iter().map(|(_, event)| encode(event)).collect(), next })
}

/// The other device has compared its author's identity.
fn import_room_event(tx: &Tx<'_>, bytes: &[u8], _: u64) -> Result<Imported, StoreError> {
    let Ok(event) = decode_strict::<RoomEventRecord>(bytes) else { return Ok(Imported::Unreadable) };
    Ok(if tx.add_room_event(&event)? { Imported::New } else { Imported::Known })
}

/// What it does to the message, it does here too: words are put away, a time begins to run.
fn import_annotation(tx: &Tx<'_>, bytes: &[u8], now_ms: u64) -> Result<Imported, StoreError> {
    let Ok(annotation) = decode_strict::<Annotation>(bytes) else { return Ok(Imported::Unreadable) };
    if tx.annotations(&annotation.target)?.contains(&annotation) {
        return Ok(Imported::Known);
    }
    let Some(account) = tx.get::<AccountRecord>(&[])? else { return Ok(Imported::Unreadable) };
    apply::annotate(tx, &account.address, &annotation, now_ms)?;
    Ok(Imported::New)
}

fn import_settings(tx: &Tx<'_>, bytes: &[u8], _: u64) -> Result<Imported, StoreError> {
    let Ok(record) = decode_strict::<SettingsRecord>(bytes) else { return Ok(Imported::Unreadable) };
    if tx.get::<SettingsRecord>(&[])?.is_some() {
        return Ok(Imported::Known);
    }
    tx.put(&record)?;
    Ok(Imported::New)
}

fn import_message(tx: &Tx<'_>, bytes: &[u8], now_ms: u64) -> Result<Imported, StoreError> {
    let Ok(message) = decode_strict::<StoredMessage>(bytes) else { return Ok(Imported::Unreadable) };
    if message.expires_at_ms.is_some_and(|end| end <= now_ms) {
        return Ok(Imported::Known);
    }
    Ok(if tx.put_message_before(&message)? { Imported::New } else { Imported::Known })
}

fn import_conversation(tx: &Tx<'_>, bytes: &[u8], _: u64) -> Result<Imported, StoreError> {
    let Ok(mut record) = decode_strict::<ConversationRecord>(bytes) else { return Ok(Imported::Unreadable) };
    // Places are each device's own; the messages say them as they come.
    record.last = 0;
    if tx.get::<ConversationRecord>(&record.key())?.is_some() {
        return Ok(Imported::Known);
    }
    tx.put(&record)?;
    Ok(Imported::New)
}

fn import_pin(tx: &Tx<'_>, bytes: &[u8], now_ms: u64) -> Result<Imported, StoreError> {
    let Ok(theirs) = decode_strict::<Pin>(bytes) else { return Ok(Imported::Unreadable) };
    Ok(if take_over(tx, &theirs, now_ms)? { Imported::New } else { Imported::Known })
}
