//! What has come and cannot be shown yet: acknowledged, so that others can come, and kept here until there is reason to try
//! again. So much of each sender and of each network, for so long: nobody fills anybody's disk.

use minicbor::{Decode, Encode};
use rusqlite::OptionalExtension as _;
use sotto_crypto::{Address, PrekeyRef, decode_strict};
use sotto_wire::api::Delivery;
use sotto_wire::content::MessageRef;
use sotto_wire::limits;
use sotto_wire::room::RoomId;

use super::cipher::RowKey;
use super::db::{Tx, sealed_row};
use super::messages::{Exact, clamp};
use super::quota::{Quota, Share};
use super::records::{PrekeyRecord, Record};
use super::talk::parts_of;
use crate::core::error::StoreError;

const TABLE: &str = "aside";
const QUOTA: Quota = Quota {
    table: TABLE,
    of_sender: Share { rows: 200, bytes: 4 * 1024 * 1024 },
    of_network: Share { rows: 2_000, bytes: 32 * 1024 * 1024 },
};
/// For so long (milliseconds): as long as a relay would have kept it.
pub(super) const KEPT_MS: u64 = limits::MAX_QUEUE_SECONDS * 1000;

/// Why a message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Reason {
    /// Its sender knew events of this room that are not here.
    #[n(0)]
    RoomEvents(#[n(0)] RoomId),
    /// The identity of its sender has changed, and the user has not accepted it.
    #[n(1)]
    Identity,
    /// It is of a newer version of the content than this one knows.
    #[n(2)]
    Newer(#[n(0)] u8),
}

impl Reason {
    fn column(self) -> i64 {
        match self {
            Self::RoomEvents(_) => 0,
            Self::Identity => 1,
            Self::Newer(_) => 2,
        }
    }
}

/// A message that waits.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Aside {
    #[n(0)]
    pub(crate) key: MessageRef,
    #[n(1)]
    pub(crate) reason: Reason,
    /// As it came: sealed, CBOR of [`sotto_wire::api::Delivery`].
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) delivery: Vec<u8>,
    /// Its position in the device's queue: what waits is tried in the order in which it came.
    #[n(3)]
    pub(crate) order: u64,
    /// The one-time prekey that it was sealed to, whose secret ends with it.
    #[n(4)]
    pub(crate) one_time: Option<PrekeyRef>,
}

impl Aside {
    /// Under which it waits: one that bears another's id takes nobody's place.
    pub(crate) fn key_of(message: &Exact) -> MessageRef {
        let (sender, device, message) = message.apart();
        MessageRef { sender, device, message }
    }

    /// Which message it is. It was read when it came.
    pub(crate) fn exact(&self) -> Option<Exact> {
        let delivery: Delivery = minicbor::decode(&self.delivery).ok()?;
        Some(Exact::of(&decode_strict(&delivery.header).ok()?))
    }
}

/// How much of somebody waits, and how much more was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct AsideCount {
    #[n(0)]
    pub(crate) sender: Address,
    /// As in the column `reason`.
    #[n(1)]
    pub(crate) reason: i64,
    #[n(2)]
    pub(crate) waiting: u64,
    /// Beyond the bound.
    #[n(3)]
    pub(crate) dropped: u64,
}

impl Record for AsideCount {
    const TABLE: &'static str = "aside count";
    fn key(&self) -> Vec<Vec<u8>> {
        vec![self.sender.as_str().as_bytes().to_vec(), self.reason.to_be_bytes().to_vec()]
    }
}

impl Tx<'_> {
    fn aside_row(&self, message: &MessageRef) -> RowKey {
        let parts = parts_of(message);
        self.cipher.row(TABLE, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// Sets a message aside, where its sender and their network have room left; otherwise it is counted only.
    /// Then nothing opens it any more, and it is false.
    pub(crate) fn put_aside(&self, message: &Aside, now_ms: u64) -> Result<bool, StoreError> {
        let sender = &message.key.sender;
        let row = self.aside_row(&message.key);
        let by_sender = self.cipher.row(TABLE, &[b"sender", sender.as_str().as_bytes()]);
        let by_network = self.cipher.row(TABLE, &[b"network", sender.domain_str().as_bytes()]);
        let waits: Option<i64> = self
            .sql
            .prepare_cached("SELECT reason FROM aside WHERE key = ?1")?
            .query_row([row], |r| r.get(0))
            .optional()?;
        match waits {
            // Tried again, and not to be shown yet: it waits as before.
            Some(reason) if reason == message.reason.column() => return Ok(true),
            Some(_) => drop(self.take_aside(&message.key)?),
            None => {}
        }
        let size = message.delivery.len() as u64;
        let room = QUOTA.left(&self.sql, &by_sender, &by_network)?.take(size);
        if room {
            let (sealed, slot) = self.seal_ending(TABLE, &row, &sotto_crypto::encode(message))?;
            self.sql
                .prepare_cached(
                    "INSERT INTO aside (key, sender, network, reason, bytes, position, forget_at_ms, value, slot)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute((
                    row,
                    by_sender,
                    by_network,
                    message.reason.column(),
                    clamp(size),
                    clamp(message.order),
                    clamp(now_ms.saturating_add(KEPT_MS)),
                    sealed,
                    slot,
                ))?;
        }
        let mut count = self.aside_count(sender, message.reason)?;
        if room {
            count.waiting += 1;
        } else {
            count.dropped += 1;
        }
        self.put(&count)?;
        if !room && let Some(prekey) = &message.one_time {
            self.delete::<PrekeyRecord>(&PrekeyRecord::key_of(prekey))?;
        }
        Ok(room)
    }

    fn aside_count(&self, sender: &Address, reason: Reason) -> Result<AsideCount, StoreError> {
        let none = AsideCount { sender: sender.clone(), reason: reason.column(), waiting: 0, dropped: 0 };
        Ok(self.get(&none.key())?.unwrap_or(none))
    }

    /// A message waits no more. False where it did not.
    pub(crate) fn take_aside(&self, message: &MessageRef) -> Result<bool, StoreError> {
        let row = self.aside_row(message);
        let found = self
            .sql
            .prepare_cached("SELECT key, slot, value FROM aside WHERE key = ?1")?
            .query_row([row], sealed_row)
            .optional()?;
        let Some(found) = found else { return Ok(false) };
        let held: Aside = self.opened(TABLE, &found)?;
        self.end_slots(found.1, true)?;
        self.sql.prepare_cached("DELETE FROM aside WHERE key = ?1")?.execute([row])?;
        let mut count = self.aside_count(&message.sender, held.reason)?;
        count.waiting = count.waiting.saturating_sub(1);
        if count.waiting == 0 {
            self.delete::<AsideCount>(&count.key())?;
        } else {
            self.put(&count)?;
        }
        Ok(true)
    }

    /// What waits, in the order in which it came, from behind a position; at most `limit` of it. With the last position
    /// where there may be more.
    pub(crate) fn aside(&self, after: u64, limit: u32) -> Result<(Vec<Aside>, Option<u64>), StoreError> {
        let mut statement = self.sql.prepare_cached(
            "SELECT key, slot, value, position FROM aside WHERE position > ?1 ORDER BY position LIMIT ?2",
        )?;
        let rows = statement
            .query_map((clamp(after), limit), |r| Ok((sealed_row(r)?, r.get::<_, i64>(3)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        let last = rows.last().filter(|_| rows.len() == limit as usize).map(|(_, at)| u64::try_from(*at).unwrap_or(0));
        Ok((rows.iter().map(|(row, _)| self.opened(TABLE, row)).collect::<Result<_, _>>()?, last))
    }

    /// Forgets what has waited for too long, and that something of somebody was not kept of whom nothing waits: it was told
    /// when it came.
    pub(super) fn end_aside(&self, now_ms: u64) -> Result<(), StoreError> {
        let ended = self
            .sql
            .prepare_cached("SELECT key, slot, value FROM aside WHERE forget_at_ms <= ?1")?
            .query_map([clamp(now_ms)], sealed_row)?
            .collect::<Result<Vec<_>, _>>()?;
        for row in &ended {
            let held: Aside = self.opened(TABLE, row)?;
            self.take_aside(&held.key)?;
            if let Some(prekey) = &held.one_time {
                self.delete::<PrekeyRecord>(&PrekeyRecord::key_of(prekey))?;
            }
        }
        for count in self.list::<AsideCount>()?.iter().filter(|count| count.waiting == 0) {
            self.delete::<AsideCount>(&count.key())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::{DeviceId, MessageId, SystemRng};

    use super::super::Store;
    use super::super::key::StoreKey;
    use super::super::list_all;
    use super::*;

    fn aside(sender: &str, n: u64, size: usize) -> Aside {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let sender = Address::parse(sender).unwrap();
        let key = MessageRef { sender, device: DeviceId::from_bytes([1; 16]), message: MessageId::from_bytes(id) };
        Aside { key, reason: Reason::Newer(1), delivery: vec![7; size], order: n + 1, one_time: None }
    }

    #[test]
    fn one_sender_and_one_network_have_so_much_room_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
        store
            .run_blocking(|tx| {
                for n in 0..QUOTA.of_sender.rows + 30 {
                    tx.put_aside(&aside("mallory@y.example", n, 100), 5)?;
                }
                // The same again counts once.
                tx.put_aside(&aside("mallory@y.example", 3, 100), 5)?;
                // Few, and large.
                for n in 0..5 {
                    tx.put_aside(&aside("eve@y.example", 10_000 + n, 1024 * 1024), 5)?;
                }
                // Others of the network, until it is full; and somebody of another one.
                for n in 0..QUOTA.of_network.rows {
                    tx.put_aside(&aside(&format!("u{}@y.example", n / 100), 20_000 + n, 10), 5)?;
                }
                tx.put_aside(&aside("alice@x.example", 90_000, 10), 5)
            })
            .unwrap();
        let counts = store.run_blocking(list_all::<AsideCount>).unwrap();
        let of = |who: &str| counts.iter().find(|c| c.sender.as_str() == who).map(|c| (c.waiting, c.dropped));
        assert_eq!(of("mallory@y.example"), Some((QUOTA.of_sender.rows, 30)));
        assert_eq!(of("eve@y.example"), Some((4, 1)));
        assert_eq!(of("alice@x.example"), Some((1, 0)));
        let all: u64 = counts.iter().filter(|c| c.sender.domain_str() == "y.example").map(|c| c.waiting).sum();
        assert_eq!(all, QUOTA.of_network.rows);

        // In the order in which they came, page by page.
        let (first, next) = store.run_blocking(|tx| tx.aside(0, 3)).unwrap();
        assert_eq!(first.iter().map(|a| a.order).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(next, Some(3));
        // Taken, there is room again; and in the end all goes by itself.
        assert!(store.run_blocking(|tx| tx.take_aside(&first[0].key)).unwrap());
        assert!(!store.run_blocking(|tx| tx.take_aside(&first[0].key)).unwrap());
        store.run_blocking(|tx| tx.put_aside(&aside("mallory@y.example", 5_000, 100), 5)).unwrap();
        store.run_blocking(|tx| tx.end_aside(5 + KEPT_MS)).unwrap();
        assert!(store.run_blocking(|tx| tx.aside(0, 3)).unwrap().0.is_empty());
        assert!(store.run_blocking(list_all::<AsideCount>).unwrap().is_empty());
    }
}
