//! Messages and queues.

use futures::FutureExt as _;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sotto_crypto::{BatchId, DeviceId, PrekeyRef, WrappedKey, decode_strict, encode};
use sotto_wire::api::Notice;
use sotto_wire::limits::{MAX_QUEUE_SECONDS, REMEMBER_SECONDS};

use super::{Sqlite, Work, device_id, id16, is_foreign_key, links, outbox};
use crate::store::accounts::FORGET_LOCKED_MS;
use crate::store::{
    Acceptance, Answer, Mailboxes, NewMessage, QueueBounds, QueueStats, Queued, QueuedItem, StoreError, Swept,
};

/// How long a message id is remembered, also when its message is gone.
const REMEMBER_MS: u64 = REMEMBER_SECONDS * 1000;
/// Rows of one kind that one sweep removes at most, so that it never holds the writer for long.
const SWEEP: usize = 500;
/// Failed log-ins to names without an account that are remembered, by name and origin.
const MAX_STRANGERS: usize = 10_000;

impl Mailboxes for Sqlite {
    fn accepted(&self, key: [u8; 32]) -> Answer<'_, Option<u64>> {
        self.read(move |connection| {
            Ok(connection
                .prepare_cached("SELECT accepted_ms FROM messages WHERE key = ?1")?
                .query_row([key.as_slice()], |row| row.get(0))
                .optional()?)
        })
    }

    fn accept(&self, message: NewMessage, bounds: QueueBounds, now_ms: u64) -> Answer<'_, Acceptance> {
        self.write(move |work| accept(work, &message, bounds, now_ms))
    }

    fn mailbox(
        &self,
        device: DeviceId,
        after: u64,
        count: usize,
        bytes: usize,
        now_ms: u64,
    ) -> Answer<'_, Vec<Queued>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT m.seq, b.accepted_ms, b.expires_ms, b.header, b.body, m.batch, m.idx, m.wrap
                 FROM mailbox m JOIN bodies b ON b.id = m.message
                 WHERE m.device = ?1 AND m.seq > ?2 AND b.expires_ms > ?3 ORDER BY m.seq LIMIT ?4",
            )?;
            let mut rows = statement.query(params![device.as_bytes(), after, now_ms, count])?;
            let mut entries = Vec::new();
            let mut room = bytes;
            while let Some(row) = rows.next()? {
                let entry = queued(row)?;
                let size = entry.size();
                if size > room && !entries.is_empty() {
                    break;
                }
                room = room.saturating_sub(size);
                entries.push(entry);
            }
            Ok(entries)
        })
    }

    fn mailbox_head(&self, device: DeviceId) -> Answer<'_, u64> {
        self.read(move |connection| {
            let head: Option<u64> = connection
                .prepare_cached("SELECT max(seq) FROM mailbox WHERE device = ?1")?
                .query_row([device.as_bytes()], |row| row.get(0))?;
            Ok(head.unwrap_or(0))
        })
    }

    fn ack(&self, device: DeviceId, seqs: Vec<u64>) -> Answer<'_, u64> {
        self.write(move |work| {
            let mut forgotten = 0;
            for seq in seqs {
                let message: Option<i64> = work
                    .connection()
                    .prepare_cached("DELETE FROM mailbox WHERE device = ?1 AND seq = ?2 RETURNING message")?
                    .query_row(params![device.as_bytes(), seq], |row| row.get(0))
                    .optional()?;
                if let Some(message) = message {
                    release(work.connection(), message, 1)?;
                    forgotten += 1;
                }
            }
            work.left(device, forgotten);
            Ok(forgotten)
        })
    }

    fn queue_stats(&self) -> Answer<'_, QueueStats> {
        async {
            let oldest_ms = self
                .read(|connection| {
                    // Bodies are appended: the first is the oldest.
                    Ok(connection
                        .query_row("SELECT accepted_ms FROM bodies ORDER BY id LIMIT 1", [], |row| row.get(0))
                        .optional()?)
                })
                .await?;
            Ok(QueueStats { by_device: self.writer.counts().all(), oldest_ms })
        }
        .boxed()
    }

    fn sweep(&self, now_ms: u64) -> Answer<'_, Swept> {
        self.write(move |work| {
            let (messages, expired) = sweep_messages(work, now_ms)?;
            let connection = work.connection();
            let forgotten = connection.execute(
                "DELETE FROM messages WHERE id IN (
                   SELECT id FROM messages WHERE refs = 0 AND accepted_ms <= ?1 LIMIT ?2)",
                params![now_ms.saturating_sub(REMEMBER_MS), SWEEP],
            )?;
            connection.execute("DELETE FROM prekey_batches WHERE expires_ms <= ?1", [now_ms])?;
            connection
                .execute("DELETE FROM logins WHERE updated_ms <= ?1", [now_ms.saturating_sub(FORGET_LOCKED_MS)])?;
            connection.execute(
                "DELETE FROM logins WHERE (local, origin) IN (
                   SELECT l.local, l.origin FROM logins l LEFT JOIN users u ON u.local = l.local WHERE u.local IS NULL
                   ORDER BY l.updated_ms DESC LIMIT ?1 OFFSET ?2)",
                params![SWEEP, MAX_STRANGERS],
            )?;
            let links = links::sweep(connection, now_ms)?;
            Ok(Swept { expired, more: messages == SWEEP || forgotten == SWEEP || links })
        })
    }
}

fn accept(work: &mut Work<'_>, new: &NewMessage, bounds: QueueBounds, now_ms: u64) -> Result<Acceptance, StoreError> {
    let refs = new.local.len() + new.remote.len();
    let id: Option<i64> = work
        .connection()
        .prepare_cached(
            "INSERT INTO messages (key, accepted_ms, refs) VALUES (?1, ?2, ?3) ON CONFLICT (key) DO NOTHING
             RETURNING id",
        )?
        .query_row(params![new.key.as_slice(), now_ms, refs], |row| row.get(0))
        .optional()?;
    let Some(id) = id else {
        let accepted = work.connection().query_row(
            "SELECT accepted_ms FROM messages WHERE key = ?1",
            [new.key.as_slice()],
            |row| row.get(0),
        )?;
        return Ok(Acceptance::Repeated(accepted));
    };
    if let Some(sender) = new.sender {
        let suspended: Option<bool> = work
            .connection()
            .prepare_cached("SELECT u.suspended FROM devices d JOIN users u ON u.local = d.local WHERE d.device = ?1")?
            .query_row([sender.as_bytes()], |row| row.get(0))
            .optional()?;
        match suspended {
            None => return Ok(work.roll_back(Acceptance::SenderGone)),
            Some(true) => return Ok(work.roll_back(Acceptance::SenderSuspended)),
            Some(false) => {}
        }
    }
    let devices: Vec<DeviceId> = new.local.iter().map(|wrap| wrap.device).collect();
    if devices.iter().any(|device| work.queued(*device) >= bounds.mailbox) {
        return Ok(work.roll_back(Acceptance::MailboxFull));
    }
    if let Some(full) = outbox::full(work.connection(), new, bounds)? {
        return Ok(work.roll_back(full));
    }
    let first_seq = store_body(work, id, Some(&new.header), &new.body, &devices, now_ms, new.expires_at_ms)?;
    for (seq, wrap) in (first_seq..).zip(&new.local) {
        let inserted =
            work.connection().prepare_cached("INSERT INTO mailbox VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                wrap.device.as_bytes(),
                seq,
                id,
                wrap.prekey.batch.as_bytes(),
                wrap.prekey.index,
                wrap.key.as_bytes().as_slice()
            ]);
        match inserted {
            Ok(_) => work.entered(wrap.device),
            Err(error) if is_foreign_key(&error) => return Ok(work.roll_back(Acceptance::DeviceGone)),
            Err(error) => return Err(error.into()),
        }
    }
    outbox::enqueue(work, id, new, now_ms)?;
    Ok(Acceptance::Accepted)
}

/// Stores a body; the first of the places of its devices.
fn store_body(
    work: &mut Work<'_>,
    id: i64,
    header: Option<&[u8]>,
    body: &[u8],
    devices: &[DeviceId],
    now_ms: u64,
    expires_at_ms: u64,
) -> Result<u64, StoreError> {
    let first_seq = work.take_seqs(devices.len() as u64);
    let list: Vec<u8> = devices.iter().flat_map(|device| *device.as_bytes()).collect();
    work.connection().prepare_cached("INSERT INTO bodies VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
        id,
        header,
        body,
        list,
        first_seq,
        now_ms,
        expires_at_ms
    ])?;
    Ok(first_seq)
}

/// Puts a notice into a device's queue; nothing when the device is gone.
pub(super) fn notify(work: &mut Work<'_>, device: DeviceId, notice: &Notice, now_ms: u64) -> Result<(), StoreError> {
    let known: bool = work
        .connection()
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM devices WHERE device = ?1)")?
        .query_row([device.as_bytes()], |row| row.get(0))?;
    if !known {
        return Ok(());
    }
    work.connection().execute("INSERT INTO messages (key, accepted_ms, refs) VALUES (NULL, ?1, 1)", [now_ms])?;
    let id = work.connection().last_insert_rowid();
    let expires = now_ms.saturating_add(MAX_QUEUE_SECONDS * 1000);
    let seq = store_body(work, id, None, &encode(notice), &[device], now_ms, expires)?;
    work.connection().execute(
        "INSERT INTO mailbox (device, seq, message) VALUES (?1, ?2, ?3)",
        params![device.as_bytes(), seq, id],
    )?;
    work.entered(device);
    Ok(())
}

/// Takes `count` uses off a message; the last one takes the body away.
pub(super) fn release(connection: &Connection, message: i64, count: u64) -> Result<(), StoreError> {
    let refs: Option<i64> = connection
        .prepare_cached("UPDATE messages SET refs = max(refs - ?2, 0) WHERE id = ?1 RETURNING refs")?
        .query_row(params![message, count], |row| row.get(0))
        .optional()?;
    if refs == Some(0) {
        connection.prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute([message])?;
    }
    Ok(())
}

/// Empties a device's queue.
pub(super) fn empty(work: &mut Work<'_>, device: DeviceId) -> Result<(), StoreError> {
    let messages: Vec<i64> = work
        .connection()
        .prepare_cached("DELETE FROM mailbox WHERE device = ?1 RETURNING message")?
        .query_map([device.as_bytes()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for message in &messages {
        release(work.connection(), *message, 1)?;
    }
    work.left(device, messages.len() as u64);
    Ok(())
}

/// How many messages were dropped, and how many queue entries with them.
fn sweep_messages(work: &mut Work<'_>, now_ms: u64) -> Result<(usize, u64), StoreError> {
    let due: Vec<(i64, Vec<u8>, u64)> = work
        .connection()
        .prepare_cached(
            "SELECT id, devices, first_seq FROM bodies WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2",
        )?
        .query_map(params![now_ms, SWEEP], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut expired = 0;
    for (id, devices, first_seq) in &due {
        for (seq, bytes) in (*first_seq..).zip(devices.chunks(16)) {
            let device = device_id(bytes)?;
            let removed = work
                .connection()
                .prepare_cached("DELETE FROM mailbox WHERE device = ?1 AND seq = ?2")?
                .execute(params![bytes, seq])? as u64;
            if removed > 0 {
                work.left(device, removed);
                expired += removed;
            }
        }
        outbox::expire(work, *id, now_ms)?;
        work.connection().prepare_cached("UPDATE messages SET refs = 0 WHERE id = ?1")?.execute([id])?;
        work.connection().prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute([id])?;
    }
    Ok((due.len(), expired))
}

fn queued(row: &Row<'_>) -> Result<Queued, StoreError> {
    let seq = row.get(0)?;
    let header: Option<Vec<u8>> = row.get(3)?;
    let body: Vec<u8> = row.get(4)?;
    let item = if let Some(header) = header {
        QueuedItem::Message {
            header,
            body,
            prekey: PrekeyRef {
                batch: BatchId::from_bytes(id16(row.get_ref(5)?.as_blob().unwrap_or_default())?),
                index: row.get(6)?,
            },
            key: WrappedKey::from_bytes(row.get_ref(7)?.as_blob().unwrap_or_default())
                .map_err(|_| StoreError::Corrupt("a wrapped key"))?,
        }
    } else {
        let notice: Notice = decode_strict(&body).map_err(|_| StoreError::Corrupt("a notice"))?;
        QueuedItem::Notice(Notice { seq, ..notice })
    };
    Ok(Queued { seq, accepted_at_ms: row.get(1)?, expires_at_ms: row.get(2)?, item })
}
