use sotto_crypto::PolicyKey;
use sotto_wire::api::BatchLeft;

use super::*;
use crate::store::account::tests::account;
use crate::store::key::StoreKey;
use crate::store::{Exact, Seen, Store, list_all};

const WEEK: u64 = MEDIUM_TERM_MS;
const T0: u64 = 400 * DAY_MS;

/// A device's store.
struct Device {
    _dir: tempfile::TempDir,
    store: Store,
    account: Account,
}

impl Device {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
        Self { _dir: dir, store, account: account("a@x.example", &PolicyKey::generate(&mut SystemRng)) }
    }

    fn make(&self, kind: PrekeyKind, now: u64) -> BatchId {
        let batch = NewBatch::generate(&mut SystemRng, &self.account, kind, now);
        batch.public.verify(&self.account.device_key.verifying_key()).unwrap();
        self.store.run_blocking(|tx| batch.store(tx)).unwrap();
        batch.record.unwrap().batch
    }

    fn own(&self) -> Vec<Own> {
        self.store.run_blocking(own).unwrap()
    }

    fn here(&self, batch: BatchId) -> Vec<u32> {
        self.own().into_iter().find(|own| own.record.batch == batch).map(|own| own.here).unwrap_or_default()
    }

    fn use_up(&self, batch: BatchId, index: u32) {
        let key = PrekeyRecord::key_of(&sotto_crypto::PrekeyRef { batch, index });
        self.store.run_blocking(|tx| tx.delete::<PrekeyRecord>(&key)).unwrap();
    }

    fn wanted(&self, count: &PrekeyCount, now: u64) -> (Vec<PrekeyKind>, bool) {
        let Wanted { kinds, replace } = wanted(count, &self.own(), now);
        (kinds, replace)
    }
}

/// What a relay says of these batches: of the first medium-term one all, of the others these.
fn left(medium: BatchId, one_time: &[(BatchId, std::ops::Range<u32>)]) -> PrekeyCount {
    let mut batches = vec![BatchLeft::new(medium, 0..limits::MEDIUM_TERM_WEEKS)];
    batches.extend(one_time.iter().map(|(batch, left)| BatchLeft::new(*batch, left.clone())));
    PrekeyCount { one_time: one_time.iter().map(|(_, left)| left.end - left.start).sum(), batches }
}

const ONE: PrekeyKind = PrekeyKind::OneTime;
const MEDIUM: PrekeyKind = PrekeyKind::MediumTerm;

#[test]
fn batches_are_wanted_when_few_are_left_or_a_week_is_over_by_the_devices_own_clock() {
    let device = Device::new();
    let nothing = PrekeyCount { one_time: 0, batches: Vec::new() };
    assert_eq!(device.wanted(&nothing, T0), (vec![MEDIUM, ONE, ONE, ONE], false), "of a new device");
    let (a, b, medium) = (device.make(ONE, T0), device.make(ONE, T0), device.make(MEDIUM, T0));
    let all = left(medium, &[(a, 0..64), (b, 0..64)]);
    assert_eq!(device.wanted(&all, T0), (vec![], false));
    assert_eq!(device.wanted(&left(medium, &[(a, 1..64), (b, 0..64)]), T0), (vec![ONE, ONE], false), "handed out");
    for (now, kinds) in [(T0 + WEEK - 1, vec![]), (T0 + WEEK, vec![MEDIUM]), (T0 - DAY_MS - 1, vec![MEDIUM])] {
        assert_eq!(device.wanted(&all, now), (kinds, false), "{now}");
    }
    let other = left(BatchId::from_bytes([1; 16]), &[(a, 0..64), (b, 0..64)]);
    assert!(device.wanted(&other, T0).0.contains(&MEDIUM), "the relay does not have it");
    // The clock was a year ahead once, and is set right: one batch more, and not one with each look.
    let ahead = device.make(MEDIUM, T0 + 365 * DAY_MS);
    let now = device.make(MEDIUM, T0);
    assert_eq!(device.wanted(&left(ahead, &[(a, 0..64), (b, 0..64)]), T0), (vec![MEDIUM], false));
    assert_eq!(device.wanted(&left(now, &[(a, 0..64), (b, 0..64)]), T0), (vec![], false));
}

#[test]
fn a_relay_that_says_there_are_many_is_not_believed() {
    let device = Device::new();
    let (a, b, medium) = (device.make(ONE, T0), device.make(ONE, T0), device.make(MEDIUM, T0));
    for index in 0..32 {
        device.use_up(a, index);
    }
    let lie = PrekeyCount { one_time: 1_000, ..left(medium, &[(a, 32..64), (b, 0..64)]) };
    assert_eq!(device.wanted(&lie, T0), (vec![ONE, ONE], false));
    let lie = PrekeyCount { one_time: 1_000, ..left(medium, &[]) };
    assert_eq!(device.wanted(&lie, T0), (vec![ONE; 3], false), "a batch that it does not name it does not hand out");
}

#[test]
fn a_relay_that_would_hand_out_what_was_used_gets_everything_anew() {
    let device = Device::new();
    let (a, b, medium) = (device.make(ONE, T0), device.make(ONE, T0), device.make(MEDIUM, T0));
    device.use_up(a, 7);
    let before = left(medium, &[(a, 0..64), (b, 0..64)]);
    assert_eq!(device.wanted(&before, T0), (vec![MEDIUM, ONE, ONE, ONE], true));
    let honest = left(medium, &[(a, 8..64), (b, 0..64)]);
    assert!(!device.wanted(&honest, T0).1);
    // A batch that was used up, or has had its time, and comes back.
    let unknown = left(medium, &[(a, 8..64), (BatchId::from_bytes([9; 16]), 3..4)]);
    assert!(device.wanted(&unknown, T0).1);
    // What is on its way still opens, for as long as it may be.
    let new = [device.make(MEDIUM, T0 + 1), device.make(ONE, T0 + 1)];
    device.store.run_blocking(|tx| forget_replaced(tx, &new, true, T0 + 1)).unwrap();
    let end = T0 + 1 + QUEUE_MS;
    device.store.run_blocking(|tx| sweep(tx, end - 1).map(drop)).unwrap();
    assert_eq!((device.here(a).len(), device.here(medium).len()), (63, 1));
    device.store.run_blocking(|tx| sweep(tx, end).map(drop)).unwrap();
    assert_eq!((device.here(a).len(), device.here(new[1]).len()), (0, 64));
}

#[test]
fn a_medium_term_secret_ends_with_the_queue_behind_its_week_and_sooner_where_it_is_replaced() {
    let device = Device::new();
    let medium = device.make(MEDIUM, T0);
    for week in 0..limits::MEDIUM_TERM_WEEKS {
        let end = T0 + u64::from(week + 1) * WEEK + QUEUE_MS;
        device.store.run_blocking(|tx| sweep(tx, end - 1).map(drop)).unwrap();
        assert_eq!(device.here(medium).first(), Some(&week));
        device.store.run_blocking(|tx| sweep(tx, end).map(drop)).unwrap();
        assert_ne!(device.here(medium).first(), Some(&week));
    }
    assert!(device.store.run_blocking(list_all::<BatchRecord>).unwrap().is_empty());
    // A week later: those for the weeks to come, which nobody has sealed to, end at once.
    let first = device.make(MEDIUM, T0);
    let second = device.make(MEDIUM, T0 + WEEK);
    device.store.run_blocking(|tx| forget_replaced(tx, &[second], false, T0 + WEEK)).unwrap();
    assert_eq!((device.here(first), device.here(second).len()), (vec![0, 1], 9));
}

#[test]
fn who_asks_and_never_sends_does_not_fill_the_disk() {
    let device = Device::new();
    let (first, one_time) = (device.make(MEDIUM, T0), device.make(ONE, T0));
    let mut last = first;
    for n in 0..u64::try_from(MAX_MEDIUM_TERM).unwrap() + 5 {
        last = device.make(MEDIUM, T0 + n);
    }
    device.store.run_blocking(bound).unwrap();
    assert_eq!(device.own().len(), MAX_MEDIUM_TERM + 1);
    assert!(device.here(first).is_empty() && !device.here(last).is_empty() && device.here(one_time).len() == 64);
}

#[test]
fn a_message_is_remembered_for_as_long_as_it_could_open_again() {
    let device = Device::new();
    let batch = device.make(MEDIUM, 0);
    let record = device.own().remove(0).record;
    let key =
        (device.account.address.clone(), device.account.device, sotto_crypto::MessageId::generate(&mut SystemRng));
    let key = Exact { key, commitment: [7; 32] };
    let around = crate::receive::gaps::Around { now_ms: 0, keeps_history: true, is_here: &|_, _| false };
    for week in [0, 3] {
        let exact = Exact { commitment: [week; 32], ..key.clone() };
        let end = record.ends_at_ms(week.into());
        let receipt = crate::receive::message::Receipt::new(0, Some(exact.clone()), None);
        let receipt = receipt.sealed_until(Some(end));
        device.store.run_blocking(|tx| receipt.settle(tx, &around)).unwrap();
        let after = |now| {
            device.store.run_blocking(|tx| sweep(tx, now).map(drop)).unwrap();
            let opens = device.here(batch).first().is_some_and(|first| *first <= week.into());
            (opens, device.store.run_blocking(|tx| tx.seen(&exact)).unwrap() == Seen::Same)
        };
        assert_eq!(after(end - 1), (true, true));
        assert_eq!(after(end), (false, true));
        assert_eq!(after(end + DAY_MS), (false, false));
    }
}

#[test]
fn secrets_are_kept_for_the_life_of_the_queue_and_then_forgotten() {
    let device = Device::new();
    let batch = device.make(ONE, 0);
    let left = |now| {
        device.store.run_blocking(|tx| sweep(tx, now).map(drop)).unwrap();
        device.here(batch).len()
    };
    let end = ONE_TIME_LIFE_MS + QUEUE_MS;
    assert_eq!((left(end - 1), left(end)), (64, 0));
    assert!(device.store.run_blocking(list_all::<BatchRecord>).unwrap().is_empty());
}
