//! Brings the store of an older version forward. Nothing is lost; what must end goes under keys that can be erased.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, IdentityPublic};
use sotto_wire::content::MessageRef;
use sotto_wire::room::RoomId;

use super::aside::{Aside, Reason};
use super::cipher::RowKey;
use super::db::Tx;
use super::links::{HistoryIn, HistoryOut, PendingLink};
use super::records::{Change, Pin, PrekeyRecord, Record, SeenIn};
use super::{annotations, messages, outbox};
use crate::core::error::StoreError;

/// Form 1 had no keys that can be erased.
pub(super) fn add_columns(tx: &Tx<'_>) -> Result<(), StoreError> {
    for table in ["cells", "messages", "annotations", "outbox"] {
        tx.tx.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN slot INTEGER"))?;
    }
    Ok(())
}

/// A pin of form 1.
#[derive(Encode, Decode)]
#[cbor(array)]
struct OldPin {
    #[n(0)]
    address: Address,
    #[n(1)]
    identity: IdentityPublic,
    #[n(2)]
    verified: bool,
    #[n(3)]
    since_ms: u64,
    #[n(4)]
    shown: Option<IdentityPublic>,
}

impl Record for OldPin {
    const TABLE: &'static str = Pin::TABLE;
    fn key(&self) -> Vec<Vec<u8>> {
        Pin::key_of(&self.address).to_vec()
    }
}

/// A message that waited for events of its room in form 1.
#[derive(Encode, Decode)]
#[cbor(array)]
struct OldHeld {
    #[n(0)]
    key: MessageRef,
    #[n(1)]
    room: RoomId,
    #[cbor(n(2), with = "minicbor::bytes")]
    delivery: Vec<u8>,
    #[n(3)]
    order: u64,
}

impl Record for OldHeld {
    const TABLE: &'static str = "room_held";
    fn key(&self) -> Vec<Vec<u8>> {
        super::parts_of(&self.key)
    }
}

/// Writes the values of form 1 as they are in this one.
pub(super) fn from_form_1(tx: &Tx<'_>) -> Result<(), StoreError> {
    for old in tx.list::<OldPin>()? {
        let since_ms = old.since_ms;
        let change = old.shown.map(|other| Change { other, since_ms, seen_in: SeenIn::Recipients });
        tx.put(&Pin { address: old.address, identity: old.identity, verified: old.verified, since_ms, change })?;
    }
    for old in tx.list::<OldHeld>()? {
        tx.delete::<OldHeld>(&old.key())?;
        let OldHeld { key, room, delivery, order } = old;
        // Kept from now on for as long as anything that is set aside.
        tx.put_aside(&Aside { key, reason: Reason::RoomEvents(room), delivery, order }, crate::core::clock::now_ms())?;
    }
    again::<PrekeyRecord>(tx)?;
    again::<PendingLink>(tx)?;
    again::<HistoryOut>(tx)?;
    again::<HistoryIn>(tx)?;
    for (table, name) in [(messages::TABLE, "messages"), (annotations::TABLE, "annotations"), (outbox::TABLE, "outbox")]
    {
        under_keys(tx, table, name)?;
    }
    Ok(())
}

fn again<R: Record>(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.list::<R>()?.iter().try_for_each(|record| tx.put(record))
}

/// Seals every value of a table under a key of its own.
fn under_keys(tx: &Tx<'_>, table: &'static str, name: &str) -> Result<(), StoreError> {
    let rows: Vec<RowKey> =
        tx.tx.prepare(&format!("SELECT key FROM {name}"))?.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
    let mut read = tx.tx.prepare(&format!("SELECT value FROM {name} WHERE key = ?1"))?;
    let mut write = tx.tx.prepare(&format!("UPDATE {name} SET value = ?2, slot = ?3 WHERE key = ?1"))?;
    for row in rows {
        let sealed: Vec<u8> = read.query_row([row], |r| r.get(0))?;
        // One that does not open is damaged, and stays what it is.
        let Ok(clear) = tx.cipher.open(table, &row, None, &sealed) else { continue };
        let (sealed, slot) = tx.seal_ending(table, &row, &clear)?;
        write.execute((row, sealed, slot))?;
    }
    Ok(())
}
