//! Devices and prekeys.

use std::collections::HashSet;
use std::sync::Arc;

use sotto_crypto::{DeviceId, DeviceKey, PrekeyKind, SystemRng, verify_devices};

use sotto_wire::admin::{InviteGrant, PutUser};

use super::fixtures::{LATER, NOW, Person, account, batch, wanted};
use crate::store::{AddDevice, Claim, NewAccount, NewDevice, NewList, PutList, Registration, Store};

pub(super) async fn lifecycle(store: &impl Store) {
    let person = Person::registered(store, "dev").await;
    let new = person.new_device(store, 2).await;
    let stale = person.new_device(store, 2).await;
    let added = AddDevice::Added(Vec::new());
    assert_eq!(store.add_device(new.clone()).await.unwrap(), added);
    assert_eq!(store.add_device(new.clone()).await.unwrap(), added, "a repeat is fine");
    assert_eq!(store.add_device(stale.clone()).await.unwrap(), AddDevice::TokenUsed, "a token registers one device");
    let generation = store.user("dev".into()).await.unwrap().unwrap().generation;
    let stale = NewDevice { generation, ..stale };
    assert_eq!(store.add_device(stale).await.unwrap(), AddDevice::ListChanged, "made from the list before");

    let other = Person::registered(store, "dev2").await;
    let stolen = NewDevice { device: new.device, ..other.new_device(store, 1).await };
    assert_eq!(store.add_device(stolen).await.unwrap(), AddDevice::IdTaken);

    let record = store.device(new.device).await.unwrap().unwrap();
    assert_eq!((record.local.as_str(), record.group.as_str(), record.suspended), ("dev", "staff", false));
    assert_eq!((record.key, record.label, record.last_seen_ms), (new.key, new.label, None));
    let second = person.add_device(store, 1).await;
    assert_eq!(ids(store, "dev").await, [new.device, second], "in the order of registration");
    let late = person.new_device(store, 1).await;
    assert_eq!(store.reset_devices("dev".into()).await.unwrap(), [new.device, second]);
    assert_eq!(store.add_device(late).await.unwrap(), AddDevice::TokenUsed, "a reset ends log-in tokens");
    let third = person.new_device(store, 1).await;
    assert!(third.list.before.is_some(), "the list has stayed");
    assert_eq!(store.add_device(third.clone()).await.unwrap(), added);
    assert_eq!(ids(store, "dev").await, [third.device]);
    store.put_user("dev".into(), PutUser { suspended: true, ..wanted("staff") }, 1).await.unwrap();
    let late = person.new_device(store, 1).await;
    assert_eq!(store.add_device(late).await.unwrap(), AddDevice::Suspended);
}

async fn ids(store: &impl Store, local: &str) -> Vec<DeviceId> {
    store.devices_of(local.into()).await.unwrap().into_iter().map(|device| device.device).collect()
}

pub(super) async fn lists(store: &impl Store) {
    let person = Person::registered(store, "listed").await;
    let mut added = Vec::new();
    for _ in 0..3 {
        added.push(person.add_device(store, 1).await);
    }
    let current = || async { store.user("listed".into()).await.unwrap().unwrap() };
    let before = current().await;
    let list = before.list.unwrap().unverified().unwrap();
    assert_eq!(list.devices.len(), 3);
    let kept: Vec<_> = list.devices.iter().filter(|listed| listed.device != added[1]).cloned().collect();
    let put = |list| store.put_list("listed".into(), list);

    for wrong in [None, Some(list.serial - 1), Some(list.serial + 1)] {
        assert_eq!(put(person.list(wrong, kept.clone())).await.unwrap(), PutList::Changed, "made from {wrong:?}");
    }
    let older = NewList { serial: list.serial, ..person.list(Some(list.serial), kept.clone()) };
    assert_eq!(put(older).await.unwrap(), PutList::Changed, "not above the one before");
    assert_eq!(ids(store, "listed").await, added, "nobody went");
    let newer = person.list(Some(list.serial), kept);
    assert_eq!(put(newer.clone()).await.unwrap(), PutList::Stored(vec![added[1]]));
    assert_eq!(ids(store, "listed").await, [added[0], added[2]]);
    let after = current().await;
    assert!(after.generation > before.generation, "log-in tokens end where a device goes");
    assert_eq!(after.list, Some(newer.list.clone()));
    assert_eq!(put(newer.clone()).await.unwrap(), PutList::Changed, "a repeat is none");
    let renewed = person.list(Some(newer.serial), newer.list.unverified().unwrap().devices);
    assert_eq!(put(renewed).await.unwrap(), PutList::Stored(Vec::new()));
    assert_eq!(current().await.generation, after.generation, "and go on where none does");
    // Who registers anew begins anew.
    let fresh = InviteGrant { code_digest: "cd".repeat(32), expires_at_ms: NOW + 1000 };
    store.put_user("listed".into(), PutUser { invite: Some(fresh), ..wanted("staff") }, 2).await.unwrap();
    let again = NewAccount { invite_digest: "cd".repeat(32), ..account(&person) };
    assert!(matches!(store.register(again, NOW).await.unwrap(), Registration::Registered(gone) if gone.len() == 2));
    assert_eq!(current().await.list, None);
}

pub(super) async fn directory(store: &impl Store) {
    let (person, device) = Person::with_device(store, "dir", 1).await;
    let names = || vec!["dir".to_owned(), "nobody".to_owned(), "many".to_owned()];
    let users = store.directory(names(), NOW).await.unwrap();
    assert_eq!(users.len(), 1, "neither unknown nor suspended users");
    assert_eq!(users[0].local, "dir");
    assert_eq!(users[0].identity, person.identity.verifying_key());
    assert_eq!(users[0].devices, [device]);
    let list = verify_devices(&users[0].identity, users[0].list.as_ref().unwrap()).unwrap();
    assert!(list.device(device).is_some());
    let users = store.directory(names(), LATER).await.unwrap();
    assert!(users[0].devices.is_empty(), "nobody can write to a device without a valid prekey");
}

pub(super) async fn prekeys_run_out(store: &impl Store) {
    let (person, device) = Person::with_device(store, "pre", 2).await;
    assert_eq!(store.prekey_count(device, NOW).await.unwrap().one_time, 2);
    let claim = |one_time| async move {
        let mut claimed = store.claim_prekeys(vec![Claim { device, one_time }], NOW).await.unwrap();
        claimed.pop().unwrap()
    };
    let signed = store.user("pre".into()).await.unwrap().unwrap().list.unwrap();
    let devices = verify_devices(&person.identity.verifying_key(), &signed).unwrap();
    let verified = devices.device(device).unwrap();
    let kind = |claimed: &crate::store::Claimed| claimed.prekey.header.unverified().unwrap().kind;

    let spared = claim(false).await;
    assert_eq!((kind(&spared), spared.exhausted), (PrekeyKind::MediumTerm, false));
    let mut seen = HashSet::new();
    for _ in 0..2 {
        let claimed = claim(true).await;
        assert_eq!((kind(&claimed), claimed.exhausted), (PrekeyKind::OneTime, false));
        // What comes back is what was put: it verifies.
        seen.insert(verified.with_prekey(&claimed.prekey, NOW).unwrap().prekey());
    }
    assert_eq!(seen.len(), 2);
    let last = claim(true).await;
    assert_eq!((kind(&last), last.exhausted), (PrekeyKind::MediumTerm, true));
    verified.with_prekey(&last.prekey, NOW).unwrap();
    assert_eq!(store.prekey_count(device, NOW).await.unwrap().one_time, 0);
    let gone = Claim { device: DeviceId::from_bytes([0; 16]), one_time: true };
    assert!(store.claim_prekeys(vec![gone], NOW).await.unwrap().is_empty());
    let late = Claim { device, one_time: true };
    assert!(store.claim_prekeys(vec![late], LATER).await.unwrap().is_empty(), "expired prekeys are not handed out");
}

pub(super) async fn prekeys_are_replaced(store: &impl Store) {
    let (_, device) = Person::with_device(store, "fresh", 1).await;
    let key = DeviceKey::generate(&mut SystemRng);
    let one_time = batch(device, &key, PrekeyKind::OneTime, 3, LATER);
    let medium = batch(device, &key, PrekeyKind::MediumTerm, 1, LATER + 5);
    let add = |batches| store.add_prekeys(device, batches, 5, NOW);
    assert_eq!(add(vec![one_time.clone(), medium]).await.unwrap(), Some(true));
    let count = store.prekey_count(device, NOW).await.unwrap();
    assert_eq!((count.one_time, count.medium_term_expires_at_ms), (4, LATER + 5));

    let claims = vec![Claim { device, one_time: true }; 4];
    assert_eq!(store.claim_prekeys(claims, NOW).await.unwrap().len(), 4);
    assert_eq!(add(vec![one_time]).await.unwrap(), Some(true));
    assert_eq!(store.prekey_count(device, NOW).await.unwrap().one_time, 0, "a repeat brings no used key back");

    let big = batch(device, &key, PrekeyKind::OneTime, 6, LATER);
    assert_eq!(add(vec![big]).await.unwrap(), Some(false));
    assert_eq!(store.prekey_count(device, NOW).await.unwrap().one_time, 0, "too many: none of them");
    let stranger = DeviceId::from_bytes([0; 16]);
    assert_eq!(store.add_prekeys(stranger, Vec::new(), 5, NOW).await.unwrap(), None);
}

pub(super) async fn prekeys_exactly_once<S: Store + 'static>(store: Arc<S>) {
    let (_, device) = Person::with_device(&*store, "race", 40).await;
    let claims = (0..60).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            store.claim_prekeys(vec![Claim { device, one_time: true }], NOW).await.unwrap().pop().unwrap()
        })
    });
    let claimed: Vec<_> = futures::future::join_all(claims).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(claimed.iter().filter(|claimed| claimed.exhausted).count(), 20);
    let indices: HashSet<u32> =
        claimed.iter().filter(|claimed| !claimed.exhausted).map(|claimed| claimed.prekey.index).collect();
    assert_eq!(indices.len(), 40, "each exactly once");
}
