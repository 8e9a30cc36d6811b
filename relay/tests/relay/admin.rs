//! The admin listener: who may come in, and what is put.

use sotto_crypto::{IdentityKey, PolicyKey, Signed, SystemRng};
use sotto_wire::ErrorCode;
use sotto_wire::admin::{AdminState, PutGroup, PutNetwork, PutUser, Role};
use sotto_wire::gateway::PeerIdentities;
use sotto_wire::policy::Scope;

use crate::common::World;
use crate::common::authority::Authority;
use crate::common::http::Http;
use crate::common::person::Person;

async fn state(world: &World) -> AdminState {
    let answer = world.admin().get("/admin/v1/state").await;
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn roles_are_told_apart_by_certificate() {
    let world = World::new().await;
    let ask = PeerIdentities { from: "x@b.example".parse().unwrap(), addresses: Vec::new() };
    let peer = "/peer/v1/b.example/identities";
    world.admin_as("operator").get("/admin/v1/state").await.refused_not();
    world.admin_as("operator").post(peer, &ask).await.refused(ErrorCode::Forbidden);
    world.admin_as("gateway").get("/admin/v1/state").await.refused(ErrorCode::Forbidden);
    world.admin_as("gateway").post(peer, &ask).await.refused(ErrorCode::FederationDenied);
    for name in ["relay", "retention", "operator2", ""] {
        world.admin_as(name).get("/admin/v1/state").await.refused(ErrorCode::Forbidden);
        world.admin_as(name).post(peer, &ask).await.refused(ErrorCode::Forbidden);
    }
    world.admin().get("/v1/network").await.refused(ErrorCode::NotFound);
}

#[tokio::test]
async fn strangers_do_not_get_through_the_handshake() {
    let world = World::new().await;
    let other = Authority::new();
    let without = Http::mutual(world.admin_address(), &world.authority, None);
    assert!(without.request(reqwest::Method::GET, "/admin/v1/state").send().await.is_err(), "no certificate");
    // Trusts our authority, shows a certificate of another one.
    let forged = Http::mutual(world.admin_address(), &world.authority, Some(&other.issue("operator")));
    assert!(forged.request(reqwest::Method::GET, "/admin/v1/state").send().await.is_err(), "another authority");
    let plain = Http::plain(world.admin_address());
    assert!(plain.request(reqwest::Method::GET, "/admin/v1/state").send().await.is_err(), "no TLS");
}

#[tokio::test]
async fn documents_are_checked() {
    let world = World::new().await;
    let admin = world.admin();
    let put = async |document: Vec<u8>| admin.put("/admin/v1/network", &PutNetwork { document }).await;
    let sign = |document: &sotto_wire::policy::NetworkDocument| Signed::sign(document, &world.policy_key).to_bytes();
    let mut document = world.network();
    document.serial = 5;
    let first = sign(&document);
    put(first.clone()).await.done();
    put(first).await.done();
    document.display_name = "Other".into();
    put(sign(&document)).await.refused_serial();
    document.serial = 4;
    put(sign(&document)).await.refused_serial();
    document.serial = 6;
    let forged = Signed::sign(&document, &PolicyKey::generate(&mut SystemRng)).to_bytes();
    assert!(put(forged).await.refused(ErrorCode::Invalid).contains("policy key"));
    let mut elsewhere = document.clone();
    elsewhere.domain = "b.example".parse().unwrap();
    assert!(put(sign(&elsewhere)).await.refused(ErrorCode::Invalid).contains("domain"));
    let mut newer = document.clone();
    newer.version = 2;
    assert!(put(sign(&newer)).await.refused(ErrorCode::Invalid).contains("version"));
    let identity = IdentityKey::generate(&mut SystemRng);
    let mut wrong = document.clone();
    wrong.retention = vec![world.retention_rule("archive", &identity, Scope::AllUsers)];
    wrong.retention[0].address = world.address("other");
    assert!(put(sign(&wrong)).await.refused(ErrorCode::Invalid).contains("certificate"));
    assert!(put(b"garbage".to_vec()).await.refused(ErrorCode::Invalid).contains("document"));
    let request = admin.request(reqwest::Method::PUT, "/admin/v1/network").body("{\"document\": \"!\"}");
    assert!(admin.send(request).await.refused(ErrorCode::Invalid).contains("body"));
    let signed = sign(&document);
    put(signed.clone()).await.done();
    put(sign(&document)).await.done();
    assert_eq!(state(&world).await.network, Some(PutNetwork { document: signed }), "signed again is no change");

    let group = PutGroup { document: Signed::sign(&world.group("ops"), &world.policy_key).to_bytes() };
    assert!(admin.put("/admin/v1/groups/other", &group).await.refused(ErrorCode::Invalid).contains("name"));
    admin.put("/admin/v1/groups/ops", &group).await.done();
    assert_eq!(state(&world).await.groups["ops"], group);
}

#[tokio::test]
async fn users_and_groups_are_upserts() {
    let world = World::new().await;
    let admin = world.admin();
    let mut wanted = world.wanted("code");
    wanted.group = "nowhere".into();
    let nowhere = world.signed("alice", &wanted);
    assert!(admin.put("/admin/v1/users/alice", &nowhere).await.refused(ErrorCode::Invalid).contains("nowhere"));
    wanted.group = "staff".into();
    let wanted = world.signed("alice", &wanted);
    for _ in 0..2 {
        admin.put("/admin/v1/users/alice", &wanted).await.done();
    }
    admin.put("/admin/v1/users/-a@b", &wanted).await.refused(ErrorCode::Invalid);
    let mut bad = wanted.clone();
    bad.invite.as_mut().unwrap().code_digest = "short".into();
    assert!(admin.put("/admin/v1/users/alice", &bad).await.refused(ErrorCode::Invalid).contains("codeDigest"));
    assert!(admin.delete("/admin/v1/groups/staff").await.refused(ErrorCode::Invalid).contains("users"));

    let before = state(&world).await;
    assert_eq!(before.users["alice"].wanted, wanted);
    assert!(!before.users["alice"].registered);
    assert_eq!(before.version, env!("CARGO_PKG_VERSION"));
    world.put_head().await;
    let alice = Person::register(&world, "alice", "code").await.device(&world, 3).await;
    let bob = Person::ready(&world, "bob").await;
    bob.send(&world, "x", &[&alice.address]).await;
    let after = state(&world).await;
    let user = &after.users["alice"];
    assert_eq!((user.registered, user.locked, user.devices, user.queued_messages), (true, false, 1, 1));
    assert_eq!(user.last_seen_ms, Some(world.now_ms()));
    assert_eq!(after.queued_messages, 1);

    let put = world.signed("alice", &PutUser { role: Role::Retention, invite: None, ..wanted });
    admin.put("/admin/v1/users/alice", &put).await.done();
    let user = &state(&world).await.users["alice"];
    assert_eq!((&user.wanted, user.registered), (&put, true));
    admin.delete("/admin/v1/users/alice").await.done();
    admin.delete("/admin/v1/users/bob").await.done();
    admin.delete("/admin/v1/groups/staff").await.done();
    assert!(state(&world).await.groups.is_empty());
}

impl crate::common::http::Answer {
    #[track_caller]
    fn refused_not(self) {
        assert_eq!(self.status, 200);
    }

    #[track_caller]
    fn refused_serial(self) {
        assert!(self.refused(ErrorCode::Invalid).contains("serial"));
    }
}
