//! Links.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Sqlite, is_foreign_key};
use crate::store::{Answer, LinkBounds, LinkId, Links, NewSlot, PutSlot, StoreError};

/// Slots that one sweep removes at most: each has up to 64 KiB.
const SWEEP: usize = 64;

impl Links for Sqlite {
    fn put_slot(&self, new: NewSlot, bounds: LinkBounds, now_ms: u64) -> Answer<'_, PutSlot> {
        self.write(move |work| match put(work.connection(), &new, bounds, now_ms)? {
            PutSlot::Stored => Ok(PutSlot::Stored),
            refused => Ok(work.roll_back(refused)),
        })
    }

    fn slot(&self, local: String, link: LinkId, slot: u32, now_ms: u64) -> Answer<'_, Option<Vec<u8>>> {
        self.read(move |connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT s.bytes FROM links l JOIN link_slots s ON s.local = l.local AND s.link = l.link
                     WHERE l.local = ?1 AND l.link = ?2 AND s.slot = ?3 AND l.expires_ms > ?4",
                )?
                .query_row(params![local, link, slot, now_ms], |row| row.get(0))
                .optional()?)
        })
    }

    fn delete_link(&self, local: String, link: LinkId) -> Answer<'_, ()> {
        self.write(move |work| {
            work.connection()
                .execute("UPDATE links SET expires_ms = 0 WHERE local = ?1 AND link = ?2", params![local, link])?;
            Ok(())
        })
    }
}

fn put(connection: &Connection, new: &NewSlot, bounds: LinkBounds, now_ms: u64) -> Result<PutSlot, StoreError> {
    // One that has ended and not been swept is another link of the same name.
    connection
        .prepare_cached("DELETE FROM links WHERE local = ?1 AND link = ?2 AND expires_ms <= ?3")?
        .execute(params![new.local, new.link, now_ms])?;
    let there: Option<Vec<u8>> = connection
        .prepare_cached("SELECT bytes FROM link_slots WHERE local = ?1 AND link = ?2 AND slot = ?3")?
        .query_row(params![new.local, new.link, new.slot], |row| row.get(0))
        .optional()?;
    let added = match &there {
        Some(bytes) if *bytes == new.bytes => 0,
        Some(_) => return Ok(PutSlot::Taken),
        None => new.bytes.len() as u64,
    };
    let inserted = connection
        .prepare_cached(
            "INSERT INTO links (local, link, size, expires_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (local, link) DO UPDATE SET size = size + excluded.size, expires_ms = excluded.expires_ms",
        )?
        .execute(params![new.local, new.link, added, new.expires_at_ms]);
    match inserted {
        Ok(_) => {}
        Err(error) if is_foreign_key(&error) => return Ok(PutSlot::NoUser),
        Err(error) => return Err(error.into()),
    }
    let (links, bytes): (u32, u64) = connection
        .prepare_cached("SELECT count(*), coalesce(sum(size), 0) FROM links WHERE local = ?1 AND expires_ms > ?2")?
        .query_row(params![new.local, now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if links > bounds.links {
        return Ok(PutSlot::TooMany);
    }
    if bytes > bounds.bytes {
        return Ok(PutSlot::TooMuch);
    }
    if there.is_none() {
        connection
            .prepare_cached("INSERT INTO link_slots (local, link, slot, bytes) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![new.local, new.link, new.slot, new.bytes])?;
    }
    Ok(PutSlot::Stored)
}

/// Ends all links of a user; their bytes are swept.
pub(super) fn end_all(connection: &Connection, local: &str) -> Result<(), StoreError> {
    connection.prepare_cached("UPDATE links SET expires_ms = 0 WHERE local = ?1")?.execute([local])?;
    Ok(())
}

/// Removes links that have ended, a bounded number of slots at a time; whether there is more.
pub(super) fn sweep(connection: &Connection, now_ms: u64) -> Result<bool, StoreError> {
    let slots = connection
        .prepare_cached(
            "DELETE FROM link_slots WHERE rowid IN (
               SELECT s.rowid FROM links l JOIN link_slots s ON s.local = l.local AND s.link = l.link
               WHERE l.expires_ms <= ?1 LIMIT ?2)",
        )?
        .execute(params![now_ms, SWEEP])?;
    if slots == SWEEP {
        return Ok(true);
    }
    connection.prepare_cached("DELETE FROM links WHERE expires_ms <= ?1")?.execute([now_ms])?;
    Ok(false)
}
