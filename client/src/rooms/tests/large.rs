//! The largest room: 500 members with two devices each.

use std::sync::Arc;
use std::time::Instant;

use sotto_crypto::{
    DeviceKey, DeviceList, IdentityKey, Known, ListedDevice, MessageId, PolicyKey, PrekeyKind, Signed, SystemRng,
    generate_prekeys,
};
use sotto_wire::api::{RecipientRole, RecipientUser, Recipients};
use sotto_wire::content::{Body, Content, Conversation};
use sotto_wire::limits;
use sotto_wire::policy::{Established, MembershipDocument};

use super::super::change::Work;
use super::super::room::Rooms;
use super::*;
use crate::send::compose;
use crate::store::account::tests::account;
use crate::store::key::StoreKey;
use crate::store::{Audience, ListRecord, OutboxKind, Store};
use crate::trust::lists::next_list;
use crate::trust::own::listed;
use crate::trust::policy::tests::network_document;
use crate::trust::recipients::{Asker, check};

/// A member with two devices, as the relay hands them out.
fn user(address: &Address, policy: &PolicyKey) -> RecipientUser {
    let identity = IdentityKey::generate(&mut SystemRng);
    let device = |_| {
        let (device, key) = (DeviceId::generate(&mut SystemRng), DeviceKey::generate(&mut SystemRng));
        let (batch, _) = generate_prekeys(&mut SystemRng, &key, device, PrekeyKind::OneTime, 1, 0, u64::MAX);
        (ListedDevice { device, key: key.verifying_key(), since_ms: 1 }, batch.prekey(0).unwrap())
    };
    let (devices, prekeys) = (0..2).map(device).unzip();
    let known = Established { invited_at_ms: 3, identity: identity.verifying_key().fingerprint() };
    let document = MembershipDocument {
        version: 1,
        serial: 5,
        address: address.clone(),
        group: "staff".into(),
        identity: Some(known),
        invite: None,
        devices_from_ms: 0,
        name: None,
    };
    RecipientUser {
        address: address.clone(),
        identity: identity.verifying_key(),
        role: RecipientRole::Addressed,
        devices: Signed::sign(&DeviceList::new(address.clone(), 1, u64::MAX, devices), &identity),
        prekeys,
        membership: Some(Signed::sign(&document, policy)),
        voucher: None,
    }
}

#[test]
fn a_message_to_500_members_is_one_envelope_with_one_wrap_a_device() {
    let policy = PolicyKey::generate(&mut SystemRng);
    let alice = account("alice@x.example", &policy);
    let members: Vec<Address> = (0..499).map(|n| a(&format!("member-{n:03}"))).collect();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    let rooms = Arc::new(Rooms::default());
    let created = Created {
        nonce: [7; 16],
        title: "everybody".into(),
        members: members.clone(),
        moderators: Vec::new(),
        expires_in_s: None,
        burn_after_read_s: None,
    };
    let device = alice.device;
    let event = RoomEvent {
        version: 1,
        room: None,
        parents: Vec::new(),
        author: alice.address.clone(),
        device,
        at_ms: 1,
        change: RoomChange::Create(created),
    };
    let (room, announced, asked, heads) = store
        .run_blocking(|tx| {
            let work = Work { tx, account: &alice, rooms: &rooms, now_ms: 1 };
            let (room, signed) = work.make(&event)?.unwrap();
            work.announce(room, &[signed], members.clone())?.unwrap();
            let text = Content::new(Conversation::Room(room), 1, Body::Text("to all".into()));
            let entry = compose::entry(&alice, &text, OutboxKind::Text, Audience::Members, 1).unwrap();
            let asked = compose::audience(tx, &alice.address, &entry)?;
            let heads = rooms.with(tx, room, |held, _| Ok(held.heads().to_vec()))?;
            Ok((room, tx.outbox()?, asked, heads))
        })
        .unwrap();
    assert_eq!(asked, members);
    assert_eq!(announced.len(), 1, "one message makes the room known");
    // What a message in it costs of the room's state: it is in memory.
    let start = Instant::now();
    for _ in 0..100 {
        store.run_blocking(|tx| rooms.with(tx, room, |held, _| Ok(held.state().has(&alice.address)))).unwrap();
    }
    eprintln!("state of a room of 500, a message: {:?}", start.elapsed() / 100);

    let own = next_list(&alice.address, vec![listed(&alice)], 0, 1_000);
    let own = Signed::sign(&own, alice.identity_key());
    let me = RecipientUser {
        address: alice.address.clone(),
        identity: alice.identity.clone(),
        role: RecipientRole::Own,
        devices: own.clone(),
        prekeys: Vec::new(),
        membership: None,
        voucher: None,
    };
    let unseen = ListRecord::unseen(alice.address.clone(), alice.identity.fingerprint());
    let lists = [ListRecord { own: Some(own), ..unseen }];
    let users = members.iter().map(|who| user(who, &policy)).chain([me]).collect();
    let answer = Recipients { users, networks: Vec::new() };
    let (document, key) = (network_document("x.example", 1), policy.verifying_key());
    let view = Asker {
        address: &alice.address,
        device,
        identity: &alice.identity,
        policy_key: &key,
        network: &document,
        group: "staff",
        serials: &[],
        memberships: &[],
        lists: &lists,
        now_ms: 1_000,
    };
    let known = &mut Known::new();
    let start = Instant::now();
    let checked = check(&view, known, &asked, &answer).unwrap();
    eprintln!("998 devices checked for the first time: {:?}", start.elapsed());
    let start = Instant::now();
    let again = check(&view, known, &asked, &answer).unwrap();
    eprintln!("998 devices checked again: {:?}", start.elapsed());
    assert_eq!((checked.recipients.len(), again.recipients.len()), (998, 998));
    let content =
        Content { heads: Some(heads), ..Content::new(Conversation::Room(room), 1, Body::Text("to all".into())) };
    let content = sotto_crypto::encode(&content);
    let start = Instant::now();
    let id = MessageId::generate(&mut SystemRng);
    let sealed = sotto_crypto::seal(&mut SystemRng, &alice.sender(), id, &content, &checked.recipients).unwrap();
    eprintln!("sealed to 998 devices: {:?}", start.elapsed());
    assert_eq!(sealed.wraps.len(), 998);
    assert!(sealed.body.len() <= limits::MAX_SEALED_BODY, "{}", sealed.body.len());
    let envelope = sotto_wire::api::Envelope {
        header: sotto_crypto::encode(&sealed.header),
        body: sealed.body,
        wraps: sealed.wraps,
        expires_in_s: None,
    };
    assert!(sotto_crypto::encode(&envelope).len() <= limits::MAX_REQUEST);
}
