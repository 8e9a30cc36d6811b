//! Messages on their way to other networks.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sotto_crypto::{DeviceId, Domain, MessageId};
use sotto_wire::ErrorCode;
use sotto_wire::api::Notice;

use super::{Sqlite, Work, id16, mailboxes};
use crate::store::outbox::Origin;
use crate::store::{Acceptance, Answer, NewMessage, Outbox, OutboxEntry, QueueBounds, Refusal, StoreError};

impl Outbox for Sqlite {
    fn outbox_domains(&self, now_ms: u64) -> Answer<'_, Vec<Domain>> {
        self.read(move |connection| {
            let names: Vec<String> = connection
                .prepare_cached("SELECT DISTINCT domain FROM outbox WHERE next_ms <= ?1")?
                .query_map([now_ms], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            names.iter().map(|name| domain(name)).collect()
        })
    }

    fn outbox_due(&self, to: Domain, now_ms: u64, count: usize) -> Answer<'_, Vec<OutboxEntry>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT o.id, o.domain, b.header, b.body, o.wraps, b.accepted_ms, b.expires_ms, o.attempts
                 FROM outbox o JOIN bodies b ON b.id = o.message
                 WHERE o.domain = ?1 AND o.next_ms <= ?2 ORDER BY o.id LIMIT ?3",
            )?;
            let mut rows = statement.query(params![to.as_str(), now_ms, count])?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                entries.push(entry(row)?);
            }
            Ok(entries)
        })
    }

    fn outbox_next_ms(&self) -> Answer<'_, Option<u64>> {
        self.read(|connection| {
            Ok(connection.prepare_cached("SELECT min(next_ms) FROM outbox")?.query_row([], |row| row.get(0))?)
        })
    }

    fn outbox_done(&self, id: i64) -> Answer<'_, ()> {
        self.write(move |work| take(work, id).map(drop))
    }

    fn outbox_retry(&self, id: i64, next_ms: u64) -> Answer<'_, ()> {
        self.write(move |work| {
            work.connection()
                .prepare_cached("UPDATE outbox SET attempts = attempts + 1, next_ms = ?2 WHERE id = ?1")?
                .execute(params![id, next_ms])?;
            Ok(())
        })
    }

    fn outbox_refused(&self, id: i64, refusal: Refusal, now_ms: u64) -> Answer<'_, ()> {
        self.write(move |work| {
            let Some((origin, domain)) = take(work, id)? else { return Ok(()) };
            tell(work, origin, domain, refusal, now_ms)
        })
    }
}

/// Why a message does not fit into the outbox, if it does not.
pub(super) fn full(
    connection: &Connection,
    new: &NewMessage,
    bounds: QueueBounds,
) -> Result<Option<Acceptance>, StoreError> {
    let Some(sender) = new.sender.filter(|_| !new.remote.is_empty()) else { return Ok(None) };
    // Counted no further than the bound: what is read stays small when much waits.
    let waiting: u64 = connection
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM outbox WHERE sender_device = ?1 LIMIT ?2)")?
        .query_row(params![sender.as_bytes(), bounds.sender], |row| row.get(0))?;
    if waiting.saturating_add(new.remote.len() as u64) > bounds.sender {
        return Ok(Some(Acceptance::SenderOutboxFull));
    }
    for (domain, _) in &new.remote {
        let waiting: u64 = connection
            .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM outbox WHERE domain = ?1 LIMIT ?2)")?
            .query_row(params![domain.as_str(), bounds.network], |row| row.get(0))?;
        if waiting >= bounds.network {
            return Ok(Some(Acceptance::OutboxFull(domain.clone())));
        }
    }
    Ok(None)
}

/// Puts a message into the outbox once for each network.
pub(super) fn enqueue(work: &mut Work<'_>, id: i64, new: &NewMessage, now_ms: u64) -> Result<(), StoreError> {
    let Some(sender) = new.sender else { return Ok(()) };
    for (domain, wraps) in &new.remote {
        work.connection()
            .prepare_cached(
                "INSERT INTO outbox (domain, message, wraps, sender_device, sender_message, next_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![domain.as_str(), id, wraps, sender.as_bytes(), new.message.as_bytes(), now_ms])?;
        work.outbox_changed();
    }
    Ok(())
}

/// A message's time is over: what of it is still in the outbox becomes notices.
pub(super) fn expire(work: &mut Work<'_>, message: i64, now_ms: u64) -> Result<(), StoreError> {
    let ids: Vec<i64> = work
        .connection()
        .prepare_cached("SELECT id FROM outbox WHERE message = ?1")?
        .query_map([message], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        if let Some((origin, domain)) = take(work, id)? {
            let refusal = Refusal {
                code: ErrorCode::PeerUnavailable.as_str().to_owned(),
                reason: format!("the message expired before network {domain} could be reached"),
            };
            tell(work, origin, domain, refusal, now_ms)?;
        }
    }
    Ok(())
}

fn take(work: &mut Work<'_>, id: i64) -> Result<Option<(Origin, Domain)>, StoreError> {
    let row: Option<(i64, String, Vec<u8>, Vec<u8>)> = work
        .connection()
        .prepare_cached("DELETE FROM outbox WHERE id = ?1 RETURNING message, domain, sender_device, sender_message")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((stored, name, device, message)) = row else { return Ok(None) };
    mailboxes::release(work.connection(), stored, 1)?;
    let origin =
        Origin { device: DeviceId::from_bytes(id16(&device)?), message: MessageId::from_bytes(id16(&message)?) };
    Ok(Some((origin, domain(&name)?)))
}

fn tell(work: &mut Work<'_>, origin: Origin, domain: Domain, refusal: Refusal, now_ms: u64) -> Result<(), StoreError> {
    let Refusal { code, reason } = refusal;
    mailboxes::notify(work, origin.device, &Notice { seq: 0, message: origin.message, domain, code, reason }, now_ms)
}

fn entry(row: &Row<'_>) -> Result<OutboxEntry, StoreError> {
    Ok(OutboxEntry {
        id: row.get(0)?,
        domain: domain(row.get_ref(1)?.as_str().unwrap_or_default())?,
        header: row.get(2)?,
        body: row.get(3)?,
        wraps: row.get(4)?,
        accepted_at_ms: row.get(5)?,
        expires_at_ms: row.get(6)?,
        attempts: row.get(7)?,
    })
}

fn domain(name: &str) -> Result<Domain, StoreError> {
    Domain::parse(name).map_err(|_| StoreError::Corrupt("a domain"))
}
