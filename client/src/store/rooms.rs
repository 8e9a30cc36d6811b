//! Rooms: their events in the order in which they came; and, apart from them, events that have no place in a room of the
//! user's, or not yet. Of those so much is kept of each who brings them and of each network, for so long.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};
use rusqlite::OptionalExtension as _;
use sotto_crypto::Address;
use sotto_wire::room::{EventId, RoomId, SignedRoomEvent};
use zeroize::Zeroizing;

use super::aside::KEPT_MS;
use super::cipher::RowKey;
use super::db::{Tx, decode};
use super::messages::clamp;
use super::quota::{Quota, Share};
use crate::core::error::StoreError;

const TABLE: &str = "room_events";
const PENDING: &str = "room_pending";
/// Of one who brings them: as many events as a room may have, since it is by the last of them that the room may become the
/// user's.
const QUOTA: Quota = Quota {
    table: PENDING,
    of_sender: Share { rows: 10_000, bytes: 16 * 1024 * 1024 },
    of_network: Share { rows: 20_000, bytes: 32 * 1024 * 1024 },
};

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

    /// Adds an event, which is pending no more. False where it was there before.
    pub(crate) fn add_room_event(&self, event: &RoomEventRecord) -> Result<bool, StoreError> {
        self.delete_pending_event(&event.id)?;
        let (row, sealed) = self.sealed_event(TABLE, event)?;
        let added = self
            .sql
            .prepare_cached("INSERT INTO room_events (key, room, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
            .execute((row, self.room_row(&event.room), sealed))?;
        Ok(added > 0)
    }

    fn sealed_event(&self, table: &'static str, event: &RoomEventRecord) -> Result<(RowKey, Vec<u8>), StoreError> {
        let row = self.cipher.row(table, &[event.id.as_bytes()]);
        let clear = Zeroizing::new(sotto_crypto::encode(event));
        Ok((row, self.cipher.seal(table, &row, None, &clear)?))
    }

    fn bringer_rows(&self, bringer: &Address) -> (RowKey, RowKey) {
        let row = |what: &[u8], who: &str| self.cipher.row(PENDING, &[what, who.as_bytes()]);
        (row(b"sender", bringer.as_str()), row(b"network", bringer.domain_str()))
    }

    /// What may still be kept of what somebody brings.
    pub(crate) fn pending_left(&self, bringer: &Address) -> Result<Share, StoreError> {
        let (sender, network) = self.bringer_rows(bringer);
        QUOTA.left(&self.sql, &sender, &network)
    }

    /// Keeps an event that somebody has brought and that has no place yet, where it fits what is left of their share.
    pub(crate) fn put_pending_event(
        &self,
        event: &RoomEventRecord,
        bringer: &Address,
        left: &mut Share,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let (row, sealed) = self.sealed_event(PENDING, event)?;
        let size = sealed.len() as u64;
        if !left.take(size) {
            return Ok(false);
        }
        let (sender, network) = self.bringer_rows(bringer);
        self.sql
            .prepare_cached(
                "INSERT INTO room_pending (key, room, sender, network, bytes, forget_at_ms, value)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute((
                row,
                self.room_row(&event.room),
                sender,
                network,
                clamp(size),
                clamp(now_ms.saturating_add(KEPT_MS)),
                sealed,
            ))?;
        Ok(true)
    }

    /// One event that has no place yet.
    pub(crate) fn pending_event(&self, id: &EventId) -> Result<Option<RoomEventRecord>, StoreError> {
        self.event_of(PENDING, "SELECT value FROM room_pending WHERE key = ?1", id)
    }

    /// The events of a room that have no place yet, in no order that means anything.
    pub(crate) fn pending_events(&self, room: &RoomId) -> Result<Vec<RoomEventRecord>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT key, value FROM room_pending WHERE room = ?1")?;
        let rows = statement
            .query_map([self.room_row(room)], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<Result<Vec<(RowKey, Vec<u8>)>, _>>()?;
        rows.iter().map(|(row, sealed)| decode(PENDING, &self.cipher.open(PENDING, row, None, sealed)?)).collect()
    }

    /// Forgets an event that had no place.
    pub(crate) fn delete_pending_event(&self, id: &EventId) -> Result<(), StoreError> {
        let row = self.cipher.row(PENDING, &[id.as_bytes()]);
        self.sql.prepare_cached("DELETE FROM room_pending WHERE key = ?1")?.execute([row])?;
        Ok(())
    }

    /// Forgets what has found no place for too long.
    pub(super) fn end_pending_events(&self, now_ms: u64) -> Result<(), StoreError> {
        self.sql.prepare_cached("DELETE FROM room_pending WHERE forget_at_ms <= ?1")?.execute([clamp(now_ms)])?;
        Ok(())
    }

    /// Forgets the events of all rooms but these.
    pub(super) fn keep_room_events_of(&self, rooms: &[RoomId]) -> Result<(), StoreError> {
        let keep: BTreeSet<RowKey> = rooms.iter().map(|room| self.room_row(room)).collect();
        let here: Vec<RowKey> = self
            .sql
            .prepare("SELECT DISTINCT room FROM room_events")?
            .query_map([], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for room in here.iter().filter(|room| !keep.contains(*room)) {
            self.sql.prepare_cached("DELETE FROM room_events WHERE room = ?1")?.execute([room])?;
        }
        Ok(())
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
        self.event_of(TABLE, "SELECT value FROM room_events WHERE key = ?1", id)
    }

    fn event_of(&self, table: &'static str, query: &str, id: &EventId) -> Result<Option<RoomEventRecord>, StoreError> {
        let row = self.cipher.row(table, &[id.as_bytes()]);
        let sealed: Option<Vec<u8>> = self.sql.prepare_cached(query)?.query_row([row], |r| r.get(0)).optional()?;
        sealed.map(|sealed| decode(table, &self.cipher.open(table, &row, None, &sealed)?)).transpose()
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
