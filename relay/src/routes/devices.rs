//! Devices and their prekeys.

use axum::extract::State;
use sotto_crypto::{
    Address, CLOCK_TOLERANCE_MS, DeviceId, DeviceList, DevicePublic, PrekeyBatch, PrekeyKind, Signed, VerifiedDevices,
    verify_devices,
};
use sotto_telemetry::names;
use sotto_wire::ErrorCode;
use sotto_wire::api::{DeviceEntry, OwnDevices, PrekeyCount, PutDevices, RegisterDevice, UploadPrekeys};
use sotto_wire::limits::{MAX_DEVICES_A_USER, MAX_PREKEYS_A_BATCH};

use super::{DONE, Empty};
use crate::auth::{Account, Caller, LoginToken};
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::policy::membership;
use crate::registry::CloseReason;
use crate::state::{App, Shared};
use crate::store::{AddDevice, DeviceRecord, NewBatch, NewDevice, NewList, NewPrekey, PutList, UserRecord};

/// Characters of a label.
const MAX_LABEL: usize = 60;
/// One-time prekeys that may wait for one device.
const MAX_ONE_TIME: usize = 4 * MAX_PREKEYS_A_BATCH;
/// Batches in one upload.
const MAX_BATCHES: usize = 4;

pub(crate) async fn add(
    State(app): State<Shared>,
    LoginToken(claims): LoginToken,
    Cbor(request): Cbor<RegisterDevice>,
) -> Empty {
    let user = user(&app, &claims.address).await?;
    check_label(&request.label)?;
    let now_ms = app.now_ms();
    let (list, devices) = check_list(&claims.address, &user, request.list, request.before, now_ms)?;
    let verified = devices.device(request.device).ok_or_else(|| {
        Failure::invalid("list.devices: the device that is to be added, which `device` names, is not in it")
    })?;
    let (device, key) = (verified.device(), verified.key());
    let one_time = check_batch("one_time", &request.one_time, PrekeyKind::OneTime, device, key, now_ms)?;
    let medium_term = check_batch("medium_term", &request.medium_term, PrekeyKind::MediumTerm, device, key, now_ms)?;
    let device = NewDevice {
        address: claims.address,
        generation: claims.generation,
        device,
        key: key.clone(),
        list,
        label: request.label,
        batches: vec![one_time, medium_term],
    };
    match app.store.add_device(device).await? {
        AddDevice::Added(removed) => {
            app.registry.close(&removed, CloseReason::Removed);
            metrics::counter!(names::DEVICES_ADDED).increment(1);
            Ok(DONE)
        }
        AddDevice::IdTaken => Err(Failure::invalid("device: another device has this id; make a new one")),
        AddDevice::ListChanged => Err(list_changed()),
        AddDevice::TokenUsed => Err(Failure::unauthenticated()),
        AddDevice::Suspended => Err(Failure::suspended()),
    }
}

pub(crate) async fn list(State(app): State<Shared>, account: Account) -> Reply<Cbor<OwnDevices>> {
    let user = user(&app, &account.address).await?;
    let records = app.store.devices_of(account.address.local().to_owned()).await?;
    let entry = |record: DeviceRecord| DeviceEntry {
        device: record.device,
        label: record.label,
        last_seen_ms: record.last_seen_ms,
    };
    let devices = records.into_iter().map(entry).collect();
    let shown = app.shown()?;
    let (membership, head) = (shown.membership(account.address.local())?, shown.head.clone());
    Ok(Cbor(OwnDevices { list: user.list, devices, membership, head }))
}

/// Replaces the list of the caller's devices; those that are not in it go.
pub(crate) async fn put_list(State(app): State<Shared>, caller: Caller, Cbor(put): Cbor<PutDevices>) -> Empty {
    let user = user(&app, &caller.address).await?;
    let (list, devices) = check_list(&caller.address, &user, put.list, put.before, app.now_ms())?;
    if devices.device(caller.device).is_none() {
        return Err(Failure::invalid("list.devices: the calling device is not in it, and no device removes itself"));
    }
    match app.store.put_list(caller.address.local().to_owned(), list).await? {
        PutList::Stored(removed) => {
            for device in &removed {
                app.shares.forget(*device);
            }
            app.registry.close(&removed, CloseReason::Removed);
            Ok(DONE)
        }
        PutList::Changed => Err(list_changed()),
    }
}

async fn user(app: &App, address: &Address) -> Reply<UserRecord> {
    app.store.user(address.local().to_owned()).await?.ok_or_else(Failure::unauthenticated)
}

fn list_changed() -> Failure {
    Failure::new(
        ErrorCode::DevicesChanged,
        "before: the list of devices is another one by now; fetch it, and sign again",
    )
}

/// A list that senders will be shown. Its times are those of its device's clock, which must not be ahead: a later list would not be
/// later then.
fn check_list(
    address: &Address,
    user: &UserRecord,
    list: Signed<DeviceList>,
    before: Option<u64>,
    now_ms: u64,
) -> Reply<(NewList, VerifiedDevices)> {
    let identity = user.identity.as_ref().ok_or_else(Failure::unauthenticated)?;
    let from_ms = membership(&user.membership)?.unverified().map_err(|_| Failure::no_policy())?.devices_from_ms;
    let verified = verify_devices(identity, &list).map_err(|e| Failure::invalid(format!("list: {e}")))?;
    if verified.address() != address {
        return Err(Failure::invalid("list.address: is not the user who calls"));
    }
    if before.is_some_and(|before| verified.serial() <= before) {
        return Err(Failure::invalid("list.serial: is not above that of the list that it was made from"));
    }
    if verified.serial() < from_ms {
        return Err(Failure::invalid("list.serial: is from before the administrator has removed all devices"));
    }
    if verified.serial() > now_ms.max(from_ms).saturating_add(CLOCK_TOLERANCE_MS) || verified.expires_at_ms() <= now_ms
    {
        return Err(Failure::invalid("list: made for another time than now; set the clock of the device"));
    }
    if verified.devices().len() > MAX_DEVICES_A_USER {
        return Err(Failure::forbidden(format!("devices: a user has {MAX_DEVICES_A_USER} at most; remove one first")));
    }
    let devices = verified.devices().iter().map(sotto_crypto::VerifiedDevice::device).collect();
    Ok((NewList { list, serial: verified.serial(), before, devices }, verified))
}

pub(crate) async fn prekeys(State(app): State<Shared>, caller: Caller) -> Reply<Cbor<PrekeyCount>> {
    Ok(Cbor(app.store.prekey_count(caller.device, app.now_ms()).await?))
}

pub(crate) async fn upload(
    State(app): State<Shared>,
    caller: Caller,
    Cbor(request): Cbor<UploadPrekeys>,
) -> Reply<Cbor<PrekeyCount>> {
    if request.batches.is_empty() || request.batches.len() > MAX_BATCHES {
        return Err(Failure::invalid(format!(
            "batches: {} of them, 1 to {MAX_BATCHES} are allowed",
            request.batches.len()
        )));
    }
    let record = app.store.device(caller.device).await?.ok_or_else(Failure::unauthenticated)?;
    let now_ms = app.now_ms();
    let batches = request
        .batches
        .iter()
        .map(|batch| {
            let header = batch.header.unverified().map_err(|e| Failure::invalid(format!("batches: {e}")))?;
            check_batch("batches", batch, header.kind, caller.device, &record.key, now_ms)
        })
        .collect::<Reply<Vec<_>>>()?;
    let brings_more = batches.iter().any(|batch| batch.kind == PrekeyKind::OneTime);
    match app.store.add_prekeys(caller.device, batches, request.replace, MAX_ONE_TIME, now_ms).await? {
        Some(true) => {
            if brings_more {
                app.shares.forget(caller.device);
            }
            Ok(Cbor(app.store.prekey_count(caller.device, now_ms).await?))
        }
        Some(false) => Err(Failure::invalid(format!(
            "batches: more than {MAX_ONE_TIME} one-time prekeys would wait; upload them when fewer are left"
        ))),
        None => Err(Failure::unauthenticated()),
    }
}

fn check_label(label: &str) -> Reply<()> {
    if label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
        return Err(Failure::invalid(format!("label: at most {MAX_LABEL} characters, no control characters")));
    }
    Ok(())
}

fn check_batch(
    field: &str,
    batch: &PrekeyBatch,
    kind: PrekeyKind,
    device: DeviceId,
    key: &DevicePublic,
    now_ms: u64,
) -> Reply<NewBatch> {
    let invalid = |what: String| Failure::invalid(format!("{field}: {what}"));
    if batch.keys.is_empty() || batch.keys.len() > MAX_PREKEYS_A_BATCH {
        return Err(invalid(format!("{} keys, 1 to {MAX_PREKEYS_A_BATCH} are allowed", batch.keys.len())));
    }
    let header = batch.verify(key).map_err(|error| invalid(error.to_string()))?;
    if header.device != device {
        return Err(invalid("made for another device".to_owned()));
    }
    if header.kind != kind {
        return Err(invalid("of the wrong kind".to_owned()));
    }
    if header.expires_at_ms <= now_ms {
        return Err(invalid("has expired; is the clock right?".to_owned()));
    }
    let keys = (0..header.count)
        .filter_map(|index| batch.prekey(index))
        .map(|prekey| NewPrekey {
            index: prekey.index,
            key: prekey.key.as_bytes().to_vec(),
            proof: prekey.proof.concat(),
            valid_ms: header.valid(prekey.index),
        })
        .collect();
    Ok(NewBatch {
        kind,
        batch: header.batch,
        header: batch.header.to_bytes(),
        expires_at_ms: header.expires_at_ms,
        keys,
    })
}
