//! Documents, users, log-ins, attachments.

use sotto_crypto::{BlobId, DeviceId};
use sotto_wire::admin::{PutUser, Resets, Role};
use sotto_wire::api::VaultKind;

use super::fixtures::{NOW, Person, account, wanted};
use crate::store::accounts::{FORGET_LOCKED_MS, FORGET_MS};
use crate::store::{
    BlobMeta, DeleteGroup, Login, NewAccount, Origin, PutDocument, PutOutcome, Registration, Store, StoredDocuments,
};

pub(super) async fn policies(store: &impl Store) {
    assert_eq!(store.policy().await.unwrap().network, None);
    assert_eq!(store.put_network(vec![1], 5).await.unwrap(), PutDocument::Stored);
    assert_eq!(store.put_network(vec![1], 5).await.unwrap(), PutDocument::Stored, "a repeat is fine");
    assert_eq!(store.put_network(vec![2], 5).await.unwrap(), PutDocument::Stale, "same serial, other bytes");
    assert_eq!(store.put_network(vec![2], 4).await.unwrap(), PutDocument::Stale);
    assert_eq!(store.put_network(vec![2], 6).await.unwrap(), PutDocument::Stored);
    assert_eq!(store.put_group("g".into(), vec![1], 2).await.unwrap(), PutDocument::Stored);
    assert_eq!(store.put_group("g".into(), vec![3], 1).await.unwrap(), PutDocument::Stale);
    assert_eq!(store.put_group("g".into(), vec![3], 3).await.unwrap(), PutDocument::Stored);
    let stored = store.policy().await.unwrap();
    assert_eq!(stored.network, Some(vec![2]));
    assert_eq!(stored.groups.get("g"), Some(&vec![3]));

    assert_eq!(store.put_user("u".into(), wanted("nowhere"), 1).await.unwrap(), PutOutcome::NoSuchGroup);
    assert_eq!(store.put_user("u".into(), wanted("g"), 1).await.unwrap(), PutOutcome::Stored(Vec::new()));
    store.put_group("h".into(), vec![1], 1).await.unwrap();
    let moved = || store.put_user("u".into(), wanted("h"), 1);
    assert_eq!(moved().await.unwrap(), PutOutcome::StaleMembership, "another group under the same serial");
    assert_eq!(store.put_user("u".into(), wanted("g"), 0).await.unwrap(), PutOutcome::StaleMembership);
    assert_eq!(store.user("u".into()).await.unwrap().unwrap().membership, b"g");
    assert_eq!(store.put_user("u".into(), wanted("h"), 2).await.unwrap(), PutOutcome::Stored(Vec::new()));
    assert_eq!(store.user("u".into()).await.unwrap().unwrap().membership, b"h");
    assert_eq!(store.put_user("u".into(), wanted("g"), 3).await.unwrap(), PutOutcome::Stored(Vec::new()));
    assert_eq!(store.delete_group("h".into()).await.unwrap(), DeleteGroup::Deleted);
    assert_eq!(store.delete_group("g".into()).await.unwrap(), DeleteGroup::InUse);
    assert!(store.delete_user("u".into()).await.unwrap().is_empty());
    assert_eq!(store.delete_group("g".into()).await.unwrap(), DeleteGroup::Deleted);
    assert_eq!(store.delete_group("g".into()).await.unwrap(), DeleteGroup::Deleted);
}

pub(super) async fn directory(store: &impl Store) {
    store.put_network(vec![1], 100).await.unwrap();
    for name in ["dir-g", "dir-h"] {
        store.put_group(name.into(), vec![2], 1).await.unwrap();
    }
    for name in ["dir-u", "dir-v"] {
        store.put_user(name.into(), wanted("dir-g"), 1).await.unwrap();
    }
    assert_eq!(store.directory_as_put().await.unwrap(), None, "no head yet");
    let now = store.documents().await.unwrap();
    assert_eq!(now.network, Some(vec![1]));
    assert!(
        now.groups.contains(&("dir-h".into(), vec![2]))
            && now.memberships.contains(&("dir-v".into(), b"dir-g".to_vec()))
    );
    assert_eq!(store.put_head(vec![9], 5).await.unwrap(), PutDocument::Stored);
    assert_eq!(store.put_head(vec![9], 5).await.unwrap(), PutDocument::Stored, "a repeat is fine");
    assert_eq!(store.put_head(vec![8], 5).await.unwrap(), PutDocument::Stale);
    let sorted = |mut documents: StoredDocuments| {
        documents.groups.sort();
        documents.memberships.sort();
        documents
    };
    let shown = store.directory_as_put().await.unwrap().unwrap();
    assert_eq!((shown.head, sorted(shown.documents)), (vec![9], sorted(now.clone())));

    // What is put later is shown with the next head: changed, new, removed, and of the same name again.
    store.put_network(vec![7], 101).await.unwrap();
    store.put_user("dir-u".into(), wanted("dir-h"), 2).await.unwrap();
    store.put_user("dir-w".into(), wanted("dir-g"), 1).await.unwrap();
    store.delete_user("dir-v".into()).await.unwrap();
    assert_eq!(store.put_head(vec![8], 4).await.unwrap(), PutDocument::Stale);
    let shown = store.directory_as_put().await.unwrap().unwrap();
    assert_eq!((shown.head, sorted(shown.documents)), (vec![9], sorted(now)), "an older head switches nothing");
    assert_eq!(store.put_head(vec![8], 6).await.unwrap(), PutDocument::Stored);
    let (shown, now) = (store.directory_as_put().await.unwrap().unwrap(), store.documents().await.unwrap());
    assert_eq!((shown.head, sorted(shown.documents.clone())), (vec![8], sorted(now)));
    let names: Vec<&str> = shown.documents.memberships.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"dir-w") && !names.contains(&"dir-v"));
    for name in ["dir-u", "dir-w"] {
        store.delete_user(name.into()).await.unwrap();
    }
    for name in ["dir-g", "dir-h"] {
        assert_eq!(store.delete_group(name.into()).await.unwrap(), DeleteGroup::Deleted);
    }
}

pub(super) async fn registration(store: &impl Store) {
    let person = Person::new("reg");
    assert_eq!(store.register(account(&person), NOW).await.unwrap(), Registration::InviteInvalid, "unknown user");
    store.put_group("staff".into(), vec![7], 1).await.unwrap();
    let mut put = wanted("staff");
    put.suspended = true;
    store.put_user("reg".into(), put, 1).await.unwrap();
    let mut wrong = account(&person);
    wrong.invite_digest = "cd".repeat(32);
    assert_eq!(store.register(wrong, NOW).await.unwrap(), Registration::InviteInvalid);
    assert_eq!(store.register(account(&person), NOW + 1000).await.unwrap(), Registration::InviteInvalid, "expired");
    assert_eq!(store.register(account(&person), NOW).await.unwrap(), Registration::Suspended);
    store.put_user("reg".into(), wanted("staff"), 1).await.unwrap();
    assert!(store.user("reg".into()).await.unwrap().unwrap().record.is_none());
    // Once only, also when asked at the same time.
    let (a, b) = tokio::join!(store.register(account(&person), NOW), store.register(account(&person), NOW));
    let mut outcomes = [a.unwrap(), b.unwrap()];
    outcomes.sort_by_key(|outcome| *outcome != Registration::Registered(Vec::new()));
    assert_eq!(outcomes, [Registration::Registered(Vec::new()), Registration::AlreadyRegistered]);
    let user = store.user("reg".into()).await.unwrap().unwrap();
    assert_eq!(user.record, Some(vec![1, 2, 3]));
    assert_eq!(user.identity, Some(person.identity.verifying_key()));
    // Putting the user again, also without the invite, keeps the registration.
    let mut put = wanted("staff");
    put.invite = None;
    store.put_user("reg".into(), put, 1).await.unwrap();
    assert!(store.user("reg".into()).await.unwrap().unwrap().record.is_some());
}

pub(super) async fn registered_again(store: &impl Store) {
    let (_, device) = Person::with_device(store, "again", 1).await;
    store.put_vault("again".into(), VaultKind::Password, Some(vec![1])).await.unwrap();
    store.put_vault("again".into(), VaultKind::Recovery, Some(vec![2])).await.unwrap();
    let summary = async || store.users().await.unwrap().into_iter().find(|user| user.local == "again").unwrap();
    assert!(!summary().await.reinvited);
    let before = store.user("again".into()).await.unwrap().unwrap();
    let mut put = wanted("staff");
    put.invite.as_mut().unwrap().code_digest = "cd".repeat(32);
    store.put_user("again".into(), put.clone(), 1).await.unwrap();
    assert!(summary().await.reinvited);

    let other = Person::new("again");
    let again =
        || NewAccount { invite_digest: "cd".repeat(32), record: vec![4], vault: Some(vec![5]), ..account(&other) };
    assert_eq!(store.register(account(&other), NOW).await.unwrap(), Registration::InviteInvalid, "the used one");
    assert_eq!(store.register(again(), NOW + 1000).await.unwrap(), Registration::InviteInvalid, "expired");
    let now = store.user("again".into()).await.unwrap().unwrap();
    assert_eq!((now.record, now.identity), (before.record, before.identity), "until it is used nothing changes");
    assert!(store.device(device).await.unwrap().is_some());
    assert_eq!(store.register(again(), NOW).await.unwrap(), Registration::Registered(vec![device]));
    assert_eq!(store.register(again(), NOW).await.unwrap(), Registration::AlreadyRegistered);
    let now = store.user("again".into()).await.unwrap().unwrap();
    assert_eq!((now.record, now.identity), (Some(vec![4]), Some(other.identity.verifying_key())));
    assert_eq!((now.password_vault, now.recovery_vault), (Some(vec![5]), None));
    assert!(now.generation > before.generation, "log-in tokens end");
    assert!(store.device(device).await.unwrap().is_none());
    assert!(!summary().await.reinvited);
    // The first invite, put again, is not a new one for long: it is another than the one used last.
    put.invite = None;
    store.put_user("again".into(), put, 1).await.unwrap();
    assert!(!summary().await.reinvited);
    store.delete_user("again".into()).await.unwrap();
}

pub(super) async fn resets(store: &impl Store) {
    let word = |text: &str| Some(text.to_owned());
    let put = async |reset: Resets| match store
        .put_user("rst".into(), PutUser { reset, ..wanted("staff") }, 1)
        .await
        .unwrap()
    {
        PutOutcome::Stored(removed) => removed,
        other => panic!("{other:?}"),
    };
    store.put_group("staff".into(), vec![7], 1).await.unwrap();
    let words = || Resets { devices: word("1"), invite: word("2"), lockout: word("3") };
    assert!(put(words()).await.is_empty(), "a new user's words are only remembered");
    let (_, device) = Person::with_device(store, "rst", 1).await;
    store.begin_login("rst".into(), stranger(1), 9, NOW).await.unwrap();
    for _ in 0..2 {
        assert!(put(words()).await.is_empty(), "the same words");
    }
    assert!(put(Resets::default()).await.is_empty(), "no words");
    assert!(put(words()).await.is_empty(), "the same words as before there were none");
    assert_eq!(failures(store, "rst").await, 1);
    assert!(put(Resets { lockout: word("4"), ..words() }).await.is_empty());
    assert_eq!(failures(store, "rst").await, 0);
    let generation = store.user("rst".into()).await.unwrap().unwrap().generation;
    assert_eq!(put(Resets { devices: word("5"), ..Resets::default() }).await, [device]);
    assert!(store.user("rst".into()).await.unwrap().unwrap().generation > generation);
    assert!(put(Resets { devices: word("5"), ..Resets::default() }).await.is_empty());
    let users = store.users().await.unwrap();
    let stored = &users.iter().find(|user| user.local == "rst").unwrap().wanted.reset;
    assert_eq!(*stored, Resets { devices: word("5"), invite: word("2"), lockout: word("4") });
    store.delete_user("rst".into()).await.unwrap();
}

/// As the administrator sees them.
pub(super) async fn failures(store: &impl Store, local: &str) -> u32 {
    store.users().await.unwrap().iter().find(|user| user.local == local).unwrap().failures
}

pub(super) fn stranger(n: u8) -> Origin {
    Origin::source(std::net::IpAddr::from([192, 0, 2, n]).into(), false)
}

fn device(n: u8) -> Origin {
    Origin::device(DeviceId::from_bytes([n; 16]))
}

pub(super) async fn lockout(store: &impl Store) {
    for (name, origin) in [("reg", stranger(1)), ("reg", device(1)), ("no-such-user", stranger(1))] {
        let begin = async |threshold| store.begin_login(name.into(), origin.clone(), threshold, NOW).await.unwrap();
        for _ in 0..3 {
            assert_eq!(begin(3).await, Login::Open);
        }
        assert_eq!(begin(3).await, Login::Locked { newly: true });
        assert_eq!(begin(3).await, Login::Locked { newly: false });
        assert_eq!(begin(0).await, Login::Open, "0 never locks");
        store.unlock(name.into()).await.unwrap();
        assert_eq!(begin(3).await, Login::Open);
        assert_eq!(begin(3).await, Login::Open);
        store.succeed_login(name.into(), origin.clone()).await.unwrap();
        assert_eq!(begin(1).await, Login::Open, "a success counts from nought");
        store.unlock(name.into()).await.unwrap();
    }
    // A suspension keeps a lockout, and its end ends it; putting the user again without one does not.
    let suspended = |suspended| PutUser { suspended, ..wanted("staff") };
    for _ in 0..3 {
        store.begin_login("reg".into(), stranger(1), 2, NOW).await.unwrap();
    }
    for (put, locked) in [(false, true), (true, true), (false, false)] {
        store.put_user("reg".into(), suspended(put), 1).await.unwrap();
        let login = store.begin_login("reg".into(), stranger(1), 2, NOW).await.unwrap();
        assert_eq!(matches!(login, Login::Locked { .. }), locked, "suspended: {put}");
    }
    store.unlock("reg".into()).await.unwrap();
    // What failed long before is forgotten, a lockout is not.
    let at = |now_ms| store.begin_login("slow".into(), stranger(1), 2, now_ms);
    for n in 0..5 {
        assert_eq!(at(NOW + n * FORGET_MS).await.unwrap(), Login::Open);
    }
    assert_eq!(at(NOW + 5 * FORGET_MS - 1).await.unwrap(), Login::Open);
    for n in [6, 29] {
        assert!(matches!(at(NOW + n * FORGET_MS).await.unwrap(), Login::Locked { .. }));
    }
    // Guesses that come at the same time are all counted.
    let tries = (0..20).map(|_| store.begin_login("crowd".into(), stranger(1), 5, NOW));
    let answers = futures::future::join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Ok(Login::Open))).count(), 5);
}

pub(super) async fn lockout_by_origin(store: &impl Store) {
    let begin =
        async |origin: &Origin, now_ms| store.begin_login("reg".into(), origin.clone(), 2, now_ms).await.unwrap();
    // Ten sources with two guesses each are all that strangers have of a day …
    for n in 0..10 {
        for _ in 0..2 {
            assert_eq!(begin(&stranger(n), NOW).await, Login::Open);
        }
        assert_eq!(begin(&stranger(n), NOW).await, Login::Locked { newly: true });
    }
    assert_eq!(begin(&stranger(11), NOW).await, Login::Crowded);
    assert_eq!(failures(store, "reg").await, 3);
    // … and none of that is the user's, at a device or where one has been.
    let familiar = Origin { known: true, ..stranger(12) };
    for origin in [device(1), familiar] {
        assert_eq!(begin(&origin, NOW).await, Login::Open);
        store.succeed_login("reg".into(), origin.clone()).await.unwrap();
        assert_eq!(begin(&origin, NOW).await, Login::Open);
        assert_eq!(begin(&origin, NOW).await, Login::Open);
        assert_eq!(begin(&origin, NOW).await, Login::Locked { newly: true }, "each has its own lockout");
    }
    // Room for strangers comes back with time, a lockout of theirs does not.
    assert_eq!(begin(&stranger(11), NOW + FORGET_MS).await, Login::Open);
    assert_eq!(begin(&stranger(1), NOW + FORGET_MS).await, Login::Locked { newly: false });
    // Who knows the password takes no room from others, however often it logs in.
    store.unlock("reg".into()).await.unwrap();
    for _ in 0..50 {
        assert_eq!(begin(&stranger(3), NOW).await, Login::Open);
        store.succeed_login("reg".into(), stranger(3)).await.unwrap();
    }
    // After a month a lockout is over, and the store is rid of it.
    for _ in 0..3 {
        begin(&stranger(4), NOW).await;
    }
    store.sweep(NOW + FORGET_LOCKED_MS - 1).await.unwrap();
    assert_eq!(begin(&stranger(4), NOW).await, Login::Locked { newly: false });
    store.sweep(NOW + FORGET_LOCKED_MS).await.unwrap();
    assert_eq!(begin(&stranger(4), NOW).await, Login::Open);
    store.unlock("reg".into()).await.unwrap();
}

pub(super) async fn summaries(store: &impl Store) {
    let (person, device) = Person::with_device(store, "sum", 1).await;
    let mut put = wanted("staff");
    put.role = Role::Retention;
    put.suspended = true;
    store.put_user("sum".into(), put.clone(), 1).await.unwrap();
    store.begin_login("sum".into(), stranger(1), 3, NOW).await.unwrap();
    store.touch_device(device, NOW + 7).await.unwrap();
    let users = store.users().await.unwrap();
    let user = users.iter().find(|user| user.local == person.address.local()).unwrap();
    assert_eq!(user.wanted, put);
    assert!(user.registered);
    assert_eq!(user.failures, 1);
    assert_eq!(user.devices, [device]);
    assert_eq!(user.last_seen_ms, Some(NOW + 7));
    assert_eq!(store.delete_user("sum".into()).await.unwrap(), [device]);
    assert!(store.device(device).await.unwrap().is_none());
    assert!(store.users().await.unwrap().iter().all(|user| user.local != "sum"));
}

pub(super) async fn blobs(store: &impl Store) {
    let blob = |n| BlobId::from_bytes([n; 16]);
    let meta = |size, expires_at_ms| BlobMeta { size, expires_at_ms };
    assert!(store.add_blob(blob(1), "x".into(), meta(60, NOW + 1), 100).await.unwrap());
    assert!(!store.add_blob(blob(2), "x".into(), meta(41, NOW + 1), 100).await.unwrap(), "over the quota");
    assert!(store.add_blob(blob(3), "y".into(), meta(41, NOW + 9), 100).await.unwrap(), "each has a quota");
    let bytes = async |owner: &str| store.blob_bytes(owner.into()).await.unwrap();
    assert_eq!((bytes("x").await, bytes("y").await, bytes("z").await), (60, 41, 0));
    assert_eq!(store.blob(blob(1), NOW).await.unwrap(), Some(meta(60, NOW + 1)));
    assert_eq!(store.blob(blob(1), NOW + 1).await.unwrap(), None, "expired");
    assert_eq!(store.blob(blob(2), NOW).await.unwrap(), None);
    assert_eq!(store.expired_blobs(NOW + 1, 10).await.unwrap(), [blob(1)]);
    store.forget_blobs(vec![blob(1)]).await.unwrap();
    assert!(store.expired_blobs(NOW + 1, 10).await.unwrap().is_empty());
}
