//! Prekeys over HTTP.

use std::collections::HashSet;

use sotto_crypto::PrekeyKind;
use sotto_wire::ErrorCode;
use sotto_wire::api::{FetchIdentities, FetchRecipients, Identities, PrekeyCount, Recipients, UploadPrekeys};

use crate::common::World;
use crate::common::person::{Device, Person};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_one_time_prekey_is_handed_out_once_also_when_many_ask() {
    let world = World::new().await;
    let bob = Person::join(&world, "bob").await.device(&world, 10).await;
    let mut callers = Vec::new();
    for n in 0..24 {
        callers.push(Person::ready(&world, &format!("u{n}")).await);
    }
    let ask = |caller: &Device| {
        let request = caller.http.request(reqwest::Method::POST, "/v1/recipients");
        let body = sotto_crypto::encode(&FetchRecipients { addresses: vec![bob.address.clone()], signal: None });
        request.header("content-type", sotto_wire::CBOR).body(body)
    };
    let asks = callers.iter().map(|caller| caller.http.send(ask(caller)));
    let answers = futures::future::join_all(asks).await;
    let mut one_time = HashSet::new();
    let mut medium_term = 0;
    for answer in answers {
        let recipients: Recipients = answer.ok();
        let prekeys: Vec<_> = recipients.users.iter().flat_map(|user| &user.prekeys).collect();
        let [prekey] = prekeys.as_slice() else { panic!("{} prekeys", prekeys.len()) };
        match prekey.header.unverified().unwrap().kind {
            PrekeyKind::OneTime => assert!(one_time.insert(prekey.index), "handed out twice"),
            PrekeyKind::MediumTerm => medium_term += 1,
        }
    }
    assert_eq!((one_time.len(), medium_term), (10, 14));
    let count: PrekeyCount = bob.http.get("/v1/prekeys").await.ok();
    assert_eq!(count.one_time, 0);
}

#[tokio::test]
async fn one_caller_cannot_drain_somebody() {
    let world = World::new().await;
    let bob = Person::join(&world, "bob").await.device(&world, 100).await;
    let eve = Person::ready(&world, "eve").await;
    for _ in 0..60 {
        eve.recipients(&[&bob.address]).await;
    }
    let left = async || bob.http.get("/v1/prekeys").await.ok::<PrekeyCount>().one_time;
    assert_eq!(left().await, 75, "a quarter, then the medium-term one");
    // Patience does not help.
    for _ in 0..60 {
        world.clock.advance_ms(10_000);
        eve.recipients(&[&bob.address]).await;
    }
    assert_eq!(left().await, 75);
    let alice = Person::ready(&world, "alice").await;
    for _ in 0..19 {
        assert_eq!(kind(&alice, &bob).await, PrekeyKind::OneTime);
    }
    assert_eq!((kind(&alice, &bob).await, left().await), (PrekeyKind::MediumTerm, 56), "a quarter of what was left");
}

#[tokio::test]
async fn the_last_prekeys_are_for_who_has_taken_none_and_new_ones_for_all() {
    let world = World::new().await;
    let mut bob = Person::join(&world, "bob").await.device(&world, 3).await;
    let eve = Person::ready(&world, "eve").await;
    let expected = [PrekeyKind::OneTime, PrekeyKind::MediumTerm, PrekeyKind::MediumTerm];
    for kind_of in expected {
        assert_eq!(kind(&eve, &bob).await, kind_of);
    }
    for name in ["alice", "carol"] {
        let colleague = Person::ready(&world, name).await;
        assert_eq!(kind(&colleague, &bob).await, PrekeyKind::OneTime, "{name}");
        assert_eq!(kind(&colleague, &bob).await, PrekeyKind::MediumTerm, "{name}");
    }
    let upload = UploadPrekeys { batches: vec![bob.prekeys(&world, PrekeyKind::OneTime, 8)], replace: false };
    let count: PrekeyCount = bob.http.post("/v1/prekeys", &upload).await.ok();
    assert_eq!(count.one_time, 8);
    for kind_of in [PrekeyKind::OneTime, PrekeyKind::OneTime, PrekeyKind::MediumTerm] {
        assert_eq!(kind(&eve, &bob).await, kind_of);
    }
}

/// The kind of the prekey that somebody gets of a device.
async fn kind(asker: &Device, of: &Device) -> PrekeyKind {
    let recipients = asker.recipients(&[&of.address]).await;
    let prekeys = recipients.users.iter().filter(|user| user.address == of.address).flat_map(|user| &user.prekeys);
    let mut kinds = prekeys.map(|prekey| prekey.header.unverified().unwrap().kind);
    kinds.next().unwrap()
}

#[tokio::test]
async fn a_device_uploads_more() {
    let world = World::new().await;
    let mut bob = Person::join(&world, "bob").await.device(&world, 2).await;
    let one_time = bob.prekeys(&world, PrekeyKind::OneTime, 64);
    let medium_term = bob.prekeys(&world, PrekeyKind::MediumTerm, 1);
    let upload = UploadPrekeys { batches: vec![one_time, medium_term], replace: false };
    let count: PrekeyCount = bob.http.post("/v1/prekeys", &upload).await.ok();
    assert_eq!(count.one_time, 66);
    let empty = UploadPrekeys { batches: Vec::new(), replace: false };
    bob.http.post("/v1/prekeys", &empty).await.refused(ErrorCode::Invalid);
    let alice = Person::ready(&world, "alice").await;
    assert!(alice.http.post("/v1/prekeys", &upload).await.refused(ErrorCode::Invalid).contains("batches"));
}

#[tokio::test]
async fn identities_cost_no_prekeys_and_strangers_are_left_out() {
    let world = World::new().await;
    let bob = Person::join(&world, "bob").await.device(&world, 2).await;
    let alice = Person::ready(&world, "alice").await;
    let ask = FetchIdentities { addresses: vec![bob.address.clone(), world.address("nobody")] };
    let found: Identities = alice.http.post("/v1/identities", &ask).await.ok();
    let [found] = found.identities.as_slice() else { panic!("one identity") };
    assert_eq!((&found.address, &found.identity), (&bob.address, &bob.identity));
    let count: PrekeyCount = bob.http.get("/v1/prekeys").await.ok();
    assert_eq!(count.one_time, 2);
    let ask = FetchRecipients { addresses: vec![world.address("nobody")], signal: None };
    let message = alice.http.post("/v1/recipients", &ask).await.refused(ErrorCode::NotFound);
    assert!(message.contains("nobody@a.example"), "{message}");
    let many = FetchRecipients { addresses: (0..501).map(|n| world.address(&format!("u{n}"))).collect(), signal: None };
    alice.http.post("/v1/recipients", &many).await.refused(ErrorCode::Invalid);
}
