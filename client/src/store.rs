//! The local store: SQLite, every value sealed, every row key hidden. Safe for several processes and for kill -9: each
//! change is one transaction that is on disk when it returns.

pub(crate) mod account;
mod annotations;
mod aside;
mod cipher;
mod documents;
mod erasable;
pub(crate) mod key;
mod links;
mod messages;
mod migrate;
mod outbox;
pub(crate) mod profile;
mod records;
mod rooms;
mod sweep;
mod talk;

use std::cell::RefCell;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use zeroize::Zeroizing;

use crate::core::error::{Error, StoreError};
use crate::core::platform::blocking;
use cipher::{Cipher, RowKey};
use erasable::{Erasable, Slot};
use key::StoreKey;

pub(crate) use aside::{Aside, AsideCount, Reason};
pub(crate) use documents::{MembershipRecord, PeerRecord, PolicyRecord};
pub(crate) use links::{HistoryIn, HistoryOffered, HistoryOut, PendingLink};
pub(crate) use messages::{MessageKey, Placed, Unread};
pub(crate) use outbox::outbox_all;
pub(crate) use records::{
    AccountRecord, BatchRecord, Change, MessageState, Pin, PrekeyRecord, Record, Serials, StoredMessage,
};
pub use records::{LeftOut, SeenIn};
pub(crate) use rooms::RoomEventRecord;
pub(crate) use sweep::sweep;
pub(crate) use talk::{
    Annotation, Audience, ConversationRecord, Mark, OutboxKind, OutboxRecord, PendingReceipt, SettingsRecord,
    conversation, parts_of,
};

/// Form of the tables.
const FORM: i64 = 2;

const TABLES: &str = "
CREATE TABLE cells (
    tbl TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, slot INTEGER, PRIMARY KEY (tbl, key)) WITHOUT ROWID;
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, conversation BLOB NOT NULL,
    unread INTEGER NOT NULL DEFAULT 0, expires_at_ms INTEGER, value BLOB NOT NULL, slot INTEGER);
-- What comes by history transfer is older than all that is here, and gets the numbers below.
INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', 1099511627776);
CREATE INDEX messages_conversation ON messages (conversation, seq);
CREATE INDEX messages_unread ON messages (conversation) WHERE unread > 0;
CREATE INDEX messages_expiry ON messages (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE annotations (
    key BLOB PRIMARY KEY, target BLOB NOT NULL, expires_at_ms INTEGER, value BLOB NOT NULL, slot INTEGER) WITHOUT ROWID;
CREATE INDEX annotations_target ON annotations (target);
CREATE INDEX annotations_expiry ON annotations (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, expires_at_ms INTEGER, value BLOB NOT NULL,
    slot INTEGER);
CREATE TABLE room_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, room BLOB NOT NULL, value BLOB NOT NULL);
CREATE INDEX room_events_room ON room_events (room, seq);
CREATE TABLE seen (key BLOB PRIMARY KEY, forget_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX seen_expiry ON seen (forget_at_ms);
";

/// What form 2 has beside the tables of form 1: made for both.
const ADDED: &str = "
CREATE TABLE aside (
    key BLOB PRIMARY KEY, sender BLOB NOT NULL, network BLOB NOT NULL, reason INTEGER NOT NULL, bytes INTEGER NOT NULL,
    position INTEGER NOT NULL, forget_at_ms INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX aside_sender ON aside (sender);
CREATE INDEX aside_network ON aside (network);
CREATE INDEX aside_expiry ON aside (forget_at_ms);
CREATE INDEX cells_slot ON cells (slot) WHERE slot IS NOT NULL;
CREATE INDEX messages_slot ON messages (slot) WHERE slot IS NOT NULL;
CREATE INDEX annotations_slot ON annotations (slot) WHERE slot IS NOT NULL;
CREATE INDEX outbox_slot ON outbox (slot) WHERE slot IS NOT NULL;
";

/// A cheap handle.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Mutex<Connection>,
    cipher: Cipher,
    keys: Erasable,
}

impl Store {
    /// Opens the file, and makes it where it is not there yet.
    pub(crate) fn open(path: &Path, key: &StoreKey) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Deleted secrets are overwritten, not just unlinked.
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let keys = Erasable::open(&path.with_extension("keys"))?;
        let store = Inner { connection: Mutex::new(connection), cipher: Cipher::new(key), keys };
        store.prepare()?;
        Ok(Self { inner: Arc::new(store) })
    }

    /// Runs one transaction, all or nothing, off the async threads.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.clone();
        blocking(move || store.run_blocking(work))
            .await
            .map_err(|_| Error::Internal("work on the local store was cut off"))?
            .map_err(Error::from)
    }

    /// Every value of a table.
    pub(crate) async fn list<R: Record + Send + 'static>(&self) -> Result<Vec<R>, Error> {
        self.run(list_all).await
    }

    /// Runs one transaction on this thread.
    pub(crate) fn run_blocking<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.inner.run(work)
    }
}

impl Inner {
    /// Makes the tables, or brings an older form forward; erases keys that a process has left that was ended.
    fn prepare(&self) -> Result<(), StoreError> {
        let brought_forward = self.run(|tx| {
            let form: i64 = tx.tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
            match form {
                0 => tx.tx.execute_batch(TABLES)?,
                1 => migrate::add_columns(tx)?,
                FORM => {}
                newer => return Err(StoreError::Newer(newer)),
            }
            if form < FORM {
                tx.tx.execute_batch(ADDED)?;
                tx.tx.pragma_update(None, "user_version", FORM)?;
            }
            if form == 1 {
                migrate::from_form_1(tx)?;
            }
            tx.begin_slots()?;
            tx.keys.keep_only(&tx.used_slots()?)?;
            Ok(form == 1)
        })?;
        if brought_forward {
            // Old pages hold values under keys that are not erased.
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
        }
        Ok(())
    }

    fn run<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // A panic while the lock was held has rolled its transaction back: the connection is good.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tx = Tx { tx, cipher: &self.cipher, keys: &self.keys, slots: RefCell::default() };
        let worked = work(&tx);
        let Tx { tx, slots, .. } = tx;
        let slots = slots.into_inner();
        if !slots.locked {
            let value = worked?;
            tx.commit()?;
            return Ok(value);
        }
        let ended = self.end(tx, &slots, worked);
        self.keys.unlock()?;
        ended
    }

    /// Ends a transaction that has taken or erased keys. New ones are on disk before the values that need them; old ones go
    /// when nothing needs them any more.
    fn end<T>(&self, tx: Transaction<'_>, slots: &Slots, worked: Result<T, StoreError>) -> Result<T, StoreError> {
        let committed = worked.and_then(|value| {
            if !slots.taken.is_empty() {
                self.keys.sync()?;
            }
            tx.commit()?;
            Ok(value)
        });
        match committed {
            Ok(value) => {
                self.keys.erase(&slots.ended)?;
                if slots.at_once {
                    self.keys.sync()?;
                }
                Ok(value)
            }
            Err(error) => {
                self.keys.erase(&slots.taken)?;
                Err(error)
            }
        }
    }
}

/// What a transaction does to the file of keys.
#[derive(Default)]
struct Slots {
    /// Whether it holds the file.
    locked: bool,
    /// Filled for values that it puts.
    taken: Vec<Slot>,
    /// Of values that it removes or puts anew.
    ended: Vec<Slot>,
    /// Whether the erasure has to be on disk when the transaction is.
    at_once: bool,
}

/// One transaction.
pub(crate) struct Tx<'a> {
    tx: Transaction<'a>,
    cipher: &'a Cipher,
    keys: &'a Erasable,
    slots: RefCell<Slots>,
}

impl Tx<'_> {
    /// From here on no other process changes the file of keys.
    fn begin_slots(&self) -> Result<(), StoreError> {
        let mut slots = self.slots.borrow_mut();
        if !slots.locked {
            self.keys.lock()?;
            slots.locked = true;
        }
        Ok(())
    }

    /// Seals a value under a key of its own, which ends with it.
    fn seal_ending(&self, table: &'static str, row: &RowKey, value: &[u8]) -> Result<(Vec<u8>, Slot), StoreError> {
        self.begin_slots()?;
        let (slot, key) = self.keys.take()?;
        self.slots.borrow_mut().taken.push(slot);
        Ok((self.cipher.seal(table, row, Some(&key), value)?, slot))
    }

    /// Opens a value, under the key in its slot where it has one.
    fn open(
        &self,
        table: &'static str,
        row: &RowKey,
        slot: Option<Slot>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let key = match slot {
            Some(slot) => Some(self.keys.key(slot)?.ok_or(StoreError::Sealed { table })?),
            None => None,
        };
        self.cipher.open(table, row, key.as_ref(), sealed)
    }

    /// Erases keys when the transaction is done. `at_once`: what they open must not be there any more when it returns,
    /// whatever happens to the machine.
    fn end_slots(&self, ended: impl IntoIterator<Item = Slot>, at_once: bool) -> Result<(), StoreError> {
        let ended: Vec<Slot> = ended.into_iter().collect();
        if !ended.is_empty() {
            self.begin_slots()?;
            let mut slots = self.slots.borrow_mut();
            slots.ended.extend(ended);
            slots.at_once |= at_once;
        }
        Ok(())
    }

    /// Every slot that a value has its key in.
    fn used_slots(&self) -> Result<Vec<Slot>, StoreError> {
        let mut statement = self.tx.prepare(
            "SELECT slot FROM cells WHERE slot IS NOT NULL UNION ALL SELECT slot FROM messages WHERE slot IS NOT NULL
             UNION ALL SELECT slot FROM annotations WHERE slot IS NOT NULL
             UNION ALL SELECT slot FROM outbox WHERE slot IS NOT NULL",
        )?;
        Ok(statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
    }

    fn row(&self, table: &'static str, key: &[Vec<u8>]) -> cipher::RowKey {
        let parts: Vec<&[u8]> = key.iter().map(Vec::as_slice).collect();
        self.cipher.row(table, &parts)
    }

    /// The value with this key.
    pub(crate) fn get<R: Record>(&self, key: &[Vec<u8>]) -> Result<Option<R>, StoreError> {
        let row = self.row(R::TABLE, key);
        let found: Option<(Option<Slot>, Vec<u8>)> = self
            .tx
            .prepare_cached("SELECT slot, value FROM cells WHERE tbl = ?1 AND key = ?2")?
            .query_row((R::TABLE, row), |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        found.map(|(slot, sealed)| decode(R::TABLE, &self.open(R::TABLE, &row, slot, &sealed)?)).transpose()
    }

    /// Every value of a table, in no order that means anything.
    pub(crate) fn list<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        let mut statement = self.tx.prepare_cached("SELECT key, slot, value FROM cells WHERE tbl = ?1")?;
        let rows = statement.query_map([R::TABLE], sealed_row)?.collect::<Result<Vec<_>, _>>()?;
        rows.iter().map(|row| self.opened(R::TABLE, row)).collect()
    }

    fn opened<T: for<'b> minicbor::Decode<'b, ()>>(
        &self,
        table: &'static str,
        (row, slot, sealed): &SealedRow,
    ) -> Result<T, StoreError> {
        decode(table, &self.open(table, row, *slot, sealed)?)
    }

    /// Whether a table has no value.
    pub(crate) fn is_empty<R: Record>(&self) -> Result<bool, StoreError> {
        Ok(!self.tx.prepare_cached("SELECT 1 FROM cells WHERE tbl = ?1 LIMIT 1")?.exists([R::TABLE])?)
    }

    /// Puts a value in its place, over what is there.
    pub(crate) fn put<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        let row = self.row(R::TABLE, &record.key());
        let clear = Zeroizing::new(sotto_crypto::encode(record));
        let (sealed, slot) = if R::ENDS {
            self.end_cell::<R>(&row)?;
            let (sealed, slot) = self.seal_ending(R::TABLE, &row, &clear)?;
            (sealed, Some(slot))
        } else {
            (self.cipher.seal(R::TABLE, &row, None, &clear)?, None)
        };
        self.tx
            .prepare_cached(
                "INSERT INTO cells (tbl, key, value, slot) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET value = ?3, slot = ?4",
            )?
            .execute((R::TABLE, row, sealed, slot))?;
        Ok(())
    }

    /// Removes the value with this key, where there is one.
    pub(crate) fn delete<R: Record>(&self, key: &[Vec<u8>]) -> Result<(), StoreError> {
        let row = self.row(R::TABLE, key);
        if R::ENDS {
            self.end_cell::<R>(&row)?;
        }
        self.tx.prepare_cached("DELETE FROM cells WHERE tbl = ?1 AND key = ?2")?.execute((R::TABLE, row))?;
        Ok(())
    }

    fn end_cell<R: Record>(&self, row: &RowKey) -> Result<(), StoreError> {
        let slot: Option<Option<Slot>> = self
            .tx
            .prepare_cached("SELECT slot FROM cells WHERE tbl = ?1 AND key = ?2")?
            .query_row((R::TABLE, row), |r| r.get(0))
            .optional()?;
        self.end_slots(slot.flatten(), true)
    }
}

/// Row key, slot and sealed value.
type SealedRow = (RowKey, Option<Slot>, Vec<u8>);

fn sealed_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<SealedRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// [`Tx::list`] for transactions of every lifetime.
pub(crate) fn list_all<R: Record>(tx: &Tx<'_>) -> Result<Vec<R>, StoreError> {
    tx.list()
}

fn decode<T: for<'b> minicbor::Decode<'b, ()>>(table: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    minicbor::decode(bytes).map_err(|e| StoreError::Value { table, reason: e.to_string() })
}

#[cfg(test)]
pub(crate) mod tests;
