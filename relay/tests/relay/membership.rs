//! Who is in which group, under the policy key: put by the operator, shown to the user and to those who write to them.

use sotto_crypto::{Address, PolicyKey, PolicyPublic, Signed, SystemRng};
use sotto_wire::ErrorCode;
use sotto_wire::admin::PutUser;
use sotto_wire::api::{PolicyAnswer, RecipientRole};
use sotto_wire::policy::MembershipDocument;

use crate::common::World;
use crate::common::person::Person;

fn read(signed: &Signed<MembershipDocument>, key: &PolicyPublic) -> (Address, String) {
    let document = signed.verify(key).unwrap();
    (document.address, document.group)
}

#[tokio::test]
async fn a_membership_is_shown_to_the_user_and_to_senders() {
    let world = World::new().await;
    let key = world.policy_key.verifying_key();
    let mut traders = world.group("traders");
    traders.serial = 1;
    world.put_group(traders).await;

    world.put_user("alice", &world.wanted("alice")).await;
    let person =
        Person { address: world.address("alice"), identity: sotto_crypto::IdentityKey::generate(&mut SystemRng) };
    let started = person.start_registration(&world.public(), "alice").await.unwrap();
    assert_eq!(read(&started.membership, &key), (person.address.clone(), "staff".to_owned()));
    person.try_register(&world.public(), "alice").await.unwrap().done();
    let alice = person.device(&world, 5).await;
    person.device(&world, 5).await;
    let bob = Person::ready(&world, "bob").await;

    let answer: PolicyAnswer = alice.http.get("/v1/policy").await.ok();
    assert_eq!(read(&answer.membership, &key), (alice.address.clone(), "staff".to_owned()));
    world.put_user("bob", &PutUser { group: "traders".into(), invite: None, ..world.wanted("") }).await;
    let answer: PolicyAnswer = bob.http.get("/v1/policy").await.ok();
    assert_eq!(read(&answer.membership, &key), (bob.address.clone(), "traders".to_owned()));
    assert_eq!(answer.group.verify(&key).unwrap().name, "traders");

    let recipients = alice.recipients(&[&bob.address]).await;
    for user in &recipients.users {
        match user.role {
            RecipientRole::Addressed => {
                let membership = user.membership.as_ref().expect("a membership");
                assert_eq!(read(membership, &key), (bob.address.clone(), "traders".to_owned()));
            }
            _ => assert_eq!(user.membership, None),
        }
    }
    assert_eq!(recipients.users.iter().filter(|user| user.role == RecipientRole::Addressed).count(), 1);
    assert_eq!(recipients.users.iter().filter(|user| user.role == RecipientRole::Own).count(), 1);
}

#[tokio::test]
async fn what_is_put_must_be_signed_for_this_user_and_group() {
    let world = World::new().await;
    let admin = world.admin();
    let other = PolicyKey::generate(&mut SystemRng);
    let good = MembershipDocument {
        version: 1,
        serial: 10,
        address: world.address("alice"),
        group: "staff".into(),
        identity: None,
        invite: None,
        devices_from_ms: 0,
        name: None,
    };
    let put = async |document: &MembershipDocument, key: &PolicyKey| {
        let wanted = PutUser { membership: Signed::sign(document, key).to_bytes(), ..world.wanted("code") };
        admin.put("/admin/v1/users/alice", &wanted).await
    };
    let refused =
        async |document: MembershipDocument| put(&document, &world.policy_key).await.refused(ErrorCode::Invalid);
    let bob = world.address("bob");
    assert!(refused(MembershipDocument { address: bob, ..good.clone() }).await.contains("membership.address"));
    assert!(refused(MembershipDocument { group: "x".into(), ..good.clone() }).await.contains("membership.group"));
    assert!(refused(MembershipDocument { version: 2, ..good.clone() }).await.contains("membership.version"));
    assert!(put(&good, &other).await.refused(ErrorCode::Invalid).contains("policy key"));
    let none = world.wanted("code");
    assert!(admin.put("/admin/v1/users/alice", &none).await.refused(ErrorCode::Invalid).contains("membership"));
    let mut json = serde_json::to_value(&none).unwrap();
    json.as_object_mut().unwrap().remove("membership");
    admin.put("/admin/v1/users/alice", &json).await.refused(ErrorCode::Invalid);

    for _ in 0..2 {
        put(&good, &world.policy_key).await.done();
    }
    let older = MembershipDocument { serial: 9, ..good.clone() };
    assert!(refused(older).await.contains("membership.serial"));
    // The same serial for another group would leave clients with two truths.
    world.put_group(world.group("traders")).await;
    let document = MembershipDocument { group: "traders".into(), ..good };
    let wanted = PutUser {
        group: "traders".into(),
        membership: Signed::sign(&document, &world.policy_key).to_bytes(),
        ..world.wanted("code")
    };
    let said = admin.put("/admin/v1/users/alice", &wanted).await.refused(ErrorCode::Invalid);
    assert!(said.contains("membership.serial"), "{said}");
}
