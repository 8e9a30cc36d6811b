//! Devices and their prekeys.

use axum::extract::State;
use sotto_crypto::{DeviceId, DevicePublic, PrekeyBatch, PrekeyKind, verify_device};
use sotto_telemetry::names;
use sotto_wire::api::{DeviceEntry, DeviceList, PrekeyCount, RegisterDevice, UploadPrekeys};
use sotto_wire::limits::{MAX_DEVICES_A_USER, MAX_PREKEYS_A_BATCH};

use super::{DONE, Empty, Params};
use crate::auth::{Caller, LoginToken};
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::registry::CloseReason;
use crate::state::Shared;
use crate::store::{AddDevice, NewBatch, NewDevice, NewPrekey};

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
    let user = app.store.user(claims.address.local().to_owned()).await?.ok_or_else(Failure::unauthenticated)?;
    let identity = user.identity.ok_or_else(Failure::unauthenticated)?;
    check_label(&request.label)?;
    let verified =
        verify_device(&identity, &request.certificate).map_err(|e| Failure::invalid(format!("certificate: {e}")))?;
    if *verified.address() != claims.address {
        return Err(Failure::invalid("certificate.address: is not the user who has logged in"));
    }
    let now_ms = app.now_ms();
    let one_time =
        check_batch("one_time", &request.one_time, PrekeyKind::OneTime, verified.device(), verified.key(), now_ms)?;
    let medium_term = check_batch(
        "medium_term",
        &request.medium_term,
        PrekeyKind::MediumTerm,
        verified.device(),
        verified.key(),
        now_ms,
    )?;
    let device = NewDevice {
        address: claims.address,
        generation: claims.generation,
        device: verified.device(),
        key: verified.key().clone(),
        certificate: request.certificate,
        label: request.label,
        batches: vec![one_time, medium_term],
    };
    match app.store.add_device(device, MAX_DEVICES_A_USER).await? {
        AddDevice::Added => {
            metrics::counter!(names::DEVICES_ADDED).increment(1);
            Ok(DONE)
        }
        AddDevice::IdTaken => Err(Failure::invalid("certificate.device: another device has this id; make a new one")),
        AddDevice::TooMany => {
            Err(Failure::forbidden(format!("devices: a user has {MAX_DEVICES_A_USER} at most; remove one first")))
        }
        AddDevice::TokenUsed => Err(Failure::unauthenticated()),
        AddDevice::Suspended => Err(Failure::suspended()),
    }
}

pub(crate) async fn list(State(app): State<Shared>, caller: Caller) -> Reply<Cbor<DeviceList>> {
    let records = app.store.devices_of(caller.address.local().to_owned()).await?;
    let devices = records
        .into_iter()
        .map(|record| DeviceEntry {
            certificate: record.certificate,
            label: record.label,
            last_seen_ms: record.last_seen_ms,
        })
        .collect();
    Ok(Cbor(DeviceList { devices }))
}

pub(crate) async fn remove(State(app): State<Shared>, caller: Caller, params: Params) -> Empty {
    let device: DeviceId = params.parse("device")?;
    if !app.store.remove_device(caller.address.local().to_owned(), device).await? {
        return Err(Failure::not_found("there is no such device of this user"));
    }
    app.shares.forget(device);
    app.registry.close(&[device], CloseReason::Removed);
    Ok(DONE)
}

/// Removes every device but the caller's.
pub(crate) async fn remove_others(State(app): State<Shared>, caller: Caller) -> Empty {
    let removed = app.store.reset_devices(caller.address.local().to_owned(), Some(caller.device)).await?;
    for device in &removed {
        app.shares.forget(*device);
    }
    app.registry.close(&removed, CloseReason::Removed);
    Ok(DONE)
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
