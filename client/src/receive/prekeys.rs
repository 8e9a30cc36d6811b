//! Prekeys: made in batches, topped up when few are left, rotated weekly, forgotten when nothing sealed to them can be
//! in a queue any more.

use sotto_crypto::rand_core::CryptoRng;
use sotto_crypto::{PrekeyBatch, PrekeyKind, SystemRng, generate_prekeys};
use sotto_wire::api::PrekeyCount;
use sotto_wire::limits;

use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::{Error, StoreError};
use crate::core::platform::blocking;
use crate::store::account::Account;
use crate::store::{BatchRecord, PrekeyRecord, Tx, sweep};

const DAY_MS: u64 = 24 * 3600 * 1000;
/// One-time prekeys that nobody uses are replaced after half a year.
const ONE_TIME_LIFE_MS: u64 = 180 * DAY_MS;
/// A device is a recipient only while its medium-term prekey lives, so it outlives a month offline.
const MEDIUM_TERM_LIFE_MS: u64 = 60 * DAY_MS;
/// For this long a message can open again: as long as the secret of a medium-term prekey is kept, and a day for clocks
/// that differ. Until then it is remembered, so that a relay that brings it again is not believed.
pub(crate) const REPLAY_MS: u64 = limits::REPLAY_SECONDS * 1000;
const _: () = assert!(REPLAY_MS == MEDIUM_TERM_LIFE_MS + limits::MAX_QUEUE_SECONDS * 1000 + DAY_MS);
/// The medium-term prekey is replaced when it is a week old.
const ROTATE_AFTER_MS: u64 = 7 * DAY_MS;

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
            PrekeyKind::MediumTerm => (1, MEDIUM_TERM_LIFE_MS),
        };
        let expires = now_ms.saturating_add(life_ms);
        let (public, secrets) =
            generate_prekeys(rng, &account.device_key, account.device, kind, count, now_ms, expires);
        let header = public.header.unverified().ok();
        let record = header.as_ref().map(|h| BatchRecord {
            batch: h.batch,
            kind,
            count: h.count,
            forget_at_ms: expires.saturating_add(limits::MAX_QUEUE_SECONDS * 1000),
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

/// Which batches the relay should get.
fn wanted(count: PrekeyCount, now_ms: u64) -> Vec<PrekeyKind> {
    let mut kinds = Vec::new();
    if count.one_time < limits::PREKEYS_LOW {
        kinds.push(PrekeyKind::OneTime);
    }
    if count.medium_term_expires_at_ms < now_ms.saturating_add(MEDIUM_TERM_LIFE_MS - ROTATE_AFTER_MS) {
        kinds.push(PrekeyKind::MediumTerm);
    }
    kinds
}

impl Receiving {
    /// Forgets what is over, looks how many prekeys are left, uploads what is wanted.
    pub(crate) async fn maintain_prekeys(&self) -> Result<(), Error> {
        let now = now_ms();
        // Without asking anybody: a relay that gives no answer must not keep secrets alive.
        self.store.run(move |tx| sweep(tx, now)).await?;
        let kinds = wanted(self.api.prekeys().await?, now);
        if !kinds.is_empty() {
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
            self.api.upload_prekeys(batches.into_iter().map(|b| b.public).collect()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::PolicyKey;

    use super::*;
    use crate::store::account::tests::account;
    use crate::store::key::StoreKey;
    use crate::store::{Exact, Seen, Store, list_all};

    #[test]
    fn batches_are_wanted_when_few_are_left_or_a_week_is_over() {
        let count = |one_time, medium_term_expires_at_ms| PrekeyCount { one_time, medium_term_expires_at_ms };
        let fresh = 100 + MEDIUM_TERM_LIFE_MS;
        assert!(wanted(count(limits::PREKEYS_LOW, fresh), 100).is_empty());
        assert_eq!(wanted(count(limits::PREKEYS_LOW - 1, fresh), 100), [PrekeyKind::OneTime]);
        assert!(wanted(count(64, fresh), 100 + ROTATE_AFTER_MS).is_empty());
        assert_eq!(wanted(count(64, fresh), 101 + ROTATE_AFTER_MS), [PrekeyKind::MediumTerm]);
    }

    #[test]
    fn a_message_is_remembered_for_as_long_as_it_could_open_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
        let account = account("a@x.example", &PolicyKey::generate(&mut SystemRng));
        let batch = NewBatch::generate(&mut SystemRng, &account, PrekeyKind::MediumTerm, 0);
        let key = (account.address.clone(), account.device, sotto_crypto::MessageId::generate(&mut SystemRng));
        let key = Exact { key, commitment: [7; 32] };
        let receipt = crate::receive::message::Receipt::new(0, Some(key.clone()), None);
        let around = crate::receive::gaps::Around { now_ms: 0, keeps_history: true, is_here: &|_, _| false };
        store.run_blocking(|tx| batch.store(tx).and_then(|()| receipt.settle(tx, &around))).unwrap();
        let after = |now| {
            store.run_blocking(|tx| sweep(tx, now).map(drop)).unwrap();
            let secrets = store.run_blocking(list_all::<PrekeyRecord>).unwrap().len();
            (secrets, store.run_blocking(|tx| tx.seen(&key)).unwrap() == Seen::Same)
        };
        let end = MEDIUM_TERM_LIFE_MS + limits::MAX_QUEUE_SECONDS * 1000;
        assert_eq!(after(end - 1), (1, true));
        assert_eq!(after(end), (0, true));
        assert_eq!(after(end + DAY_MS), (0, false));
    }

    #[test]
    fn secrets_are_kept_for_the_life_of_the_queue_and_then_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
        let account = account("a@x.example", &PolicyKey::generate(&mut SystemRng));
        let batch = NewBatch::generate(&mut SystemRng, &account, PrekeyKind::MediumTerm, 0);
        batch.public.verify(&account.device_key.verifying_key()).unwrap();
        store.run_blocking(|tx| batch.store(tx)).unwrap();
        let left = |now| {
            store.run_blocking(|tx| sweep(tx, now).map(drop)).unwrap();
            store.run_blocking(list_all::<PrekeyRecord>).unwrap().len()
        };
        let end = MEDIUM_TERM_LIFE_MS + limits::MAX_QUEUE_SECONDS * 1000;
        assert_eq!(left(end - 1), 1);
        assert_eq!(left(end), 0);
        assert!(store.run_blocking(list_all::<BatchRecord>).unwrap().is_empty());
    }
}
