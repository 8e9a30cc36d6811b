//! Two networks with a relay each, and gateways in between that do as the tests want.

use std::sync::Arc;

use sotto_crypto::{Domain, Fingerprint};
use sotto_wire::ErrorCode;
use sotto_wire::api::{BlobStored, FetchIdentities, FetchRecipients, Identities, RecipientRole};
use sotto_wire::policy::{FederationRule, GroupFederation, NetworkDocument, PeerRule, Scope};

use crate::common::gateway::{self, Behind};
use crate::common::person::{Device, Person};
use crate::common::{World, socket};

const DAY: u64 = 24 * 3_600_000;

struct Two {
    a: World,
    b: World,
    behind_a: Arc<Behind>,
    alice: Device,
    bob: Device,
}

fn allowing(world: &World, serial: u64, peer: &Domain, key: Fingerprint) -> NetworkDocument {
    let mut network = world.network();
    network.serial = serial;
    network.federation =
        FederationRule { enabled: true, peers: vec![PeerRule { domain: peer.clone(), policy_key: key }] };
    network
}

async fn network(domain: &str) -> (World, Arc<Behind>) {
    let mut world = World::prepared(domain);
    let behind = gateway::start(&mut world).await;
    world.start().await;
    (world, behind)
}

impl Two {
    /// Both allow each other; alice is in one, bob in the other.
    async fn new() -> Self {
        let (a, behind_a) = network("a.example").await;
        let (mut b, behind_b) = network("b.example").await;
        // One clock for both.
        b.stop().await;
        b.clock = Arc::clone(&a.clock);
        b.start().await;
        behind_a.connect(&b);
        behind_b.connect(&a);
        a.put_network(allowing(&a, 1, &b.domain, b.policy_key.verifying_key().fingerprint())).await;
        b.put_network(allowing(&b, 1, &a.domain, a.policy_key.verifying_key().fingerprint())).await;
        a.put_group(a.group("staff")).await;
        b.put_group(b.group("staff")).await;
        let alice = Person::ready(&a, "alice").await;
        let bob = Person::ready(&b, "bob").await;
        Self { a, b, behind_a, alice, bob }
    }

    async fn ask(&self) -> crate::common::http::Answer {
        let ask = FetchRecipients { addresses: vec![self.bob.address.clone()], signal: None };
        self.alice.http.post("/v1/recipients", &ask).await
    }

    async fn bob_socket(&self) -> socket::Socket {
        let mut socket = self.bob.socket(&self.b).await;
        socket.caught_up().await;
        socket
    }

    async fn alice_socket(&self) -> socket::Socket {
        let mut socket = self.alice.socket(&self.a).await;
        socket.caught_up().await;
        socket
    }
}

#[tokio::test]
async fn a_message_goes_to_another_network_and_back() {
    let two = Two::new().await;
    let (mut at_a, mut at_b) = (two.alice_socket().await, two.bob_socket().await);
    let recipients = two.alice.recipients(&[&two.bob.address]).await;
    assert_eq!(recipients.networks.len(), 1);
    assert_eq!(recipients.networks[0].policy_key, two.b.policy_key.verifying_key());
    let membership = recipients.users[0].membership.as_ref().expect("a membership");
    assert!(recipients.head.is_some(), "the own network's");
    let head = recipients.networks[0].head.verify(&two.b.policy_key.verifying_key()).unwrap();
    let membership = head.read(membership).unwrap();
    assert_eq!((&membership.address, membership.group.as_str()), (&two.bob.address, "staff"));
    two.alice.send(&two.a, "hello over there", &[&two.bob.address]).await;
    let delivery = at_b.delivery().await;
    assert_eq!(two.bob.open(&delivery), "hello over there");
    at_b.ack(&[delivery.seq]).await;
    two.bob.send(&two.b, "hello back", &[&two.alice.address]).await;
    assert_eq!(two.alice.open(&at_a.delivery().await), "hello back");

    let ask = FetchIdentities { addresses: vec![two.bob.address.clone(), two.alice.address.clone()] };
    let found: Identities = two.alice.http.post("/v1/identities", &ask).await.ok();
    assert_eq!(found.identities.len(), 2);

    let request = two.alice.http.request(reqwest::Method::POST, "/v1/blobs").body(vec![3u8; 100_000]);
    let stored: BlobStored = two.alice.http.send(request).await.ok();
    let answer = two.bob.http.get(&format!("/v1/blobs/a.example/{}", stored.blob)).await;
    assert_eq!((answer.status, answer.body), (200, vec![3u8; 100_000]));
    let missing = "/v1/blobs/a.example/00000000000000000000000000000000";
    two.bob.http.get(missing).await.refused(ErrorCode::NotFound);
}

#[tokio::test]
async fn a_network_and_each_of_its_users_get_a_share_of_somebodys_prekeys() {
    let two = Two::new().await;
    let (carol, dave) = (Person::ready(&two.a, "carol").await, Person::ready(&two.b, "dave").await);
    let mut shares = Vec::new();
    for asker in [&two.alice, &carol, &dave] {
        let mut share = 0;
        for _ in 0..9 {
            let answer = asker.recipients(&[&two.bob.address]).await;
            let bobs =
                answer.users.iter().filter(|user| user.address == two.bob.address).flat_map(|user| &user.prekeys);
            let kinds = bobs.map(|prekey| prekey.header.unverified().unwrap().kind);
            share += kinds.filter(|kind| *kind == sotto_crypto::PrekeyKind::OneTime).count();
        }
        shares.push(share);
    }
    // Of 20: a user a quarter of what there is, the network a half.
    assert_eq!(shares, [5, 4, 3]);
}

#[tokio::test]
async fn the_other_networks_retention_is_a_recipient_too() {
    let two = Two::new().await;
    let mut put = two.b.wanted("archive");
    put.role = sotto_wire::admin::Role::Retention;
    two.b.put_user("archive", &put).await;
    let archive = Person::register(&two.b, "archive", "archive").await;
    let before = two.alice.envelope(&two.a, "x", &[&two.bob.address]).await;
    let mut network = allowing(&two.b, 2, &two.a.domain, two.a.policy_key.verifying_key().fingerprint());
    network.retention = vec![two.b.retention_rule("archive", &archive.identity, Scope::AllUsers)];
    two.b.put_network(network).await;
    let archive = archive.device(&two.b, 5).await;

    let mut at_a = two.alice_socket().await;
    let _: sotto_wire::api::Accepted = two.alice.post(&before).await.ok();
    let notice = at_a.notice().await;
    assert_eq!((notice.code.as_str(), &notice.domain), ("retention_required", &two.b.domain));

    let recipients = two.alice.recipients(&[&two.bob.address]).await;
    assert!(recipients.users.iter().any(|u| u.address == archive.address && u.role == RecipientRole::Retention));
    let mut socket = archive.socket(&two.b).await;
    socket.caught_up().await;
    two.alice.send(&two.a, "kept", &[&two.bob.address]).await;
    assert_eq!(archive.open(&socket.delivery().await), "kept");
}

#[tokio::test]
async fn both_sides_must_allow_and_the_refusal_names_side_and_rule() {
    let two = Two::new().await;
    let denied = async |parts: &[&str]| {
        let message = two.ask().await.refused(ErrorCode::FederationDenied);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    let envelope = two.alice.envelope(&two.a, "x", &[&two.bob.address]).await;
    let key_a = two.a.policy_key.verifying_key().fingerprint();
    let key_b = two.b.policy_key.verifying_key().fingerprint();

    // The recipient's network.
    let mut network = two.b.network();
    network.serial = 2;
    two.b.put_network(network).await;
    denied(&["recipient's network b.example", "Network (spec.federation)", "a.example"]).await;
    // Accepted here, refused there: the sender hears so.
    let mut socket = two.alice_socket().await;
    let _: sotto_wire::api::Accepted = two.alice.post(&envelope).await.ok();
    let notice = socket.notice().await;
    let header: sotto_crypto::SealedHeader = sotto_crypto::decode_strict(&envelope.header).unwrap();
    assert_eq!(
        (notice.message, &notice.domain, notice.code.as_str()),
        (header.message, &two.b.domain, "federation_denied")
    );
    assert!(notice.reason.contains("recipient's network b.example"), "{}", notice.reason);
    socket.ack(&[notice.seq]).await;
    two.b.put_network(allowing(&two.b, 3, &two.a.domain, key_a)).await;
    // The recipient's group.
    let mut group = two.b.group("staff");
    (group.serial, group.federation) = (2, GroupFederation::None);
    two.b.put_group(group).await;
    denied(&["recipient's network b.example", "security group", "a.example"]).await;
    let mut group = two.b.group("staff");
    (group.serial, group.federation) = (3, GroupFederation::Restricted(vec![two.a.domain.clone()]));
    two.b.put_group(group).await;
    assert_eq!(two.ask().await.status, 200);
    // The sender's group.
    let mut group = two.a.group("staff");
    (group.serial, group.federation) = (2, GroupFederation::None);
    two.a.put_group(group).await;
    denied(&["sender's network a.example", "security group staff", "b.example"]).await;
    let again = two.alice.post(&envelope).await;
    assert_eq!(again.status, 200, "a repeat of what was accepted is answered alike");
    let mut group = two.a.group("staff");
    (group.serial, group.federation) = (3, GroupFederation::All);
    two.a.put_group(group).await;
    // The sender's network.
    let mut network = two.a.network();
    network.serial = 2;
    two.a.put_network(network).await;
    denied(&["sender's network a.example", "Network (spec.federation)", "b.example"]).await;
    // Another policy key than ours lists.
    two.a.put_network(allowing(&two.a, 3, &two.b.domain, key_a)).await;
    denied(&["policy key"]).await;
    two.a.put_network(allowing(&two.a, 4, &two.b.domain, key_b)).await;
    assert_eq!(two.ask().await.status, 200);
}

#[tokio::test]
async fn without_a_gateway_nobody_is_reached() {
    let world = World::new().await;
    let other: Domain = "b.example".parse().unwrap();
    world.put_network(allowing(&world, 2, &other, world.policy_key.verifying_key().fingerprint())).await;
    let alice = Person::ready(&world, "alice").await;
    let ask = FetchRecipients { addresses: vec!["bob@b.example".parse().unwrap()], signal: None };
    let message = alice.http.post("/v1/recipients", &ask).await.refused(ErrorCode::FederationDenied);
    assert!(message.contains("gateway"), "{message}");
}

#[tokio::test]
async fn a_network_that_is_away_is_tried_again_until_it_is_there() {
    let mut two = Two::new().await;
    let envelope = two.alice.envelope(&two.a, "patience", &[&two.bob.address]).await;
    two.behind_a.fail(Some((ErrorCode::PeerUnavailable, "away")));
    two.ask().await.refused(ErrorCode::PeerUnavailable);
    let _: sotto_wire::api::Accepted = two.alice.post(&envelope).await.ok();
    tries(&two, 1).await;
    let time = two.a.time_passes();
    tries(&two, 3).await;
    // Busy is another kind of not now.
    two.behind_a.fail(Some((ErrorCode::MailboxFull, "full")));
    tries(&two, 5).await;
    two.behind_a.fail(None);
    two.bob.open_session(&two.b).await;
    let mut socket = two.bob.socket(&two.b).await;
    let delivery = loop {
        match socket.frame().await {
            sotto_wire::api::ServerFrame::Delivery(delivery) => break delivery,
            sotto_wire::api::ServerFrame::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(two.bob.open(&delivery), "patience");
    drop(time);
}

async fn tries(two: &Two, count: usize) {
    for _ in 0..4000 {
        if two.behind_a.count("envelopes") >= count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("never tried {count} times");
}

#[tokio::test]
async fn after_a_day_the_sender_hears_that_it_did_not_arrive() {
    let two = Two::new().await;
    let mut socket = two.alice_socket().await;
    let envelope = two.alice.envelope(&two.a, "in vain", &[&two.bob.address]).await;
    two.behind_a.fail(Some((ErrorCode::PeerUnavailable, "away")));
    let _: sotto_wire::api::Accepted = two.alice.post(&envelope).await.ok();
    tries(&two, 1).await;
    two.a.clock.advance_ms(DAY);
    let time = two.a.time_passes();
    let notice = socket.notice().await;
    drop(time);
    assert_eq!((notice.code.as_str(), &notice.domain), ("peer_unavailable", &two.b.domain));
    socket.ack(&[notice.seq]).await;
}

#[tokio::test]
async fn a_restart_forgets_nothing_that_is_on_its_way() {
    let mut two = Two::new().await;
    let envelope = two.alice.envelope(&two.a, "durable", &[&two.bob.address]).await;
    two.behind_a.fail(Some((ErrorCode::Unavailable, "not now")));
    let _: sotto_wire::api::Accepted = two.alice.post(&envelope).await.ok();
    two.a.stop().await;
    two.behind_a.fail(None);
    two.a.clock.advance_ms(600_000);
    two.a.start().await;
    let mut socket = two.bob.socket(&two.b).await;
    loop {
        if let sotto_wire::api::ServerFrame::Delivery(delivery) = socket.frame().await {
            assert_eq!(two.bob.open(&delivery), "durable");
            return;
        }
    }
}

#[tokio::test]
async fn a_peer_speaks_for_itself_only() {
    let two = Two::new().await;
    let gateway = two.b.admin_as("gateway");
    let ask = |from: &str, of: &str| sotto_wire::gateway::PeerRecipients {
        from: from.parse().unwrap(),
        addresses: vec![of.parse().unwrap()],
    };
    let path = "/peer/v1/a.example/recipients";
    let message = gateway.post(path, &ask("x@c.example", "bob@b.example")).await.refused(ErrorCode::Invalid);
    assert!(message.contains("from"), "{message}");
    gateway.post(path, &ask("x@a.example", "y@c.example")).await.refused(ErrorCode::Invalid);
    gateway.post(path, &ask("x@a.example", "nobody@b.example")).await.refused(ErrorCode::NotFound);
    gateway
        .post("/peer/v1/b.example/recipients", &ask("x@b.example", "bob@b.example"))
        .await
        .refused(ErrorCode::Invalid);

    // An envelope that says to come from somebody else.
    let envelope = two.alice.envelope(&two.a, "x", &[&two.bob.address]).await;
    let peer = sotto_wire::gateway::PeerEnvelope { envelope };
    let message = gateway.post("/peer/v1/c.example/envelopes", &peer).await.refused(ErrorCode::Invalid);
    assert!(message.contains("network"), "{message}");
    let mut mixed = two.alice.envelope(&two.a, "x", &[&two.bob.address]).await;
    mixed.wraps[0].address = two.alice.address.clone();
    let peer = sotto_wire::gateway::PeerEnvelope { envelope: mixed };
    gateway.post("/peer/v1/a.example/envelopes", &peer).await.refused(ErrorCode::Invalid);
}
