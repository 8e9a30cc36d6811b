//! Asking for what has come and could not be opened, by its id, and answering.

use std::collections::BTreeMap;

use sotto_crypto::{Address, DeviceId, MessageId};
use sotto_wire::content::Body;
use sotto_wire::limits::MAX_RESEND;

use super::chain::{Answering, put};
use crate::core::error::StoreError;
use crate::store::account::Account;
use crate::store::{Audience, LostRecord, SentById, Tx, list_all};
use crate::talk::chain::{again_after_ms, is_over};

fn due(lost: &LostRecord, now_ms: u64) -> bool {
    lost.ask_at_ms <= now_ms && !is_over(lost.asked)
}

/// Whether something is to be asked for now.
pub(super) fn is_due(tx: &Tx<'_>, now_ms: u64) -> Result<bool, StoreError> {
    Ok(list_all::<LostRecord>(tx)?.iter().any(|lost| due(lost, now_ms)))
}

/// Puts questions for it into the outbox: one to each device.
pub(super) fn ask(tx: &Tx<'_>, account: &Account, now_ms: u64) -> Result<(), StoreError> {
    let mut by_device: BTreeMap<(Address, DeviceId), Vec<MessageId>> = BTreeMap::new();
    for mut lost in list_all::<LostRecord>(tx)?.into_iter().filter(|lost| due(lost, now_ms)) {
        let ids = by_device.entry((lost.key.sender.clone(), lost.key.device)).or_default();
        if ids.len() < MAX_RESEND {
            ids.push(lost.key.message);
            lost.ask_at_ms = now_ms.saturating_add(again_after_ms(lost.asked));
            lost.asked = lost.asked.saturating_add(1);
            tx.put(&lost)?;
        }
    }
    for ((sender, device), mut ids) in by_device {
        ids.sort_unstable();
        put(tx, account, &sender, Audience::Only(vec![sender.clone()]), Body::ResendById(device, ids), now_ms)?;
    }
    Ok(())
}

/// Somebody could not open what this device has said: what went to them and is still here goes to them again.
pub(crate) fn answer(
    tx: &Tx<'_>,
    account: &Account,
    asker: &Address,
    ids: &[MessageId],
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut answering = Answering::begin(tx, asker, now_ms)?;
    let (mut gone, mut nothing) = (Vec::new(), Vec::new());
    let mut members = Vec::new();
    let mut again = Vec::new();
    for id in ids.iter().copied().take(MAX_RESEND) {
        if !answering.one_more() {
            break;
        }
        match tx.sent_by_id(id)? {
            SentById::Said(sent) if sent.people.contains(asker) => {
                members.extend(sent.people.iter().filter(|who| *who != asker).cloned());
                again.push(Body::Again(sent.message, sent.content.clone()));
            }
            SentById::Nothing => nothing.push(id),
            // What went to others only is as if it had never been.
            SentById::Said(_) | SentById::Gone => gone.push(id),
        }
    }
    let audience = answering.audience(tx, account, &members)?;
    for body in again {
        put(tx, account, asker, audience.clone(), body, now_ms)?;
    }
    if !gone.is_empty() || !nothing.is_empty() {
        put(tx, account, asker, audience, Body::GoneById(gone, nothing), now_ms)?;
    }
    answering.end(tx)
}
