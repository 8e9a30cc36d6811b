//! Links, vaults and passwords.

use sotto_wire::api::VaultKind;

use super::accounts::{failures, stranger};
use super::fixtures::{NOW, Person};
use crate::store::{ChangePassword, LinkBounds, NewPassword, NewSlot, PutSlot, Store};

const BOUNDS: LinkBounds = LinkBounds { links: 2, bytes: 100 };

fn slot(local: &str, link: u8, slot: u32, bytes: &[u8]) -> NewSlot {
    NewSlot { local: local.into(), link: [link; 16], slot, bytes: bytes.to_vec(), expires_at_ms: NOW + 50 }
}

pub(super) async fn links(store: &impl Store) {
    assert_eq!(store.put_slot(slot("lin", 1, 0, b"x"), BOUNDS, NOW).await.unwrap(), PutSlot::NoUser);
    Person::registered(store, "lin").await;
    Person::registered(store, "other").await;
    let put = |new| store.put_slot(new, BOUNDS, NOW);
    let get =
        async |local: &str, link: u8, slot, now_ms| store.slot(local.into(), [link; 16], slot, now_ms).await.unwrap();
    assert_eq!(get("lin", 1, 0, NOW).await, None);
    for _ in 0..2 {
        assert_eq!(put(slot("lin", 1, 0, b"hello")).await.unwrap(), PutSlot::Stored, "a repeat is fine");
    }
    assert_eq!(put(slot("lin", 1, 0, b"other")).await.unwrap(), PutSlot::Taken);
    assert_eq!(put(slot("lin", 1, 7, b"")).await.unwrap(), PutSlot::Stored, "nothing is something");
    assert_eq!(get("lin", 1, 0, NOW).await.as_deref(), Some(&b"hello"[..]));
    assert_eq!(get("lin", 1, 7, NOW).await.as_deref(), Some(&b""[..]));
    assert_eq!(get("lin", 1, 1, NOW).await, None);
    assert_eq!(get("other", 1, 0, NOW).await, None, "another account's");
    assert_eq!(put(slot("other", 1, 0, b"mine")).await.unwrap(), PutSlot::Stored, "each account has its own");

    // Bounds, and room again after the end of a link. What is refused leaves nothing.
    assert_eq!(put(slot("lin", 2, 0, &[1; 96])).await.unwrap(), PutSlot::TooMuch);
    assert_eq!(put(slot("lin", 2, 0, &[1; 95])).await.unwrap(), PutSlot::Stored);
    assert_eq!(put(slot("lin", 3, 0, b"")).await.unwrap(), PutSlot::TooMany);
    store.delete_link("lin".into(), [2; 16]).await.unwrap();
    store.delete_link("lin".into(), [9; 16]).await.unwrap();
    assert_eq!(get("lin", 2, 0, NOW).await, None);
    assert_eq!(put(slot("lin", 3, 0, b"")).await.unwrap(), PutSlot::Stored);
    store.delete_link("lin".into(), [3; 16]).await.unwrap();
    assert_eq!(put(slot("lin", 3, 0, b"again")).await.unwrap(), PutSlot::Stored, "the name is free");

    // Writing keeps a link alive, also a repeat.
    let later = NewSlot { expires_at_ms: NOW + 90, ..slot("lin", 1, 0, b"hello") };
    assert_eq!(store.put_slot(later, BOUNDS, NOW + 10).await.unwrap(), PutSlot::Stored);
    assert!(get("lin", 1, 7, NOW + 89).await.is_some());
    assert_eq!(get("lin", 1, 7, NOW + 90).await, None, "ended");
    assert_eq!(get("lin", 3, 0, NOW + 50).await, None, "ended");
    // More slots than one sweep removes.
    let wide = LinkBounds { links: 9, bytes: 1_000_000 };
    for n in 0..150 {
        store.put_slot(slot("lin", 4, n, &[7; 10]), wide, NOW).await.unwrap();
    }
    let mut sweeps = 0;
    while store.sweep(NOW + 90).await.unwrap().more {
        sweeps += 1;
    }
    assert!(sweeps >= 2, "{sweeps}");
    assert_eq!(get("lin", 4, 0, NOW).await, None);
    assert_eq!(put(slot("lin", 5, 0, &[1; 100])).await.unwrap(), PutSlot::Stored, "all room is there again");
    // A reset ends links; so does the end of the user.
    store.reset_devices("lin".into()).await.unwrap();
    assert_eq!(get("lin", 5, 0, NOW).await, None);
    put(slot("lin", 6, 0, b"x")).await.unwrap();
    store.delete_user("lin".into()).await.unwrap();
    store.delete_user("other".into()).await.unwrap();
    assert_eq!(get("lin", 6, 0, NOW).await, None);
    assert_eq!(put(slot("lin", 6, 0, b"x")).await.unwrap(), PutSlot::NoUser);
}

pub(super) async fn passwords_and_vaults(store: &impl Store) {
    let person = Person::registered(store, "vault").await;
    let user = async || store.user("vault".into()).await.unwrap().unwrap();
    assert_eq!((user().await.password_vault, user().await.recovery_vault), (None, None));
    store.put_vault("vault".into(), VaultKind::Password, Some(vec![1])).await.unwrap();
    store.put_vault("vault".into(), VaultKind::Recovery, Some(vec![2])).await.unwrap();
    store.put_vault("nobody".into(), VaultKind::Recovery, Some(vec![2])).await.unwrap();
    assert_eq!((user().await.password_vault, user().await.recovery_vault), (Some(vec![1]), Some(vec![2])));
    person.add_device(store, 1).await;

    let generation = user().await.generation;
    let new = |generation, vault| NewPassword { local: "vault".into(), generation, record: vec![7; 9], vault };
    store.begin_login("vault".into(), stranger(1), 9, NOW).await.unwrap();
    assert_eq!(failures(store, "vault").await, 1);
    assert_eq!(store.change_password(new(generation - 1, None)).await.unwrap(), ChangePassword::TokenUsed);
    assert_eq!(user().await.record, Some(vec![1, 2, 3]), "nothing changed");
    assert_eq!(store.change_password(new(generation, Some(vec![3]))).await.unwrap(), ChangePassword::Changed);
    assert_eq!(store.change_password(new(generation, None)).await.unwrap(), ChangePassword::TokenUsed, "once");
    let after = user().await;
    assert_eq!((after.record, failures(store, "vault").await), (Some(vec![7; 9]), 0));
    assert_eq!((after.password_vault, after.recovery_vault), (Some(vec![3]), Some(vec![2])));
    assert_eq!(store.change_password(new(after.generation, None)).await.unwrap(), ChangePassword::Changed);
    assert_eq!(user().await.password_vault, None, "the old one would open with the old password");
    store.put_vault("vault".into(), VaultKind::Recovery, None).await.unwrap();
    assert_eq!(user().await.recovery_vault, None);
    assert_eq!(store.devices_of("vault".into()).await.unwrap().len(), 1, "devices stay");
    let mut put = super::fixtures::wanted("staff");
    put.suspended = true;
    store.put_user("vault".into(), put, 1).await.unwrap();
    let generation = user().await.generation;
    assert_eq!(store.change_password(new(generation, None)).await.unwrap(), ChangePassword::Suspended);
    store.delete_user("vault".into()).await.unwrap();
    assert_eq!(store.change_password(new(generation, None)).await.unwrap(), ChangePassword::TokenUsed);
}
