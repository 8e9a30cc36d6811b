//! Prekeys: made in batches, topped up when few are left, made anew weekly, forgotten when nothing sealed to them can be
//! in a queue any more. All by what this device knows: the relay's word can only make it do more.

use sotto_crypto::rand_core::CryptoRng;
use sotto_crypto::{BatchId, CLOCK_TOLERANCE_MS, MEDIUM_TERM_MS, PrekeyBatch, PrekeyKind, SystemRng, generate_prekeys};
use sotto_wire::api::PrekeyCount;
use sotto_wire::limits;

use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::{Error, StoreError};
use crate::core::platform::blocking;
use crate::send::chain::say_all_heads;
use crate::store::account::Account;
use crate::store::{BatchRecord, PrekeyRecord, Record as _, Tx, list_all, sweep};

pub(super) const DAY_MS: u64 = 24 * 3600 * 1000;
const QUEUE_MS: u64 = limits::MAX_QUEUE_SECONDS * 1000;
/// One-time prekeys that nobody uses are replaced after half a year.
const ONE_TIME_LIFE_MS: u64 = 180 * DAY_MS;
/// For this long a message can open again: as long as the secret of a medium-term prekey is kept, and a day for clocks
/// that differ. Until then it is remembered, so that a relay that brings it again is not believed.
pub(crate) const REPLAY_MS: u64 = limits::REPLAY_SECONDS * 1000;
/// Batches whose secrets are kept: who asks for prekeys and never uses them does not fill the disk.
const MAX_ONE_TIME: usize = 256;
const MAX_MEDIUM_TERM: usize = 16;
/// New batches in one upload.
const MAX_NEW: u32 = 3;

/// A batch with its secrets.
pub(crate) struct NewBatch {
    pub(crate) public: PrekeyBatch,
    secrets: Vec<PrekeyRecord>,
    record: Option<BatchRecord>,
}

impl NewBatch {
    /// Makes a batch.
    pub(crate) fn generate<R: CryptoRng + ?Sized>(
        rng: &mut R,
        account: &Account,
        kind: PrekeyKind,
        now_ms: u64,
    ) -> Self {
        let (count, life_ms) = match kind {
            PrekeyKind::OneTime => (limits::PREKEYS_A_BATCH, ONE_TIME_LIFE_MS),
            PrekeyKind::MediumTerm => {
                (limits::MEDIUM_TERM_WEEKS, MEDIUM_TERM_MS * u64::from(limits::MEDIUM_TERM_WEEKS))
            }
        };
        let expires = now_ms.saturating_add(life_ms);
        let (public, secrets) =
            generate_prekeys(rng, &account.device_key, account.device, kind, count, now_ms, expires);
        let header = public.header.unverified().ok();
        let record = header.as_ref().map(|h| BatchRecord {
            batch: h.batch,
            kind,
            count: h.count,
            forget_at_ms: expires.saturating_add(QUEUE_MS),
        });
        let secrets = header
            .iter()
            .flat_map(|h| {
                (0..).zip(&secrets).map(|(index, secret)| PrekeyRecord {
                    batch: h.batch,
                    index,
                    one_time: kind == PrekeyKind::OneTime,
                    secret: secret.to_bytes().to_vec(),
                })
            })
            .collect();
        Self { public, secrets, record }
    }

    /// Stores the secrets: before anybody can seal to the public halves.
    pub(crate) fn store(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        self.record.iter().try_for_each(|r| tx.put(r))?;
        self.secrets.iter().try_for_each(|s| tx.put(s))
    }
}

/// A batch of this device, and which of its secrets are here still, in order.
#[derive(Clone)]
struct Own {
    record: BatchRecord,
    here: Vec<u32>,
}

impl Own {
    fn made_at_ms(&self) -> u64 {
        self.record.begins_at_ms(0)
    }
}

/// All batches whose secrets are here. Used-up ones are forgotten.
fn own(tx: &Tx<'_>) -> Result<Vec<Own>, StoreError> {
    let mut all = Vec::new();
    for record in list_all::<BatchRecord>(tx)? {
        let mut here = Vec::new();
        for index in 0..record.count {
            if tx.has::<PrekeyRecord>(&PrekeyRecord::key_of(&record.prekey(index)))? {
                here.push(index);
            }
        }
        if here.is_empty() {
            tx.delete::<BatchRecord>(&record.key())?;
        } else {
            all.push(Own { record, here });
        }
    }
    Ok(all)
}

/// What is to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    kinds: Vec<PrekeyKind>,
    /// The relay would hand out what is used: all that it has is to be replaced.
    replace: bool,
}

/// Compares what the relay has with what was here before it was asked.
fn wanted(count: &PrekeyCount, own: &[Own], now_ms: u64) -> Wanted {
    let known = |batch: BatchId| own.iter().find(|own| own.record.batch == batch);
    let is_used = |batch: BatchId, index: u32| known(batch).is_none_or(|own| own.here.binary_search(&index).is_err());
    let replace = count.batches.iter().any(|left| left.indices().any(|index| is_used(left.batch, index)));
    let mut kinds = Vec::new();
    let of_kind = |kind| own.iter().filter(move |own| own.record.kind == kind);
    let there = |own: &&Own| count.batches.iter().any(|left| left.batch == own.record.batch);
    // Where the clock was wrong when they were made, that is noticed too.
    let in_use = |own: &Own| {
        (own.made_at_ms().saturating_sub(DAY_MS)..own.made_at_ms().saturating_add(MEDIUM_TERM_MS)).contains(&now_ms)
    };
    if replace || !of_kind(PrekeyKind::MediumTerm).filter(there).any(in_use) {
        kinds.push(PrekeyKind::MediumTerm);
    }
    let usable = of_kind(PrekeyKind::OneTime).filter(there).map(|own| own.here.len()).fold(0, usize::saturating_add);
    let left = count.one_time.min(u32::try_from(usable).unwrap_or(u32::MAX));
    let left = if replace { 0 } else { left };
    // More than enough at once: the next message would ask for more otherwise.
    let missing = if left < limits::PREKEYS_LOW { limits::PREKEYS_LOW + limits::PREKEYS_A_BATCH - left } else { 0 };
    let batches = missing.div_ceil(limits::PREKEYS_A_BATCH).min(MAX_NEW);
    kinds.extend((0..batches).map(|_| PrekeyKind::OneTime));
    Wanted { kinds, replace }
}

/// The relay has the newest medium-term prekeys: nobody seals to those that other ones hold for weeks to come. With `all`, it has
/// nothing but the newest: what is older is of use for what is on its way only.
fn forget_replaced(tx: &Tx<'_>, newest: &[BatchId], all: bool, now_ms: u64) -> Result<(), StoreError> {
    for batch in list_all::<BatchRecord>(tx)?.into_iter().filter(|batch| !newest.contains(&batch.batch)) {
        match batch.kind {
            PrekeyKind::MediumTerm => {
                let soon = now_ms.saturating_add(CLOCK_TOLERANCE_MS);
                for index in (1..batch.count).filter(|index| batch.begins_at_ms(*index) > soon) {
                    tx.delete::<PrekeyRecord>(&PrekeyRecord::key_of(&batch.prekey(index)))?;
                }
            }
            PrekeyKind::OneTime if all => {
                let forget_at_ms = batch.forget_at_ms.min(now_ms.saturating_add(QUEUE_MS));
                tx.put(&BatchRecord { forget_at_ms, ..batch })?;
            }
            PrekeyKind::OneTime => {}
        }
    }
    Ok(())
}

/// Forgets the oldest of too many.
fn bound(tx: &Tx<'_>) -> Result<(), StoreError> {
    for (kind, most) in [(PrekeyKind::OneTime, MAX_ONE_TIME), (PrekeyKind::MediumTerm, MAX_MEDIUM_TERM)] {
        let mut batches = list_all::<BatchRecord>(tx)?;
        batches.retain(|batch| batch.kind == kind);
        batches.sort_by_key(|batch| batch.forget_at_ms);
        let many = batches.len().saturating_sub(most);
        for batch in batches.iter().take(many) {
            for index in 0..batch.count {
                tx.delete::<PrekeyRecord>(&PrekeyRecord::key_of(&batch.prekey(index)))?;
            }
            tx.delete::<BatchRecord>(&batch.key())?;
        }
    }
    Ok(())
}

impl Receiving {
    /// Forgets what is over, looks how many prekeys are left, uploads what is wanted. Whether the relay had forgotten which it
    /// has handed out, so that all were replaced.
    pub(crate) async fn maintain_prekeys(&self) -> Result<bool, Error> {
        let now = now_ms();
        // Without asking anybody: a relay that gives no answer must not keep secrets alive. And before it is asked: what is used then
        // has been handed out before it answers.
        let own = self.store.run(move |tx| sweep(tx, now).and_then(|_| own(tx))).await?;
        let Wanted { kinds, replace } = wanted(&self.api.prekeys().await?, &own, now);
        if kinds.is_empty() {
            return Ok(false);
        }
        if replace {
            tracing::warn!(
                "the relay would hand out prekeys that were used: it, or this profile, was restored from a backup, or it is not honest; all of this device are replaced"
            );
        }
        let account = self.account.clone();
        let store = self.store.clone();
        let batches = blocking(move || {
            let batches: Vec<NewBatch> =
                kinds.into_iter().map(|kind| NewBatch::generate(&mut SystemRng, &account, kind, now)).collect();
            store.run_blocking(|tx| batches.iter().try_for_each(|b| b.store(tx)))?;
            Ok::<_, StoreError>(batches)
        })
        .await
        .map_err(|_| Error::Internal("making prekeys was cut off"))??;
        let newest: Vec<BatchId> = batches.iter().filter_map(|b| b.record.as_ref()).map(|r| r.batch).collect();
        let medium_term = batches.iter().any(|b| b.record.as_ref().is_some_and(|r| r.kind == PrekeyKind::MediumTerm));
        self.api.upload_prekeys(batches.into_iter().map(|b| b.public).collect(), replace).await?;
        let forget = move |tx: &Tx<'_>| {
            if medium_term {
                forget_replaced(tx, &newest, replace, now)?;
            }
            if replace {
                say_all_heads(tx, now)?;
            }
            bound(tx)
        };
        self.store.run(forget).await?;
        if replace {
            self.wake();
        }
        Ok(replace)
    }
}

#[cfg(test)]
mod tests;
