//! Rooms: their events in the order in which they came, and deliveries that wait for events.

use minicbor::{Decode, Encode};
use rusqlite::OptionalExtension as _;
use sotto_wire::content::MessageRef;
use sotto_wire::room::{EventId, RoomId, SignedRoomEvent};
use zeroize::Zeroizing;

use super::cipher::RowKey;
use super::talk::parts_of;
use super::{Record, Tx, decode};
use crate::error::StoreError;

const TABLE: &str = "room_events";

/// An event whose signature was verified, and whose identity is that of its author.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct RoomEventRecord {
    #[n(0)]
    pub(crate) room: RoomId,
    #[n(1)]
    pub(crate) id: EventId,
    #[n(2)]
    pub(crate) signed: SignedRoomEvent,
}

/// A delivery of a message that was sent by somebody who knew more events of its room. It was acknowledged, so that
/// others can come, and is opened again when the events are here.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct HeldRecord {
    /// The message.
    #[n(0)]
    pub(crate) key: MessageRef,
    #[n(1)]
    pub(crate) room: RoomId,
    /// As it came: sealed, CBOR of [`sotto_wire::api::Delivery`].
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) delivery: Vec<u8>,
    /// Its position in the device's queue: they are opened in the order in which they came.
    #[n(3)]
    pub(crate) order: u64,
}

fn numbered(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, RowKey, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

impl Record for HeldRecord {
    const TABLE: &'static str = "room_held";
    fn key(&self) -> Vec<Vec<u8>> {
        parts_of(&self.key)
    }
}

impl Tx<'_> {
    fn room_row(&self, room: &RoomId) -> RowKey {
        self.cipher.row("room", &[room.as_bytes()])
    }

    /// Adds an event. False where it was there before.
    pub(crate) fn add_room_event(&self, event: &RoomEventRecord) -> Result<bool, StoreError> {
        let row = self.cipher.row(TABLE, &[event.id.as_bytes()]);
        let clear = Zeroizing::new(sotto_crypto::encode(event));
        let sealed = self.cipher.seal(TABLE, &row, &clear)?;
        let added = self
            .tx
            .prepare_cached("INSERT INTO room_events (key, room, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute((row, self.room_row(&event.room), sealed))?;
        Ok(added > 0)
    }

    /// One event.
    pub(crate) fn room_event(&self, id: &EventId) -> Result<Option<RoomEventRecord>, StoreError> {
        let row = self.cipher.row(TABLE, &[id.as_bytes()]);
        let sealed: Option<Vec<u8>> = self
            .tx
            .prepare_cached("SELECT value FROM room_events WHERE key = ?1")?
            .query_row([row], |r| r.get(0))
            .optional()?;
        sealed.map(|sealed| decode(TABLE, &self.cipher.open(TABLE, &row, &sealed)?)).transpose()
    }

    /// The events of a room that were added after the one with this number, each with its number.
    pub(crate) fn room_events(&self, room: &RoomId, after: i64) -> Result<Vec<(i64, RoomEventRecord)>, StoreError> {
        let mut statement = self
            .tx
            .prepare_cached("SELECT seq, key, value FROM room_events WHERE room = ?1 AND seq > ?2 ORDER BY seq")?;
        let rows = statement.query_map((self.room_row(room), after), numbered)?.collect::<Result<Vec<_>, _>>()?;
        self.opened(rows)
    }

    /// The first `limit` events of all rooms that were added after the one with this number.
    pub(crate) fn all_room_events(&self, after: i64, limit: u32) -> Result<Vec<(i64, RoomEventRecord)>, StoreError> {
        let mut statement =
            self.tx.prepare_cached("SELECT seq, key, value FROM room_events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let rows = statement.query_map((after, limit), numbered)?.collect::<Result<Vec<_>, _>>()?;
        self.opened(rows)
    }

    fn opened(&self, rows: Vec<(i64, RowKey, Vec<u8>)>) -> Result<Vec<(i64, RoomEventRecord)>, StoreError> {
        let open = |(seq, row, sealed): (i64, RowKey, Vec<u8>)| {
            Ok((seq, decode(TABLE, &self.cipher.open(TABLE, &row, &sealed)?)?))
        };
        rows.into_iter().map(open).collect()
    }
}
