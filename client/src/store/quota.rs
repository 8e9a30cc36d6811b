//! So much of what one sender brings is kept, and so much of what all senders of one network do: nobody fills anybody's disk.

use rusqlite::Connection;

use super::cipher::RowKey;
use crate::core::error::StoreError;

/// Rows, and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl Share {
    /// Takes one row of so many bytes away. False where it does not fit.
    pub(crate) fn take(&mut self, size: u64) -> bool {
        let fits = self.rows > 0 && size <= self.bytes;
        if fits {
            *self = Self { rows: self.rows - 1, bytes: self.bytes - size };
        }
        fits
    }

    fn without(self, rows: i64, bytes: i64) -> Self {
        let less = |all: u64, used: i64| all.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
        Self { rows: less(self.rows, rows), bytes: less(self.bytes, bytes) }
    }
}

/// What may be kept in a table, which has the columns `sender`, `network` and `bytes`.
pub(super) struct Quota {
    pub(super) table: &'static str,
    pub(super) of_sender: Share,
    pub(super) of_network: Share,
}

impl Quota {
    /// What is left for this sender of this network.
    pub(super) fn left(&self, sql: &Connection, sender: &RowKey, network: &RowKey) -> Result<Share, StoreError> {
        let left = |column: &str, whose: &RowKey, all: Share| -> Result<Share, StoreError> {
            let table = self.table;
            let query = format!("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM {table} WHERE {column} = ?1");
            let (rows, bytes) = sql.prepare_cached(&query)?.query_row([whose], |r| Ok((r.get(0)?, r.get(1)?)))?;
            Ok(all.without(rows, bytes))
        };
        let (sender, network) = (left("sender", sender, self.of_sender)?, left("network", network, self.of_network)?);
        Ok(Share { rows: sender.rows.min(network.rows), bytes: sender.bytes.min(network.bytes) })
    }
}
