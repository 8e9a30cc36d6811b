//! Devices and prekeys.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sotto_crypto::{DeviceId, DeviceList, DevicePublic, Prekey, PrekeyBatchHeader, PrekeyKind, PrekeyPublic, Signed};
use sotto_wire::api::PrekeyCount;

use super::{Sqlite, Work, accounts, device_id, mailboxes};
use crate::store::accounts::role_from_sql;
use crate::store::{
    AddDevice, Answer, Claim, Claimed, DeviceRecord, Devices, DirectoryUser, NewBatch, NewDevice, NewList, PutList,
    StoreError,
};

const ONE_TIME: i64 = 0;
const MEDIUM_TERM: i64 = 1;

const RECORD: &str = "SELECT d.device, d.local, u.grp, u.suspended, d.key, d.label, d.last_seen_ms
    FROM devices d JOIN users u ON u.local = d.local";

impl Devices for Sqlite {
    fn add_device(&self, new: NewDevice) -> Answer<'_, AddDevice> {
        self.write(move |work| add(work, &new))
    }

    fn put_list(&self, local: String, list: NewList) -> Answer<'_, PutList> {
        self.write(move |work| {
            let Some(removed) = put_list(work, &local, &list)? else { return Ok(PutList::Changed) };
            if !removed.is_empty() {
                accounts::end_tokens(work, &local)?;
            }
            Ok(PutList::Stored(removed))
        })
    }

    fn device(&self, device: DeviceId) -> Answer<'_, Option<DeviceRecord>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{RECORD} WHERE d.device = ?1"))?;
            let mut rows = statement.query([device.as_bytes()])?;
            rows.next()?.map(record).transpose()
        })
    }

    fn devices_of(&self, local: String) -> Answer<'_, Vec<DeviceRecord>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!("{RECORD} WHERE d.local = ?1 ORDER BY d.id"))?;
            let mut rows = statement.query([local])?;
            let mut records = Vec::new();
            while let Some(row) = rows.next()? {
                records.push(record(row)?);
            }
            Ok(records)
        })
    }

    fn reset_devices(&self, local: String) -> Answer<'_, Vec<DeviceId>> {
        self.write(move |work| accounts::reset_devices(work, &local))
    }

    fn touch_device(&self, device: DeviceId, now_ms: u64) -> Answer<'_, ()> {
        self.write(move |work| {
            work.connection()
                .prepare_cached("UPDATE devices SET last_seen_ms = ?2 WHERE device = ?1")?
                .execute(params![device.as_bytes(), now_ms])?;
            Ok(())
        })
    }

    fn directory(&self, locals: Vec<String>, now_ms: u64) -> Answer<'_, Vec<DirectoryUser>> {
        self.read(move |connection| {
            let mut users = Vec::with_capacity(locals.len());
            for local in locals {
                users.extend(directory_user(connection, local, now_ms)?);
            }
            Ok(users)
        })
    }

    fn add_prekeys(
        &self,
        device: DeviceId,
        batches: Vec<NewBatch>,
        limit: usize,
        now_ms: u64,
    ) -> Answer<'_, Option<bool>> {
        self.write(move |work| {
            let connection = work.connection();
            let known: bool = connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM devices WHERE device = ?1)",
                [device.as_bytes()],
                |row| row.get(0),
            )?;
            if !known {
                return Ok(None);
            }
            for batch in &batches {
                insert_batch(connection, device, batch)?;
            }
            let within = usize::try_from(count_one_time(connection, device, now_ms)?).is_ok_and(|count| count <= limit);
            Ok(Some(if within { true } else { work.roll_back(false) }))
        })
    }

    fn prekey_count(&self, device: DeviceId, now_ms: u64) -> Answer<'_, PrekeyCount> {
        self.read(move |connection| {
            let medium_term_expires_at_ms: Option<u64> = connection
                .prepare_cached("SELECT max(expires_ms) FROM prekey_batches WHERE device = ?1 AND kind = ?2")?
                .query_row(params![device.as_bytes(), MEDIUM_TERM], |row| row.get(0))?;
            Ok(PrekeyCount {
                one_time: count_one_time(connection, device, now_ms)?,
                medium_term_expires_at_ms: medium_term_expires_at_ms.unwrap_or(0),
            })
        })
    }

    fn claim_prekeys(&self, claims: Vec<Claim>, now_ms: u64) -> Answer<'_, Vec<Claimed>> {
        self.write(move |work| {
            let mut claimed = Vec::with_capacity(claims.len());
            for claim in claims {
                claimed.extend(claim_one(work.connection(), claim, now_ms)?);
            }
            Ok(claimed)
        })
    }
}

fn add(work: &mut Work<'_>, new: &NewDevice) -> Result<AddDevice, StoreError> {
    let connection = work.connection();
    let local = new.address.local();
    let there: Option<(String, Vec<u8>)> = connection
        .query_row("SELECT local, key FROM devices WHERE device = ?1", [new.device.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((owner, key)) = there {
        let same = owner == local && key == new.key.as_bytes();
        return Ok(if same { AddDevice::Added(Vec::new()) } else { AddDevice::IdTaken });
    }
    let user: Option<(bool, u64)> = connection
        .query_row("SELECT suspended, generation FROM users WHERE local = ?1", [local], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    match user {
        Some((true, _)) => return Ok(AddDevice::Suspended),
        Some((false, generation)) if generation == new.generation => {}
        _ => return Ok(AddDevice::TokenUsed),
    }
    let Some(removed) = put_list(work, local, &new.list)? else { return Ok(AddDevice::ListChanged) };
    let connection = work.connection();
    connection.execute("UPDATE users SET generation = generation + 1 WHERE local = ?1", [local])?;
    connection.execute(
        "INSERT INTO devices (device, local, key, label) VALUES (?1, ?2, ?3, ?4)",
        params![new.device.as_bytes(), local, new.key.as_bytes(), new.label],
    )?;
    for batch in &new.batches {
        insert_batch(connection, new.device, batch)?;
    }
    Ok(AddDevice::Added(removed))
}

/// Puts a user's list, and removes the devices that are not in it. `None` where it was made from another one than the current one.
fn put_list(work: &mut Work<'_>, local: &str, new: &NewList) -> Result<Option<Vec<DeviceId>>, StoreError> {
    let put = work.connection().execute(
        "UPDATE users SET device_list = ?2, device_list_serial = ?3
         WHERE local = ?1 AND device_list_serial IS ?4 AND coalesce(device_list_serial, 0) < ?3",
        params![local, new.list.to_bytes(), new.serial, new.before],
    )?;
    if put == 0 {
        return Ok(None);
    }
    remove_all(work, local, &new.devices).map(Some)
}

fn insert_batch(connection: &Connection, device: DeviceId, batch: &NewBatch) -> Result<(), StoreError> {
    let kind = match batch.kind {
        PrekeyKind::OneTime => ONE_TIME,
        PrekeyKind::MediumTerm => MEDIUM_TERM,
    };
    // A repeat of a batch must not bring back keys that have been handed out.
    let inserted = connection
        .prepare_cached("INSERT OR IGNORE INTO prekey_batches VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![device.as_bytes(), batch.batch.as_bytes(), kind, batch.header, batch.expires_at_ms])?;
    if inserted == 0 {
        return Ok(());
    }
    let mut insert = connection.prepare_cached("INSERT INTO prekeys VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for prekey in &batch.keys {
        insert.execute(params![device.as_bytes(), batch.batch.as_bytes(), prekey.index, prekey.key, prekey.proof])?;
    }
    if kind == MEDIUM_TERM {
        connection
            .prepare_cached("DELETE FROM prekey_batches WHERE device = ?1 AND kind = ?2 AND batch <> ?3")?
            .execute(params![device.as_bytes(), MEDIUM_TERM, batch.batch.as_bytes()])?;
    }
    Ok(())
}

/// Removes a device with its queue.
pub(super) fn remove(work: &mut Work<'_>, device: DeviceId) -> Result<(), StoreError> {
    mailboxes::empty(work, device)?;
    work.connection().execute("DELETE FROM devices WHERE device = ?1", [device.as_bytes()])?;
    Ok(())
}

/// Removes a user's devices but those to be kept, with their queues.
pub(super) fn remove_all(work: &mut Work<'_>, local: &str, keep: &[DeviceId]) -> Result<Vec<DeviceId>, StoreError> {
    let raw: Vec<Vec<u8>> = work
        .connection()
        .prepare_cached("SELECT device FROM devices WHERE local = ?1")?
        .query_map([local], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut devices = raw.iter().map(|bytes| device_id(bytes)).collect::<Result<Vec<_>, _>>()?;
    devices.retain(|device| !keep.contains(device));
    for device in &devices {
        remove(work, *device)?;
    }
    Ok(devices)
}

fn record(row: &Row<'_>) -> Result<DeviceRecord, StoreError> {
    Ok(DeviceRecord {
        device: device_id(row.get_ref(0)?.as_blob().unwrap_or_default())?,
        local: row.get(1)?,
        group: row.get(2)?,
        suspended: row.get(3)?,
        key: DevicePublic::from_bytes(row.get_ref(4)?.as_blob().unwrap_or_default())
            .map_err(|_| StoreError::Corrupt("a device key"))?,
        label: row.get(5)?,
        last_seen_ms: row.get(6)?,
    })
}

/// A list as it was put.
pub(super) fn list(bytes: &[u8]) -> Result<Signed<DeviceList>, StoreError> {
    Signed::from_bytes(bytes).map_err(|_| StoreError::Corrupt("a list of devices"))
}

fn directory_user(connection: &Connection, local: String, now_ms: u64) -> Result<Option<DirectoryUser>, StoreError> {
    type Row = (String, i64, Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);
    let user: Option<Row> = connection
        .prepare_cached(
            "SELECT grp, role, identity, voucher, device_list FROM users
             WHERE local = ?1 AND suspended = 0 AND record IS NOT NULL AND identity IS NOT NULL",
        )?
        .query_row([&local], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let Some((group, role, identity, voucher, signed)) = user else { return Ok(None) };
    let mut statement = connection.prepare_cached(
        "SELECT d.device FROM devices d WHERE d.local = ?1 AND EXISTS (
           SELECT 1 FROM prekey_batches b WHERE b.device = d.device AND b.kind = ?2 AND b.expires_ms > ?3)
         ORDER BY d.id",
    )?;
    let mut rows = statement.query(params![local, MEDIUM_TERM, now_ms])?;
    let mut devices = Vec::new();
    while let Some(row) = rows.next()? {
        devices.push(device_id(row.get_ref(0)?.as_blob().unwrap_or_default())?);
    }
    let list = signed.as_deref().map(list).transpose()?;
    let identity = accounts::identity(&identity)?;
    Ok(Some(DirectoryUser { local, group, role: role_from_sql(role), identity, voucher, list, devices }))
}

fn count_one_time(connection: &Connection, device: DeviceId, now_ms: u64) -> Result<u32, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT count(*) FROM prekey_batches b JOIN prekeys p ON p.device = b.device AND p.batch = b.batch
             WHERE b.device = ?1 AND b.kind = ?2 AND b.expires_ms > ?3",
        )?
        .query_row(params![device.as_bytes(), ONE_TIME, now_ms], |row| row.get(0))?)
}

/// Header, batch, index, key and proof as they are stored.
type StoredPrekey = (Vec<u8>, Vec<u8>, u32, Vec<u8>, Vec<u8>);

fn claim_one(connection: &Connection, claim: Claim, now_ms: u64) -> Result<Option<Claimed>, StoreError> {
    let Claim { device, one_time } = claim;
    if one_time && let Some(stored) = first_prekey(connection, device, ONE_TIME, now_ms)? {
        connection
            .prepare_cached("DELETE FROM prekeys WHERE device = ?1 AND batch = ?2 AND idx = ?3")?
            .execute(params![device.as_bytes(), stored.1, stored.2])?;
        return Ok(Some(Claimed { device, prekey: prekey(stored)?, exhausted: false }));
    }
    let Some(stored) = first_prekey(connection, device, MEDIUM_TERM, now_ms)? else { return Ok(None) };
    Ok(Some(Claimed { device, prekey: prekey(stored)?, exhausted: one_time }))
}

fn first_prekey(
    connection: &Connection,
    device: DeviceId,
    kind: i64,
    now_ms: u64,
) -> Result<Option<StoredPrekey>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT b.header, b.batch, p.idx, p.key, p.proof
             FROM prekey_batches b JOIN prekeys p ON p.device = b.device AND p.batch = b.batch
             WHERE b.device = ?1 AND b.kind = ?2 AND b.expires_ms > ?3 LIMIT 1",
        )?
        .query_row(params![device.as_bytes(), kind, now_ms], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?)
}

fn prekey((header, _, index, key, proof): StoredPrekey) -> Result<Prekey, StoreError> {
    const WHAT: StoreError = StoreError::Corrupt("a prekey");
    let (nodes, rest) = proof.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(WHAT);
    }
    Ok(Prekey {
        header: Signed::<PrekeyBatchHeader>::from_bytes(&header).map_err(|_| WHAT)?,
        index,
        key: PrekeyPublic::from_bytes(&key).map_err(|_| WHAT)?,
        proof: nodes.to_vec(),
    })
}
