//! Rooms: their events in the order in which they came.

use minicbor::{Decode, Encode};
use rusqlite::OptionalExtension as _;
use sotto_wire::room::{EventId, RoomId, SignedRoomEvent};
use zeroize::Zeroizing;

use super::cipher::RowKey;
use super::db::{Tx, decode};
use crate::core::error::StoreError;

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

fn numbered(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, RowKey, Vec<u8>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

impl Tx<'_> {
    fn room_row(&self, room: &RoomId) -> RowKey {
        self.cipher.row("room", &[room.as_bytes()])
    }

    /// Adds an event. False where it was there before.
    pub(crate) fn add_room_event(&self, event: &RoomEventRecord) -> Result<bool, StoreError> {
        let row = self.cipher.row(TABLE, &[event.id.as_bytes()]);
        let clear = Zeroizing::new(sotto_crypto::encode(event));
        let sealed = self.cipher.seal(TABLE, &row, None, &clear)?;
        let added = self
            .sql
            .prepare_cached("INSERT INTO room_events (key, room, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute((row, self.room_row(&event.room), sealed))?;
        Ok(added > 0)
    }

    /// Whether anything of this room has come.
    pub(crate) fn has_room_events(&self, room: &RoomId) -> Result<bool, StoreError> {
        Ok(self
            .sql
            .prepare_cached("SELECT 1 FROM room_events WHERE room = ?1 LIMIT 1")?
            .exists([self.room_row(room)])?)
    }

    /// One event.
    pub(crate) fn room_event(&self, id: &EventId) -> Result<Option<RoomEventRecord>, StoreError> {
        let row = self.cipher.row(TABLE, &[id.as_bytes()]);
        let sealed: Option<Vec<u8>> = self
            .sql
            .prepare_cached("SELECT value FROM room_events WHERE key = ?1")?
            .query_row([row], |r| r.get(0))
            .optional()?;
        sealed.map(|sealed| decode(TABLE, &self.cipher.open(TABLE, &row, None, &sealed)?)).transpose()
    }

    /// The events of a room that were added after the one with this number, each with its number.
    pub(crate) fn room_events(&self, room: &RoomId, after: i64) -> Result<Vec<(i64, RoomEventRecord)>, StoreError> {
        let mut statement = self
            .sql
            .prepare_cached("SELECT seq, key, value FROM room_events WHERE room = ?1 AND seq > ?2 ORDER BY seq")?;
        let rows = statement.query_map((self.room_row(room), after), numbered)?.collect::<Result<Vec<_>, _>>()?;
        self.opened_events(rows)
    }

    /// The first `limit` events of all rooms that were added after the one with this number.
    pub(crate) fn all_room_events(&self, after: i64, limit: u32) -> Result<Vec<(i64, RoomEventRecord)>, StoreError> {
        let mut statement =
            self.sql.prepare_cached("SELECT seq, key, value FROM room_events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
        let rows = statement.query_map((after, limit), numbered)?.collect::<Result<Vec<_>, _>>()?;
        self.opened_events(rows)
    }

    fn opened_events(&self, rows: Vec<(i64, RowKey, Vec<u8>)>) -> Result<Vec<(i64, RoomEventRecord)>, StoreError> {
        let open = |(seq, row, sealed): (i64, RowKey, Vec<u8>)| {
            Ok((seq, decode(TABLE, &self.cipher.open(TABLE, &row, None, &sealed)?)?))
        };
        rows.into_iter().map(open).collect()
    }
}
