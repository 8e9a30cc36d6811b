//! The directory head: what clients are shown is what it is over, and nothing that was put since.

use sotto_crypto::{PolicyKey, Signed, SystemRng};
use sotto_wire::ErrorCode;
use sotto_wire::admin::{AdminState, PutHead, PutUser};
use sotto_wire::api::{FetchIdentities, Identities, NetworkInfo, PolicyAnswer};
use sotto_wire::directory::DirectoryHead;

use crate::common::World;
use crate::common::person::Person;

fn read(put: &PutHead) -> DirectoryHead {
    Signed::<DirectoryHead>::from_bytes(&put.head).unwrap().unverified().unwrap()
}

#[tokio::test]
async fn a_head_is_taken_when_it_is_over_what_the_relay_holds() {
    let world = World::new().await;
    let admin = world.admin();
    let put = async |head: &DirectoryHead, key: &PolicyKey| {
        let put = PutHead { head: Signed::sign(head, key).to_bytes() };
        admin.put("/admin/v1/head", &put).await
    };
    let good = read(&world.head(50).await);
    assert_eq!(good.count, 2, "the network's document and that of `staff`");
    let key = &world.policy_key;
    let refused = async |head: DirectoryHead, code| put(&head, key).await.refused(code);
    let domain = "b.example".parse().unwrap();
    assert!(refused(DirectoryHead { domain, ..good.clone() }, ErrorCode::Invalid).await.contains("head.domain"));
    assert!(refused(DirectoryHead { version: 2, ..good.clone() }, ErrorCode::Invalid).await.contains("head.version"));
    assert!(refused(DirectoryHead { serial: 0, ..good.clone() }, ErrorCode::Invalid).await.contains("head.serial"));
    for wrong in [DirectoryHead { count: 3, ..good.clone() }, DirectoryHead { root: [7; 32], ..good.clone() }] {
        assert!(refused(wrong, ErrorCode::DirectoryChanged).await.contains("put what differs"));
    }
    let forged = put(&good, &PolicyKey::generate(&mut SystemRng)).await.refused(ErrorCode::Invalid);
    assert!(forged.contains("policy key"), "{forged}");

    // Something was put in between.
    let before = world.head(60).await;
    admin.put("/admin/v1/users/alice", &world.signed("alice", &world.wanted("alice"))).await.done();
    admin.put("/admin/v1/head", &before).await.refused(ErrorCode::DirectoryChanged);
    let now = world.head(60).await;
    for _ in 0..2 {
        admin.put("/admin/v1/head", &now).await.done();
    }
    let state: AdminState = serde_json::from_slice(&admin.get("/admin/v1/state").await.body).unwrap();
    assert_eq!(state.head, Some(now));
}

#[tokio::test]
async fn clients_are_shown_the_documents_of_the_head() {
    let mut world = World::new().await;
    let (alice, bob) = (Person::ready(&world, "alice").await, Person::ready(&world, "bob").await);
    let admin = world.admin();
    let key = world.policy_key.verifying_key();
    world.put_group(world.group("traders")).await;

    // Moved, renamed, and somebody new: not shown before there is a head over it.
    let moved = world.signed("bob", &PutUser { group: "traders".into(), invite: None, ..world.wanted("") });
    admin.put("/admin/v1/users/bob", &moved).await.done();
    admin.put("/admin/v1/users/carol", &world.signed("carol", &world.wanted("carol"))).await.done();
    let carol =
        Person { address: world.address("carol"), identity: sotto_crypto::IdentityKey::generate(&mut SystemRng) };
    let early = carol.start_registration(&world.public(), "carol").await.err().unwrap();
    assert!(early.refused(ErrorCode::Unavailable).contains("try again"));
    let group_of_bob = async || {
        let ask = FetchIdentities { addresses: vec![bob.address.clone()] };
        let answer: Identities = alice.http.post("/v1/identities", &ask).await.ok();
        let head = answer.head.unwrap().verify(&key).unwrap();
        head.read(answer.identities[0].membership.as_ref().unwrap()).unwrap().group
    };
    assert_eq!(group_of_bob().await, "staff");
    let own: PolicyAnswer = bob.http.get("/v1/policy").await.ok();
    let head = own.head.verify(&key).unwrap();
    assert_eq!(head.read(&own.group).unwrap().name, "staff");
    assert_eq!(head.read(&own.membership).unwrap().group, "staff");

    world.put_head().await;
    assert_eq!(group_of_bob().await, "traders");
    let own: PolicyAnswer = bob.http.get("/v1/policy").await.ok();
    assert_eq!(own.head.verify(&key).unwrap().read(&own.group).unwrap().name, "traders");
    carol.start_registration(&world.public(), "carol").await.unwrap();
    let info: NetworkInfo = world.public().get("/v1/network").await.ok();
    assert_eq!(info.head, own.head);
    assert_eq!(info.head.verify(&key).unwrap().read(&info.document).unwrap().display_name, "Test");

    // It is there after a restart, as it was, whatever was put since.
    admin.put("/admin/v1/users/dan", &world.signed("dan", &world.wanted("dan"))).await.done();
    world.stop().await;
    world.start().await;
    let again: NetworkInfo = world.public().get("/v1/network").await.ok();
    assert_eq!((again.head, again.document), (info.head, info.document));
}
