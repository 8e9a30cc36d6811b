//! The database as a value: transactions, sealed values, and the keys that end with them.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use zeroize::Zeroizing;

use super::cipher::{Cipher, RowKey};
use super::erasable::{Erasable, Slot};
use super::records::Record;
use crate::core::error::{Error, StoreError};
use crate::core::platform::blocking;

/// A cheap handle.
#[derive(Clone)]
pub(crate) struct Store {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) connection: Mutex<Connection>,
    pub(super) cipher: Cipher,
    pub(super) keys: Erasable,
}

impl Store {
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
    pub(super) fn run<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // A panic while the lock was held has rolled its transaction back: the connection is good.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Let go of after the transaction has ended in any way, a panic too.
        let held = Held { keys: &self.keys, locked: Cell::new(false) };
        let tx = Tx { sql: tx, cipher: &self.cipher, keys: &self.keys, held: &held, slots: RefCell::default() };
        let worked = work(&tx);
        let Tx { sql: tx, slots, .. } = tx;
        let slots = slots.into_inner();
        if !held.locked.get() {
            let value = worked?;
            tx.commit()?;
            return Ok(value);
        }
        self.end(tx, &slots, worked)
    }

    /// Ends a transaction that has taken or erased keys. New ones are on disk before the values that need them; old ones go
    /// when nothing needs them any more.
    fn end<T>(&self, tx: Transaction<'_>, slots: &Slots, worked: Result<T, StoreError>) -> Result<T, StoreError> {
        let value = match worked {
            Ok(value) => value,
            Err(error) => {
                drop(tx);
                self.keys.erase(&slots.taken)?;
                return Err(error);
            }
        };
        if !slots.taken.is_empty() {
            self.keys.sync()?;
        }
        // A commit that fails may still be found done after a crash: then its keys are needed. Where it was not done, the next
        // start erases them.
        tx.commit()?;
        self.keys.erase(&slots.ended)?;
        if slots.at_once {
            self.keys.sync()?;
        }
        Ok(value)
    }
}

/// What a transaction does to the file of keys.
#[derive(Default)]
struct Slots {
    /// Filled for values that it puts.
    taken: Vec<Slot>,
    /// Of values that it removes or puts anew.
    ended: Vec<Slot>,
    /// Whether the erasure has to be on disk when the transaction is.
    at_once: bool,
}

/// One transaction.
pub(crate) struct Tx<'a> {
    pub(super) sql: Transaction<'a>,
    pub(super) cipher: &'a Cipher,
    pub(super) keys: &'a Erasable,
    held: &'a Held<'a>,
    slots: RefCell<Slots>,
}

/// The file of keys, while a transaction holds it.
struct Held<'a> {
    keys: &'a Erasable,
    locked: Cell<bool>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.locked.get()
            && let Err(error) = self.keys.unlock()
        {
            tracing::error!(%error, "the file of keys stays locked until this process ends");
        }
    }
}

impl Tx<'_> {
    /// From here on no other process changes the file of keys.
    pub(super) fn begin_slots(&self) -> Result<(), StoreError> {
        if !self.held.locked.get() {
            self.keys.lock()?;
            self.held.locked.set(true);
        }
        Ok(())
    }

    /// Seals a value under a key of its own, which ends with it.
    pub(super) fn seal_ending(
        &self,
        table: &'static str,
        row: &RowKey,
        value: &[u8],
    ) -> Result<(Vec<u8>, Slot), StoreError> {
        self.begin_slots()?;
        let (slot, key) = self.keys.take()?;
        self.slots.borrow_mut().taken.push(slot);
        Ok((self.cipher.seal(table, row, Some(&key), value)?, slot))
    }

    /// Opens a value, under the key in its slot where it has one.
    pub(super) fn open(
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
    pub(super) fn end_slots(&self, ended: impl IntoIterator<Item = Slot>, at_once: bool) -> Result<(), StoreError> {
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
    pub(super) fn used_slots(&self) -> Result<Vec<Slot>, StoreError> {
        let mut statement = self.sql.prepare(
            "SELECT slot FROM cells WHERE slot IS NOT NULL UNION ALL SELECT slot FROM messages WHERE slot IS NOT NULL
             UNION ALL SELECT slot FROM annotations WHERE slot IS NOT NULL
             UNION ALL SELECT slot FROM outbox WHERE slot IS NOT NULL
             UNION ALL SELECT slot FROM aside WHERE slot IS NOT NULL
             UNION ALL SELECT slot FROM sent WHERE slot IS NOT NULL",
        )?;
        Ok(statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
    }

    pub(super) fn row(&self, table: &'static str, key: &[Vec<u8>]) -> RowKey {
        let parts: Vec<&[u8]> = key.iter().map(Vec::as_slice).collect();
        self.cipher.row(table, &parts)
    }

    /// The value with this key.
    pub(crate) fn get<R: Record>(&self, key: &[Vec<u8>]) -> Result<Option<R>, StoreError> {
        let row = self.row(R::TABLE, key);
        let found: Option<(Option<Slot>, Vec<u8>)> = self
            .sql
            .prepare_cached("SELECT slot, value FROM cells WHERE tbl = ?1 AND key = ?2")?
            .query_row((R::TABLE, row), |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        found.map(|(slot, sealed)| decode(R::TABLE, &self.open(R::TABLE, &row, slot, &sealed)?)).transpose()
    }

    /// The values with these keys, in their order; without those that are not there.
    pub(crate) fn those<R: Record>(&self, keys: impl Iterator<Item = [Vec<u8>; 1]>) -> Result<Vec<R>, StoreError> {
        keys.filter_map(|key| self.get(&key).transpose()).collect()
    }

    /// Whether there is a value with this key.
    pub(crate) fn has<R: Record>(&self, key: &[Vec<u8>]) -> Result<bool, StoreError> {
        let row = self.row(R::TABLE, key);
        Ok(self.sql.prepare_cached("SELECT 1 FROM cells WHERE tbl = ?1 AND key = ?2")?.exists((R::TABLE, row))?)
    }

    /// Every value of a table, in no order that means anything.
    pub(crate) fn list<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        let mut statement = self.sql.prepare_cached("SELECT key, slot, value FROM cells WHERE tbl = ?1")?;
        let rows = statement.query_map([R::TABLE], sealed_row)?.collect::<Result<Vec<_>, _>>()?;
        rows.iter().map(|row| self.opened(R::TABLE, row)).collect()
    }

    pub(super) fn opened<T: for<'b> minicbor::Decode<'b, ()>>(
        &self,
        table: &'static str,
        (row, slot, sealed): &SealedRow,
    ) -> Result<T, StoreError> {
        decode(table, &self.open(table, row, *slot, sealed)?)
    }

    /// Whether a table has no value.
    pub(crate) fn is_empty<R: Record>(&self) -> Result<bool, StoreError> {
        Ok(!self.sql.prepare_cached("SELECT 1 FROM cells WHERE tbl = ?1 LIMIT 1")?.exists([R::TABLE])?)
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
        self.sql
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
        self.sql.prepare_cached("DELETE FROM cells WHERE tbl = ?1 AND key = ?2")?.execute((R::TABLE, row))?;
        Ok(())
    }

    fn end_cell<R: Record>(&self, row: &RowKey) -> Result<(), StoreError> {
        let slot: Option<Option<Slot>> = self
            .sql
            .prepare_cached("SELECT slot FROM cells WHERE tbl = ?1 AND key = ?2")?
            .query_row((R::TABLE, row), |r| r.get(0))
            .optional()?;
        self.end_slots(slot.flatten(), true)
    }
}

/// Row key, slot and sealed value.
pub(super) type SealedRow = (RowKey, Option<Slot>, Vec<u8>);

pub(super) fn sealed_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<SealedRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

/// [`Tx::list`] for transactions of every lifetime.
pub(crate) fn list_all<R: Record>(tx: &Tx<'_>) -> Result<Vec<R>, StoreError> {
    tx.list()
}

pub(super) fn decode<T: for<'b> minicbor::Decode<'b, ()>>(table: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    minicbor::decode(bytes).map_err(|e| StoreError::Value { table, reason: e.to_string() })
}
